"""How a deployment stops short: what an interrupt means, failing, giving up, giving the lock back, closing.

Deliberately not here: going back to another version (``rollback``, ``phases.rollback``).
"""

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import load_environment
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.commands import Abort, CancelDeployment, RollbackCommand
    from workflows.contracts.deployments.deployment import Deployment, NeedsDecision
    from workflows.contracts.deployments.environments import (
        EnvironmentInput,
        Hold,
        Leave,
        Leaving,
        Retired,
        Superseded,
    )
    from workflows.contracts.deployments.relations import Relation
    from workflows.deployment import record
    from workflows.deployment.banning import heeds, refresh
    from workflows.deployment.context import Context
    from workflows.deployment.journal import ENVIRONMENT
    from workflows.deployment.progress import METRICS, Banned, Breach, Phase
    from workflows.deployment.rollback import begin
    from workflows.deployment.rules.relations import outdated_words
    from workflows.deployment.state import State
    from workflows.job.recorded import now_ms

_PATIENCE: Final = timedelta(minutes=1)
_PERSON: Final = "a-person-decides-on-a-version-under-hold"  # 2026-11: before, a breach always rolled back
_ONCE_COMMITTED: Final = "leave-once-committed"  # 2026-11: before, a local activity told the lock


async def act_on_interrupt(context: Context) -> None:
    """Do what the interrupt asks for, if there is one still."""
    journal, state = context.journal, context.state
    interrupt, journal.state = state.interrupt, state.resumed()
    if isinstance(interrupt, RollbackCommand):
        wanted = (interrupt.to_version, interrupt.to_commit)
        begin(
            journal,
            state.choice(*wanted) or state.choice(*wanted, heeding_bans=False),
            by=interrupt.by,
            reason=interrupt.reason,
            automatic=False,
            job_id=interrupt.job_id,
            ban=interrupt.ban,
        )
    elif isinstance(interrupt, Superseded):
        journal.note(EventType.DEPLOYMENT_SUPERSEDED, ENVIRONMENT, message=f"by {interrupt.by_version}")
        journal.change(record.superseded, interrupt.by_deployment_id, interrupt.by_version, now_ms())
        await end(context)
    elif isinstance(interrupt, Retired):
        why = f"{interrupt.by} says that it is gone: {interrupt.reason}"
        journal.note(EventType.DEPLOYMENT_RETIRED, ENVIRONMENT, reason=interrupt.reason, message=why)
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
    elif isinstance(interrupt, Banned):
        await fail(context, EventType.DEPLOYMENT_BANNED, interrupt.message)
    elif isinstance(interrupt, Breach):
        await _act_on_breach(context, interrupt)


async def fail(context: Context, what: EventType, message: str) -> None:
    """Roll back when something runs in the last environment and there is a version to go back to; else end.

    ``what`` happened is the record's cause.
    """
    if context.state.progress.touched and heeds("when-it-fails"):
        await refresh(context)
    await _fall_back(context, what, message)


async def _fall_back(context: Context, what: EventType, message: str) -> None:
    journal, state, cause = context.journal, context.state, what.word
    chosen = state.choice()
    if state.progress.touched and chosen is not None:
        journal.change(Deployment.model_copy, update={"cause": cause, "error_message": message})
        journal.note(what, message=message)
        ban = what is not EventType.DEPLOYMENT_CANCELLED  # who stops a version says nothing of it
        begin(journal, chosen, by="workflow", reason=message, automatic=True, ban=ban)
        return
    if state.progress.touched:
        why = _nothing_to_go_back_to(state)
        message = f"{message} {why[0].upper()}{why[1:]}"
    journal.note(what, message=message)
    journal.change(record.failed, cause, message, now_ms())
    await end(context, Leave(deployment_id=state.identity, how=Leaving.ENDED))


async def stand_back(context: Context, newer: Relation) -> None:
    """End as superseded: its commit is older than this one's, which is there or ahead."""
    journal, state = context.journal, context.state
    message = outdated_words(state.deployment.version, newer)
    journal.note(EventType.DEPLOYMENT_OUTDATED, message=message)
    journal.change(record.outdated, newer, message, now_ms())
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


def _nothing_to_go_back_to(state: State) -> str:
    if not state.former:
        return "nothing was live before it, so there is nothing to roll back to."
    banned = ", ".join(each.version for each in state.former[:5])
    return (
        f"all that was live before it is banned ({banned}), so nothing is rolled back by itself: "
        f"`hybridci deploy rollback {state.identity} --to-version … --lift-ban --reason …`."
    )


async def _abort(context: Context, asked: Abort) -> None:
    """As ``fail``, but that a person asked for the rollback; the trail has it already. It bans nothing."""
    if context.state.progress.touched and heeds("at-an-abort"):
        await refresh(context)
    state, chosen = context.state, context.state.choice()
    if state.progress.touched and chosen is not None:
        begin(context.journal, chosen, by=asked.by, reason=asked.reason, automatic=False, ban=False)
        return
    nothing = _nothing_to_go_back_to(state)
    more = f" {nothing[0].upper()}{nothing[1:]}" if state.progress.touched else ""
    why = f"{asked.by} aborted it: {asked.reason}{more}"
    context.journal.change(record.failed, EventType.DEPLOYMENT_ABORTED.word, why, now_ms())
    await end(context, Leave(deployment_id=state.identity, how=Leaving.ENDED))


async def _act_on_breach(context: Context, breach: Breach) -> None:
    if heeds("at-a-breach"):
        await refresh(context)
    journal, state = context.journal, context.state
    if state.progress.phase is Phase.LIVE and state.last_good is not None:
        why = await _why_a_person_decides(context) if workflow.patched(_PERSON) else None
        if context.state.interrupt is not None:  # a person's word came meanwhile: that counts
            return
        if why is not None:
            await _ask(context, breach.message, why)
            return
    if state.progress.phase is not Phase.LIVE or state.last_good is not None:
        await _fall_back(context, EventType.DEPLOYMENT_METRICS_BREACHED, breach.message)
        return
    message = f"{breach.message} It stays live: {_nothing_to_go_back_to(state)}"
    journal.note(EventType.DEPLOYMENT_METRICS_BREACHED, message=message)
    journal.change(Deployment.model_copy, update={"error_message": message})
    await journal.record()


async def _why_a_person_decides(context: Context) -> str | None:
    """Nothing automatic rolls back what a rollback brought back, nor what is under hold; nor when nobody can tell."""
    state, name = context.state, context.state.environment.name
    again = state.deployment.live_again
    if again is not None and again.from_deployment_id is not None:
        return f"a rollback of {again.from_version} brought it back."
    place = EnvironmentInput(service_name=state.deployment.service_name, environment=name)
    try:
        found = await context.calls.call(
            load_environment, place, summary=f"{name}: is it on hold?", give_up_after=_PATIENCE
        )
    except FailureError:
        found = None
    if found is None:
        return f"the record of {name} cannot be read, so nobody can tell whether it is on hold."
    return None if found.hold is None else f"{name} is on hold by {found.hold.by}: {found.hold.reason}"


async def _ask(context: Context, what: str, why: str) -> None:
    journal = context.journal
    needed = NeedsDecision(what=what, why=why, by="workflow", at=now_ms(), key=METRICS)
    journal.change(record.asks_person, needed)
    journal.note(EventType.DEPLOYMENT_METRICS_BREACHED, message=what)
    journal.note(EventType.DEPLOYMENT_NEEDS_DECISION, message=context.state.deployment.waits_for or "")
    await journal.record()


async def _give_up(context: Context, why: str) -> None:
    journal, version = context.journal, context.state.deployment.version
    hold = Hold(by="workflow", reason=f"A rollback of {version} failed and was given up.", at=now_ms())
    journal.note(EventType.DEPLOYMENT_GIVEN_UP, message=why)
    message = f"Its rollback failed and was given up. {why}"
    journal.change(record.failed, "rollback_failed", message, now_ms())
    await end(context, Leave(deployment_id=context.state.identity, how=Leaving.BROKEN, hold=hold))
