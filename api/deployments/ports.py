"""What starting deployments and commanding them needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.agents.ports import HasFleet
from api.auth.ports import HasVoucher
from api.ports import HasClock, HasMeasured, HasPoolRules, HasStarting, provided
from api.temporal.ports import RecordPorts


class DeploymentPorts(HasClock, HasVoucher, RecordPorts, HasStarting, HasFleet, HasPoolRules, HasMeasured, Protocol):
    """Deployments and environments: their records and their workflows."""


DeploymentPortsDep = Annotated[DeploymentPorts, Depends(provided)]
