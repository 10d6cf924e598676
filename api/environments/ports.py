"""What commanding environments needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.deployments.ports import DeploymentPorts
from api.ports import provided


class EnvironmentPorts(DeploymentPorts, Protocol):
    """As for deployments, whose workflows talk to theirs."""


EnvironmentPortsDep = Annotated[EnvironmentPorts, Depends(provided)]
