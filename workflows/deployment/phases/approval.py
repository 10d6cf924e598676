"""Wait for the approvals that the environment asks for; it expires.

Deliberately not here: what counts as an approval (``workflows.deployment.rules.approvals``).
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.deployment import Decision
    from workflows.contracts.deployments.rules import ApprovalPolicy
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.judging import are_judged, judge_again
    from workflows.deployment.progress import Failed, Phase
    from workflows.deployment.rules.approvals import asks, missing
    from workflows.job.recorded import now_ms


async def run(context: Context) -> None:
    """Ends in TURN."""
    environment, until = context.state.environment, context.state.progress.until
    name, policy = environment.name, environment.approval
    if policy is None or until is None:
        context.journal.move(Phase.TURN)
        return
    while (lacking := await _lacking(context, policy, name)) is not None:
        before = len(context.state.deployment.approvals)  # whoever speaks while the record is written counts as well
        words = asks(context.state.deployment, name, lacking, until)
        context.journal.change(record.waiting, name, words)
        await context.journal.record()
        said = await context.wait(
            lambda: len(context.state.deployment.approvals) != before,  # noqa: B023 - awaited within this round
            until=until,
            summary=_summary(policy, name),
        )
        if not said:
            raise Failed(
                EventType.DEPLOYMENT_APPROVAL_EXPIRED,
                f"Nobody approved {name} in time ({lacking}). Deploy it again to ask again.",
            )
        _require_no_rejection(context, name)
    context.journal.change(record.stage_changed, name, approved_at=now_ms())
    await context.lock.join(ready=True)
    context.journal.move(Phase.TURN)


async def _lacking(context: Context, policy: ApprovalPolicy, name: str) -> str | None:
    """What is missing; when nothing seems to be, all that was given is judged again first."""
    lacking = missing(policy, context.state.deployment.approvals, name)
    if lacking is not None or not are_judged(context):
        return lacking
    await judge_again(context, context.state.environment)
    _require_no_rejection(context, name)
    return missing(policy, context.state.deployment.approvals, name)


def _require_no_rejection(context: Context, name: str) -> None:
    last = context.state.deployment.approvals[-1]
    if last.decision is Decision.REJECT:
        raise Failed(EventType.DEPLOYMENT_REJECTED, f"{last.by} rejected it for {name}: {last.comment}")


def _summary(policy: ApprovalPolicy, environment: str) -> str:
    return f"approval for {environment} expires after {policy.expires_seconds} s"
