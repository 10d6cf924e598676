"""What registering services needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.auth.ports import HasVoucher
from api.ports import HasClock, HasDeploymentClient, HasDeploymentReader, HasPoolRules, provided


class ServicePorts(HasDeploymentReader, HasDeploymentClient, HasPoolRules, HasVoucher, HasClock, Protocol):
    """Services: their records and their workflows."""


ServicePortsDep = Annotated[ServicePorts, Depends(provided)]
