"""What stopping the line needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.deployments.ports import DeploymentPorts
from api.ports import provided


class LinePorts(DeploymentPorts, Protocol):
    """As for deployments: the line's record stands beside theirs."""


LinePortsDep = Annotated[LinePorts, Depends(provided)]
