"""A number and what it counts, and how a deployment ended, in words: for the command line and the pages alike. Pure."""

from typing import Final

from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus, DeploymentSummary

CANCELLED: Final = "cancelled"


def counted(number: int, what: str, many: str = "") -> str:
    """``what``: of one; ``many``: of any other number, where that is not ``what`` with an s. Thousands are parted."""
    return f"{number:,} {what if number == 1 else many or f'{what}s'}"


def status_word(deployment: Deployment | DeploymentSummary) -> str:
    """Its status; ``cancelled`` for one that is stored as failed because somebody cancelled it."""
    if deployment.status is DeploymentStatus.FAILED and deployment.cause == CANCELLED:
        return CANCELLED
    return deployment.status.value
