"""What a rollback waits for, when no agent takes its job.

Deliberately not here: why no agent does (``api.agents.waiting``).
"""

from api.deployments.ports import DeploymentPorts
from workflows.contracts.deployments.deployment import Deployment, RollbackStatus
from workflows.contracts.errors import HybridCIError


async def with_what_it_waits_for(ports: DeploymentPorts, deployment: Deployment) -> Deployment:
    """Where a rollback is under way and no agent takes its job: that it waits, and for what; it goes on by itself. A
    help only: never an error.
    """
    rollback = deployment.rollback
    if rollback is None or rollback.status is not RollbackStatus.RUNNING or not rollback.job_ids:
        return deployment
    try:
        waits_for = await ports.fleet.waits_for(await ports.reader.get(rollback.job_ids[-1]))
    except HybridCIError:  # another CI's job, or one that is not recorded yet
        return deployment
    if waits_for is None:
        return deployment
    words = f"The rollback to {rollback.target_version} goes on as soon as an agent takes its job: {waits_for}"
    return deployment.model_copy(update={"waits_for": words})
