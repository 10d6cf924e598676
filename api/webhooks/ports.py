"""What webhooks set going."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.deployments.ports import DeploymentPorts
from api.jobs.ports import JobPorts
from api.ports import provided


class WebhookPorts(JobPorts, DeploymentPorts, Protocol):
    """Jobs and deployments."""


WebhookPortsDep = Annotated[WebhookPorts, Depends(provided)]
