"""What the routes of agents and pools need."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.agents.fleet import Fleet
from api.agents.schemas import GatewayAddress
from api.auth.ports import IssuingPorts
from api.ports import HasJobReader, provided


class HasFleet(Protocol):
    """The agents and pools as this process knows them."""

    @property
    def fleet(self) -> Fleet: ...


class AgentPorts(IssuingPorts, HasFleet, HasJobReader, Protocol):
    """``gateway``: where agents elsewhere connect, when there is one."""

    @property
    def gateway(self) -> GatewayAddress | None: ...


AgentPortsDep = Annotated[AgentPorts, Depends(provided)]
