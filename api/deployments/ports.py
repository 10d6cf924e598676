"""What starting deployments and commanding them needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.ports import HasClock, HasStarting, provided
from api.temporal.ports import RecordPorts


class DeploymentPorts(HasClock, RecordPorts, HasStarting, Protocol):
    """Deployments and environments: their records and their workflows."""


DeploymentPortsDep = Annotated[DeploymentPorts, Depends(provided)]
