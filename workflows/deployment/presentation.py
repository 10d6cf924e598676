"""How a deployment looks in the Temporal UI. Pure.

Deliberately not here: deciding anything.
"""

from typing import Final

from temporalio.common import SearchAttributePair, TypedSearchAttributes

from workflows.closing import Closing
from workflows.contracts import search_attributes as attributes
from workflows.contracts.audit.types import EventType
from workflows.contracts.deployments.commands import DeploymentInput
from workflows.contracts.deployments.deployment import Approval, Deployment, DeploymentStatus, Stage, StageStatus
from workflows.dashboard import deployment_links
from workflows.words import details, quoted, titled

_CANCELLED: Final = EventType.DEPLOYMENT_CANCELLED.word
"""The cause of one that a person stopped."""


def deployment_search_attributes(
    start: DeploymentInput, status: DeploymentStatus = DeploymentStatus.PENDING
) -> TypedSearchAttributes:
    """What a deployment can be found by."""
    request = start.request
    return TypedSearchAttributes(
        [
            SearchAttributePair(attributes.STATUS, status.value),
            SearchAttributePair(attributes.SERVICE, request.service_name),
            SearchAttributePair(attributes.VERSION, request.version),
            SearchAttributePair(attributes.REPO, start.service.spec.git_repo[:255]),
            SearchAttributePair(attributes.SHA, request.git_commit_sha),
            SearchAttributePair(attributes.AUTHOR, [request.git_author]),
        ]
    )


def deployment_static_summary(start: DeploymentInput) -> str:
    """One line: which version of what, by whom."""
    request = start.request
    return titled(f"{request.service_name} {request.version} @ {request.git_commit_sha[:8]} by {request.git_author}")


def deployment_static_details(start: DeploymentInput, dashboard: str | None = None) -> str:
    """Markdown: where to look, whence it comes and the way it goes. ``dashboard``: its address."""
    request, spec = start.request, start.service.spec
    way = " → ".join(spec.environment_names) or "as its repository defines"
    paragraphs = [
        *deployment_links(dashboard, start.deployment_id),
        f"Repository {quoted(spec.git_repo)}, commit `{request.git_commit_sha}` by {quoted(request.git_author)}.",
        f"Definition {start.service.version} of `{start.service.name}`: {way}.",
    ]
    return details("\n\n".join(paragraphs))


def deployment_details(deployment: Deployment) -> str:
    """Markdown: where the deployment stands, what it waits for and which command moves it."""
    words = quoted(deployment.waits_for or deployment.error_message or _doing(deployment))
    paragraphs = [f"**{deployment.status}** — {words}"]
    trail = [_stage_line(stage) for stage in deployment.stages]
    trail += [_approval_line(approval) for approval in deployment.approvals[-8:]]
    if deployment.rollback is not None:
        rollback = deployment.rollback
        trail.append(
            f"- rollback to {quoted(rollback.target_version or 'nothing')} by {quoted(rollback.by)}: {rollback.status}"
            f" ({quoted(rollback.reason)})"
        )
    paragraphs += ["\n".join(trail)] if trail else []
    if not deployment.closed:
        paragraphs += ["What you can do:", _ways_on(deployment.deployment_id)]
    return details("\n\n".join(paragraphs))


def first_line(deployment: Deployment) -> str:
    """How it ended in a line of plain text, as the failure of one that failed has it."""
    return f"{deployment.status}: {deployment.error_message or deployment.cause or 'no reason given'}"


def closing(deployment: Deployment) -> Closing:
    """How its workflow closes. What was rolled back was not delivered, whoever asked for it; what was left for a later
    version was.
    """
    rollback, status = deployment.rollback, deployment.status
    if status is DeploymentStatus.FAILED:
        return Closing.CANCELLED if deployment.cause == _CANCELLED else Closing.FAILED
    if status is DeploymentStatus.ROLLED_BACK and not (rollback is not None and rollback.forward):
        return Closing.FAILED
    return Closing.COMPLETED


def _doing(deployment: Deployment) -> str:
    if deployment.status is DeploymentStatus.LIVE:
        return f"{deployment.version} is live in {deployment.environment}"
    stage = next((stage for stage in deployment.stages if stage.environment == deployment.environment), None)
    if stage is not None and stage.status in {StageStatus.DEPLOYING, StageStatus.VERIFYING}:
        percent = f" at {stage.percent} %" if stage.percent is not None else ""
        return f"{stage.status} in {stage.environment}{percent}"
    return "on its way"


def _stage_line(stage: Stage) -> str:
    turn = f", turn {stage.fence}" if stage.fence is not None else ""
    error = f": {quoted(stage.error_message)}" if stage.error_message else ""
    return f"- {stage.environment}: {stage.status}{turn}{error}"


def _approval_line(approval: Approval) -> str:
    comment = f": {quoted(approval.comment)}" if approval.comment else ""
    marks = f" ({quoted('; '.join(approval.marks))})" if approval.marks else ""
    return f"- {approval.decision} for {approval.environment} by {quoted(approval.by)}{marks}{comment}"


def _ways_on(identity: str) -> str:
    return (
        f"- look: `hybridci deploy show {identity}`\n"
        f"- approve or reject: `hybridci deploy approve {identity}`, `hybridci deploy reject {identity} --reason …`\n"
        f"- roll back: `hybridci deploy rollback {identity} --reason …`"
    )
