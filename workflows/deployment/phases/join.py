"""Take a place in the line of the next environment, unless the order of commits says otherwise."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.deployment import ordering, record
    from workflows.deployment.context import Context
    from workflows.deployment.endings import stand_back
    from workflows.deployment.phases import order
    from workflows.deployment.progress import Interrupted, Phase
    from workflows.deployment.rules.relations import CommitStanding, marks
    from workflows.job.recorded import now_ms


async def run(context: Context) -> None:
    """Ends in APPROVAL, or in TURN where nobody need approve; in ORDER where a person is asked, in END where it is
    older.
    """
    environment = context.state.environment
    policy = environment.approval
    if ordering.looks(context, "before-the-line-of"):
        standing = await ordering.look(context)
        if context.state.interrupt is not None:
            raise Interrupted
        if await _stopped(context, standing):
            return
        context.journal.state = context.state.noting(order=standing.by_deployment(), seen=marks(standing.doubts))
    await context.lock.join(ready=policy is None)
    if policy is None:
        context.journal.move(Phase.TURN)
        return
    until = now_ms() + policy.expires_seconds * 1000
    context.journal.change(record.stage_changed, environment.name, approval_expires_at=until)
    context.journal.move(Phase.APPROVAL, until=until)


async def _stopped(context: Context, standing: CommitStanding) -> bool:
    """True when it ends here, or a person is asked first. Where somebody has to approve it, they are asked so."""
    deployment, environment = context.state.deployment, context.state.environment
    if (newer := standing.outdated(deployment, environment)) is not None:
        await stand_back(context, newer)
        return True
    if environment.approval is None and standing.asks(deployment, environment, context.state.progress.accepted):
        await order.ask(context, standing)
        return True
    return False
