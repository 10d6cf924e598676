"""With what the workflow of a version that is live is started again, whoever does it. Pure.

Deliberately not here: starting it (``deployments``, ``activities.environments.live``).
"""

from typing import Any

from temporalio.common import WorkflowIDReusePolicy

from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentStatus,
)
from workflows.contracts.deployments.live_again import LiveAgain
from workflows.contracts.ids import CONTROL_QUEUE, deployment_workflow_id
from workflows.dashboard import memo_of
from workflows.deployment.live.reopening import start_again
from workflows.deployment.presentation import (
    deployment_search_attributes,
    deployment_static_details,
    deployment_static_summary,
)


def live_again(deployment: Deployment, again: LiveAgain, dashboard: str | None) -> dict[str, Any]:
    """What ``start_workflow`` takes, but for what is to happen when there is one already.

    ``dashboard``: its address.
    """
    start = start_again(deployment, again)
    return {
        "workflow": "DeploymentWorkflow",
        "arg": start,
        "id": deployment_workflow_id(deployment.service_name, deployment.version, deployment.deployment_id),
        "task_queue": CONTROL_QUEUE,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        "search_attributes": deployment_search_attributes(start, DeploymentStatus.LIVE),
        "static_summary": deployment_static_summary(start),
        "static_details": deployment_static_details(start, dashboard),
        "memo": memo_of(dashboard),
    }
