"""The approval that a deployment waits for: who has given theirs, what is missing, who may, and whether the caller may.

By the same rules as the workflow's, on the record and the service as they are now; when it is given, the workflow alone
decides. Deliberately not here: the rules (``workflows.deployment.rules.approvals``), giving it (``service``).
"""

from typing import Any

from pydantic import Field

from api.auth.origin import Origin
from api.auth.vouching import Giver
from api.deployments.ports import DeploymentPorts
from workflows.contracts.access import ROLE_OPERATIONS, Operation
from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.approvals import ApprovalFacts
from workflows.contracts.deployments.commands import Approve
from workflows.contracts.deployments.deployment import Approval, Decision, Deployment, StageStatus
from workflows.contracts.deployments.rules import ApprovalPolicy
from workflows.contracts.deployments.services import Service
from workflows.contracts.fields import Millis
from workflows.deployment.rules.approvals import approval_refused, counting, given_for, judged, missing, who_may


class GivenApproval(Tolerant):
    """A yes that was given. ``counts``: as last judged; ``why`` not, or what is to be known of it."""

    by: str
    at: Millis
    counts: bool
    why: str | None = None
    comment: str = ""
    groups: list[str] = Field(default_factory=list[str])
    signed: bool = False


class WantedGroup(Tolerant):
    """Of whose members so many must be among the approvers."""

    name: str
    required: int
    members: list[str]


class WantedApproval(Tolerant):
    """What is asked of people. ``waits``: it is asked now; else the rest is empty.

    ``missing`` in words; ``who_may`` likewise. ``you_may``: whether the caller's would count; ``why_not`` if it would
    not. ``signed``: each must be signed.
    """

    deployment_id: str
    version: str
    git_commit_sha: str
    waits: bool
    environment: str | None = None
    required: int = 0
    counting: int = 0
    given: list[GivenApproval] = Field(default_factory=list[GivenApproval])
    groups: list[WantedGroup] = Field(default_factory=list[WantedGroup])
    missing: str | None = None
    signed: bool = False
    expires_at: Millis | None = None
    who_may: str = ""
    you: str = ""
    you_may: bool = False
    why_not: str | None = None


async def wanted_approval(ports: DeploymentPorts, origin: Origin, deployment: Deployment) -> WantedApproval:
    """For the caller. Raises NotFound, Unavailable."""
    about: dict[str, Any] = {
        "deployment_id": deployment.deployment_id,
        "version": deployment.version,
        "git_commit_sha": deployment.git_commit_sha,
        "you": origin.caller.id,
    }
    stage = deployment.stage(deployment.environment) if deployment.environment else None
    policy = None if stage is None else _policy(deployment, stage.environment)
    waits = stage is not None and stage.status is StageStatus.WAITING and stage.approved_at is None
    if stage is None or policy is None or not waits or deployment.closed or stage.approval_expires_at is None:
        return WantedApproval(waits=False, **about)
    service = await ports.deployments.service(deployment.service_name)
    why_not = _why_not(ports, origin, deployment, policy, service)
    return WantedApproval(
        **about,
        waits=True,
        environment=stage.environment,
        required=policy.required,
        counting=len(counting(deployment.approvals, stage.environment)),
        given=[_given(each) for each in given_for(deployment.approvals, stage.environment)],
        groups=[WantedGroup(name=each.name, required=each.required, members=each.members) for each in policy.groups],
        missing=missing(policy, deployment.approvals, stage.environment),
        signed=policy.signed,
        expires_at=stage.approval_expires_at,
        who_may=who_may(policy, deployment),
        you_may=why_not is None,
        why_not=why_not,
    )


def _policy(deployment: Deployment, environment: str) -> ApprovalPolicy | None:
    return next((each.approval for each in deployment.definition.environments if each.name == environment), None)


def _given(entry: Approval) -> GivenApproval:
    return GivenApproval(
        by=entry.by,
        at=entry.at,
        counts=entry.counts,
        why="; ".join(entry.marks) or None,
        comment=entry.comment,
        groups=entry.groups,
        signed=entry.signed is not None,
    )


def _why_not(
    ports: DeploymentPorts, origin: Origin, deployment: Deployment, policy: ApprovalPolicy, service: Service
) -> str | None:
    """Why the caller's approval would not be taken; None when it would, as far as is known here."""
    caller, environment = origin.caller, deployment.environment or ""
    if not caller.may(Operation.DEPLOYMENTS_APPROVE, service=deployment.service_name):
        roles = [role for role, may in ROLE_OPERATIONS.items() if Operation.DEPLOYMENTS_APPROVE in may]
        return f"{caller.id} may not approve for {deployment.service_name}: that needs the role {' or '.join(roles)}."
    giver = Giver(ports.voucher.people.of(caller.bearer), None, caller.credential_id)
    command = ports.voucher.vouch(Approve(by=caller.id, environment=environment), giver, deployment)
    unsigned = policy.model_copy(update={"signed": False})
    if (why := approval_refused(unsigned, deployment, environment, command, ports.clock())) is not None:
        return _without_whom(why)
    assert command.vouched is not None  # noqa: S101 - for the type checker
    entry = Approval(
        environment=environment,
        decision=Decision.APPROVE,
        by=caller.id,
        at=ports.clock(),
        git_commit_sha=deployment.git_commit_sha,
        vouched=command.vouched,
        person=command.vouched.identity.person,
    )
    earlier = given_for(deployment.approvals, environment)
    rules = service.spec.environments if service.spec.policy is None else service.spec.policy.environments
    facts = ApprovalFacts(
        policy=next((each.approval for each in rules if each.name == environment), None),
        doubts=[None] * (len(earlier) + 1),
        allow_unverified=True,
        allow_self_approval=ports.voucher.allow_self_approval,
    )
    return judged(policy, deployment, environment, [*earlier, entry], facts)[-1].why


def _without_whom(why: str) -> str:
    """The rest is told once."""
    return why.partition(" Who may: ")[0]
