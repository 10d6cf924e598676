"""How a deployment, an environment and a stage's job look in the Temporal UI. Pure.

Deliberately not here: deciding anything.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from temporalio.common import SearchAttributePair, TypedSearchAttributes

from workflows.contracts import search_attributes as attributes
from workflows.contracts.deployment_commands import DeploymentInput
from workflows.contracts.deployments import Approval, Deployment, DeploymentStatus, Stage, StageStatus
from workflows.contracts.environments import EnvironmentState

_SHOWN_IN_QUEUE: Final = 10


def deployment_search_attributes(start: DeploymentInput) -> TypedSearchAttributes:
    """What a new deployment can be found by."""
    request = start.request
    return TypedSearchAttributes(
        [
            SearchAttributePair(attributes.STATUS, DeploymentStatus.PENDING.value),
            SearchAttributePair(attributes.SERVICE, request.service_name),
            SearchAttributePair(attributes.VERSION, request.version),
            SearchAttributePair(attributes.REPO, start.service.spec.git_repo[:255]),
            SearchAttributePair(attributes.SHA, request.git_commit_sha),
            SearchAttributePair(attributes.AUTHOR, [request.git_author]),
        ]
    )


def environment_search_attributes(service_name: str, environment: str) -> TypedSearchAttributes:
    """What an environment can be found by."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(attributes.SERVICE, service_name),
            SearchAttributePair(attributes.ENVIRONMENT, environment),
        ]
    )


def deployment_static_summary(start: DeploymentInput) -> str:
    """One line: which version of what, by whom."""
    request = start.request
    return f"{request.service_name} {request.version} @ {request.git_commit_sha[:8]} by {request.git_author}"[:200]


def deployment_static_details(start: DeploymentInput) -> str:
    """Markdown: whence it comes and the way it goes."""
    request, spec = start.request, start.service.spec
    way = " → ".join(environment.name for environment in spec.environments) or "as its repository defines"
    return (
        f"Repository `{_plain(spec.git_repo)}`, commit `{request.git_commit_sha}` by {_plain(request.git_author)}.\n\n"
        f"Definition {start.service.version} of `{start.service.name}`: {way}."
    )


def environment_static_summary(service_name: str, environment: str) -> str:
    """One line."""
    return f"{environment} of {service_name}: one deployment at a time"


def deployment_details(deployment: Deployment) -> str:
    """Markdown: where the deployment stands, what it waits for and which command moves it."""
    lines = [
        f"**{deployment.status}** — {_plain(deployment.waits_for or deployment.error_message or _doing(deployment))}",
        "",
    ]
    lines += [_stage_line(stage) for stage in deployment.stages]
    lines += [_approval_line(approval) for approval in deployment.approvals[-8:]]
    if deployment.rollback is not None:
        rollback = deployment.rollback
        lines.append(
            f"- rollback to {rollback.target_version or 'nothing'} by {_plain(rollback.by)}: {rollback.status}"
            f" ({_plain(rollback.reason)})"
        )
    lines += ["", *(_commands(deployment) if not deployment.closed else [])]
    return "\n".join(lines)


def environment_details(state: EnvironmentState) -> str:
    """Markdown: who holds it, what is live, who waits and for what."""
    holder, live = state.holder, state.live
    lines = [
        f"Live: {f'**{live.version}** since {moment(live.since)}' if live else 'nothing yet'}.",
        f"Held by deployment `{holder.deployment_id}` of {holder.version} (turn {holder.fence})."
        if holder and not holder.live
        else "Nothing is being rolled out.",
    ]
    if state.hold is not None:
        lines.append(f"On **hold** by {_plain(state.hold.by)}: {_plain(state.hold.reason)}")
    if state.frozen_until is not None:
        lines.append(f"**Frozen** until {moment(state.frozen_until)} by {_plain(state.frozen_by or 'a freeze')}.")
    lines += [
        f"- {ticket.version} `{ticket.deployment_id}` {'waits for its turn' if ticket.ready else 'waits for approvals'}"
        for ticket in state.queue[:_SHOWN_IN_QUEUE]
    ]
    return "\n\n".join(lines)


def moment(millis: int) -> str:
    """A time for people, in UTC."""
    return datetime.fromtimestamp(millis / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


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
    error = f": {_plain(stage.error_message)}" if stage.error_message else ""
    return f"- {stage.environment}: {stage.status}{turn}{error}"


def _approval_line(approval: Approval) -> str:
    comment = f": {_plain(approval.comment)}" if approval.comment else ""
    return f"- {approval.decision} for {approval.environment} by {_plain(approval.by)}{comment}"


def _commands(deployment: Deployment) -> Sequence[str]:
    identity = deployment.deployment_id
    return (
        "What you can do:",
        f"- look: `hybridci deploy show {identity}`",
        f"- approve or reject: `hybridci deploy approve {identity}`, `hybridci deploy reject {identity} --reason …`",
        f"- roll back: `hybridci deploy rollback {identity} --reason …`",
    )


def _plain(text: str) -> str:
    return " ".join(text.replace("`", "'").split())
