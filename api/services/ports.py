"""What registering services needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.ports import HasDeploymentReader, HasReleases, provided


class ServicePorts(HasDeploymentReader, HasReleases, Protocol):
    """Services: their records and their workflows."""


ServicePortsDep = Annotated[ServicePorts, Depends(provided)]
