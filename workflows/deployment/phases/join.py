"""Take a place in the line of the next environment."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.progress import Phase
    from workflows.job.recorded import now_ms


async def run(context: Context) -> None:
    """Ends in APPROVAL, or in TURN where nobody need approve."""
    environment = context.state.environment
    policy = environment.approval
    await context.lock.join(ready=policy is None)
    if policy is None:
        context.journal.move(Phase.TURN)
        return
    until = now_ms() + policy.expires_seconds * 1000
    context.journal.change(record.stage_changed, environment.name, approval_expires_at=until)
    context.journal.move(Phase.APPROVAL, until=until)
