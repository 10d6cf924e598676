"""How a deployment stops short: what an interrupt means, failing, giving up, giving the lock back, closing.

Deliberately not here: going back to another version (``rollback``, ``phases.rollback``).
"""

from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.commands import Abort, CancelDeployment, RollbackCommand
    from workflows.contracts.deployments.deployment import Deployment
    from workflows.contracts.deployments.environments import Hold, Leave, Leaving, Retired, Superseded
    from workflows.contracts.who import Who
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.journal import ENVIRONMENT
    from workflows.deployment.progress import Breach, Phase
    from workflows.deployment.rollback import begin
    from workflows.job.recorded import now_ms

_ONCE_COMMITTED: Final = "leave-once-committed"  # 2026-11: before, a local activity told the lock


async def act_on_interrupt(context: Context) -> None:
    """Do what the interrupt asks for, if there is one still."""
    journal, state = context.journal, context.state
    interrupt, journal.state = state.interrupt, state.resumed()
    if isinstance(interrupt, RollbackCommand):
        chosen = state.choice(interrupt.to_version, interrupt.to_commit)
        begin(journal, chosen, by=interrupt.by, reason=interrupt.reason, automatic=False, job_id=interrupt.job_id)
    elif isinstance(interrupt, Superseded):
        journal.note(EventType.DEPLOYMENT_SUPERSEDED, ENVIRONMENT, message=f"by {interrupt.by_version}")
        journal.change(record.superseded, interrupt.by_deployment_id, interrupt.by_version, now_ms())
        await end(context)
    elif isinstance(interrupt, Retired):
        why = f"{interrupt.by} says that it is gone: {interrupt.reason}"
        journal.note(EventType.DEPLOYMENT_RETIRED, Who.itself(interrupt.by), reason=interrupt.reason, message=why)
        journal.change(record.retired, why, now_ms())
        await end(context)
    elif isinstance(interrupt, Abort):
        await _abort(context, interrupt)
    elif isinstance(interrupt, CancelDeployment):
        why = f"{interrupt.by} cancelled it{': ' + interrupt.reason if interrupt.reason else '.'}"
        await (
            _give_up(context, why)
            if state.progress.phase is Phase.STUCK
            else fail(context, EventType.DEPLOYMENT_CANCELLED, why)
        )
    elif isinstance(interrupt, Breach):
        await _act_on_breach(context, interrupt)


async def fail(context: Context, what: EventType, message: str) -> None:
    """Roll back when something runs in the last environment and there is a version to go back to; else end.

    ``what`` happened is the record's cause.
    """
    journal, state, cause = context.journal, context.state, what.word
    chosen = state.choice()
    if state.progress.touched and chosen is not None:
        journal.change(Deployment.model_copy, update={"cause": cause, "error_message": message})
        journal.note(what, message=message)
        begin(journal, chosen, by="workflow", reason=message, automatic=True)
        return
    if state.progress.touched:
        message = f"{message} Nothing was live before it, so there is nothing to roll back to."
    journal.note(what, message=message)
    journal.change(record.failed, cause, message, now_ms())
    await end(context, Leave(deployment_id=state.identity, how=Leaving.ENDED))


async def end(context: Context, leave: Leave | None = None) -> None:
    """Give the lock back, if it was not taken, and close. The lock hears of it only once it cannot be undone: a
    task that closes a workflow is refused, and forgotten, when a signal has come in meanwhile.
    """
    if leave is not None and context.state.progress.in_line:
        committed = workflow.patched(_ONCE_COMMITTED)
        if committed and leave.hold is None:  # a hold is best there before the end is seen
            await context.journal.record()
        await context.lock.leave(leave, committed=committed)
    context.journal.move(Phase.END)
    await context.journal.record()


async def _abort(context: Context, asked: Abort) -> None:
    """As ``fail``, but that a person asked for the rollback; the trail has it already."""
    state, chosen = context.state, context.state.choice()
    if state.progress.touched and chosen is not None:
        begin(context.journal, chosen, by=asked.by, reason=asked.reason, automatic=False)
        return
    more = " Nothing was live before it, so there is nothing to roll back to." if state.progress.touched else ""
    why = f"{asked.by} aborted it: {asked.reason}{more}"
    context.journal.change(record.failed, EventType.DEPLOYMENT_ABORTED.word, why, now_ms())
    await end(context, Leave(deployment_id=state.identity, how=Leaving.ENDED))


async def _act_on_breach(context: Context, breach: Breach) -> None:
    journal, state = context.journal, context.state
    if state.progress.phase is not Phase.LIVE or state.target() is not None:
        await fail(context, EventType.DEPLOYMENT_METRICS_BREACHED, breach.message)
        return
    message = f"{breach.message} It stays live: nothing was live before it."
    journal.note(EventType.DEPLOYMENT_METRICS_BREACHED, message=message)
    journal.change(Deployment.model_copy, update={"error_message": message})
    await journal.record()


async def _give_up(context: Context, why: str) -> None:
    journal, version = context.journal, context.state.deployment.version
    hold = Hold(by="workflow", reason=f"A rollback of {version} failed and was given up.", at=now_ms())
    journal.note(EventType.DEPLOYMENT_GIVEN_UP, message=why)
    message = f"Its rollback failed and was given up. {why}"
    journal.change(record.failed, "rollback_failed", message, now_ms())
    await end(context, Leave(deployment_id=context.state.identity, how=Leaving.BROKEN, hold=hold))
