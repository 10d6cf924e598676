"""One version of a service is one commit: who has said which, and the rule, for every store. Pure.

Deliberately not here: how a claim is kept with a deployment's first write (the stores).
"""

from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.deployment import Deployment, DeploymentSummary
from workflows.contracts.errors import InvalidState


class VersionClaim(Tolerant):
    """Which commit a version of a service is, by the deployment that said so. It stays when that one's record goes."""

    service_name: str
    version: str
    git_commit_sha: str
    deployment_id: str


def claim_of(deployment: Deployment | DeploymentSummary) -> VersionClaim:
    """What a deployment says by being started."""
    return VersionClaim(
        service_name=deployment.service_name,
        version=deployment.version,
        git_commit_sha=deployment.git_commit_sha,
        deployment_id=deployment.deployment_id,
    )


def require_same_commit(deployment: Deployment, claim: VersionClaim | None) -> None:
    """Raises InvalidState when its version is another commit already and its service does not allow that."""
    if claim is None or deployment.definition.allow_version_reuse:
        return
    if claim.git_commit_sha == deployment.git_commit_sha:
        return
    raise InvalidState(
        f"{deployment.version} of {deployment.service_name} is commit {claim.git_commit_sha} already, by deployment "
        f"{claim.deployment_id}; this is commit {deployment.git_commit_sha}. Give it a version of its own, or set "
        "`allow_version_reuse: true` in the service.",
        version=deployment.version,
        git_commit_sha=claim.git_commit_sha,
        deployment_id=claim.deployment_id,
    )
