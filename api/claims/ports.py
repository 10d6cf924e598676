"""What claims of agents that speak HTTP need."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.agents.ports import HasFleet
from api.auth.ports import AuthPorts
from api.claims.service import Claims
from api.ports import HasLogs, HasStopping, provided


class ClaimPorts(AuthPorts, HasFleet, HasLogs, HasStopping, Protocol):
    """The attempts' tasks, and whose they are."""

    @property
    def claims(self) -> Claims: ...


ClaimPortsDep = Annotated[ClaimPorts, Depends(provided)]
