"""What webhooks set going."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.deployments.ports import DeploymentPorts
from api.jobs.ports import JobPorts
from api.ports import HasAudit, HasTaskClient, HasWebhookDeliveries, provided


class WebhookPorts(JobPorts, DeploymentPorts, HasAudit, HasTaskClient, HasWebhookDeliveries, Protocol):
    """Jobs and deployments, the trail of what was delivered and what is kept of it, and agents to ask."""


WebhookPortsDep = Annotated[WebhookPorts, Depends(provided)]
