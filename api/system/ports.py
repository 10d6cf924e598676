"""What tells how the system is."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.agents.ports import HasFleet
from api.auth.ports import AuthPorts
from api.deployments.ports import DeploymentPorts
from api.ports import HasEnvironmentName, HasMetrics, HasRepairClient, provided


class SystemPorts(AuthPorts, DeploymentPorts, HasFleet, HasRepairClient, HasMetrics, HasEnvironmentName, Protocol):
    """Records, agents, workflows that cannot go on, and the numbers."""


SystemPortsDep = Annotated[SystemPorts, Depends(provided)]
