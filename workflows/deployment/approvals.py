"""Who may let a version into an environment, and when there are enough of them. Pure.

Deliberately not here: waiting for people (``workflow``). An approval is for one deployment, so for one commit:
another commit is another deployment and starts without any.
"""

from collections.abc import Sequence

from workflows.contracts.deployments.commands import Approve, Reject
from workflows.contracts.deployments.deployment import Approval, Decision, Deployment
from workflows.contracts.deployments.services import ApprovalPolicy


def same_person(one: str, other: str) -> bool:
    """People are told apart by their name or mail address, whatever its capitals."""
    return one.strip().casefold() == other.strip().casefold()


def approvers(approvals: Sequence[Approval], environment: str) -> list[str]:
    """Who has approved this environment."""
    return [entry.by for entry in approvals if entry.environment == environment and entry.decision is Decision.APPROVE]


def missing(policy: ApprovalPolicy, approvals: Sequence[Approval], environment: str) -> str | None:
    """What is still missing, in words; None when there are enough."""
    given = approvers(approvals, environment)
    parts = [f"{len(given)} of {policy.required} approvals are given"] if len(given) < policy.required else []
    for group in policy.groups:
        of_group = sum(any(same_person(by, member) for member in group.members) for by in given)
        if of_group < group.required:
            parts.append(f"{of_group} of {group.required} by {group.name}")
    return ", ".join(parts) or None


def approval_refused(
    policy: ApprovalPolicy, deployment: Deployment, environment: str, command: Approve, now: int
) -> str | None:
    """Why this approval does not count, None when it does. ``now`` in epoch milliseconds."""
    if (mismatch := _mismatch(deployment, environment, command)) is not None:
        return mismatch
    if any(same_person(command.by, by) for by in approvers(deployment.approvals, environment)):
        return f"{command.by} has approved {environment} already: another person is needed."
    if not policy.allow_author and same_person(command.by, deployment.git_author):
        return f"{command.by} is the author of {deployment.version}: somebody else must approve it for {environment}."
    if policy.groups and not any(same_person(command.by, m) for group in policy.groups for m in group.members):
        names = ", ".join(group.name for group in policy.groups)
        return f"{command.by} is in none of the groups that may approve {environment}: {names}."
    return _signature_refused(policy, deployment, environment, command, now)


def rejection_refused(deployment: Deployment, environment: str, command: Reject) -> str | None:
    """Why this rejection does not count, None when it does. Anybody may reject, the author too."""
    if command.environment is not None and command.environment != environment:
        return _other_environment(deployment, environment, command.environment)
    return None


def _mismatch(deployment: Deployment, environment: str, command: Approve) -> str | None:
    if command.environment is not None and command.environment != environment:
        return _other_environment(deployment, environment, command.environment)
    if command.version is not None and command.version != deployment.version:
        return (
            f"This deployment is of {deployment.version}, not {command.version}: look at it again before you approve."
        )
    if command.git_commit_sha is not None and command.git_commit_sha != deployment.git_commit_sha:
        return (
            f"This deployment is of commit {deployment.git_commit_sha[:12]}, not {command.git_commit_sha[:12]}: "
            "look at it again before you approve."
        )
    return None


def _signature_refused(
    policy: ApprovalPolicy, deployment: Deployment, environment: str, command: Approve, now: int
) -> str | None:
    """Only whether it speaks of this deployment: the keys are with the agents, which check the signature itself."""
    signed = command.signed
    if signed is None and policy.signed:
        return f"{environment} takes signed approvals only: `hybridci deploy approve … --sign-with FILE`."
    if signed is None:
        return None
    said = (signed.service, signed.version, signed.git_commit_sha, signed.environment)
    if said != (deployment.service_name, deployment.version, deployment.git_commit_sha, environment):
        return (
            f"The signature is for {signed.version} ({signed.git_commit_sha[:12]}) of {signed.service} in "
            f"{signed.environment}, not for this deployment: sign again."
        )
    if signed.expires_at <= now:
        return "The signature has expired: sign again."
    return None


def _other_environment(deployment: Deployment, waiting: str, named: str) -> str:
    return f"{deployment.version} waits for approval of {waiting}, not of {named}."
