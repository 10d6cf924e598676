"""What webhooks set going."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.deployments.ports import DeploymentPorts
from api.jobs.ports import JobPorts
from api.ports import HasAudit, provided


class WebhookPorts(JobPorts, DeploymentPorts, HasAudit, Protocol):
    """Jobs and deployments, and the trail of what was delivered."""


WebhookPortsDep = Annotated[WebhookPorts, Depends(provided)]
