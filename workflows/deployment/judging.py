"""Asking whether approvals count: who may approve now, and whose word it is, is not in a workflow. One activity tells.

Deliberately not here: the judgement (``approvals``), waiting for people (``phases.approval``).
"""

from collections.abc import Sequence
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import approval_facts
    from workflows.contracts.deployments.approvals import ApprovalQuestion
    from workflows.contracts.deployments.deployment import Approval, Decision
    from workflows.contracts.deployments.services import Environment
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.rules.approvals import given_for, judged


_JUDGED: Final = "approvals-are-judged"  # 2026-11: before, an approval counted by its name alone


_WITHDRAWN: Final = "approvals-of-revoked-credentials-count-no-more"  # 2026-11: before, nobody looked


def are_judged(context: Context) -> bool:
    """False where a history was written before that.

    Those that were given then are counted in the name: once asked, the SDK gives the same answer for one name for the
    rest of the run, and what is given to a deployment after an upgrade is to be judged.
    """
    old = sum(each.person is None and each.decision is Decision.APPROVE for each in context.state.deployment.approvals)
    return workflow.patched(f"{_JUDGED}-after-{old}" if old else _JUDGED)


async def judge(context: Context, environment: Environment, entry: Approval) -> Approval:
    """An approval that is about to be given, beside those that were."""
    return (await _judged(context, environment, [*_given(context, environment), entry]))[-1]


async def judge_again(context: Context, environment: Environment) -> None:
    """Those that were given: whoever was removed since then counts no more. What is given meanwhile stays as it is."""
    given = _given(context, environment)
    context.journal.change(record.judged, given, await _judged(context, environment, given))


def _given(context: Context, environment: Environment) -> list[Approval]:
    return given_for(context.state.deployment.approvals, environment.name)


async def _judged(context: Context, environment: Environment, given: Sequence[Approval]) -> list[Approval]:
    policy, deployment = environment.approval, context.state.deployment
    if policy is None:
        return list(given)
    question = ApprovalQuestion(
        service_name=deployment.service_name,
        environment=environment.name,
        deployment_id=deployment.deployment_id,
        version=deployment.version,
        git_commit_sha=deployment.git_commit_sha,
        given=[entry.vouched for entry in given],
    )
    facts = await context.calls.call(approval_facts, question, summary=f"{environment.name}: who may approve")
    if any(facts.withdrawn) and not workflow.patched(_WITHDRAWN):
        facts = facts.model_copy(update={"withdrawn": []})
    return judged(policy, deployment, environment.name, given, facts)
