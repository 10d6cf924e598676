"""The lock of an environment: each message of a deployment is one function from a state to a Step. Pure.

Times are epoch milliseconds. ``turn.proceed`` follows and decides who is next.
Deliberately not here: what people may ask (``commands``), words (``words``), doing it
(``workflow``).
"""

from collections.abc import Sequence

from workflows.contracts.audit.details import Details, LockFreed
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.types import EventType
from workflows.contracts.deployments.environments import (
    MAX_HISTORY,
    EnvironmentState,
    Hold,
    Holder,
    Leave,
    Leaving,
    LiveVersion,
    Order,
    Reinstated,
    RestoreLive,
    RollbackReadiness,
    Ticket,
    Yielded,
)
from workflows.contracts.deployments.live_again import LiveAgain
from workflows.contracts.deployments.rules import SupersedePolicy
from workflows.contracts.who import Who
from workflows.environment import words
from workflows.environment.step import (
    EnvironmentStep,
    Tell,
    changed,
    granted,
    reinstated,
    superseded,
    version_of,
    without_ticket,
)


def join(state: EnvironmentState, ticket: Ticket, now: int) -> EnvironmentStep:
    """Take a place in line, or change one's ticket in place. From the present holder: its grant got lost."""
    if state.holder is not None and state.holder.deployment_id == ticket.deployment_id:
        return grant_again(state, ticket.deployment_id)
    known = _ticket(state, ticket.deployment_id)
    if known is not None:
        kept = {"arrived_at": known.arrived_at, "frozen": known.frozen, "waits_for": known.waits_for}
        after = _with_ticket(state, ticket.model_copy(update=kept))
        before = state.queue[: state.queue.index(known)] if ticket.order is not None else []
        return _superseding(after, ticket, before, now)
    new = ticket.model_copy(update={"frozen": False, "waits_for": None})
    return _superseding(changed(state, queue=[*state.queue, new]), ticket, state.queue, now)


def _superseding(state: EnvironmentState, ticket: Ticket, before: Sequence[Ticket], now: int) -> EnvironmentStep:
    """Of those that came before it, the older ones end. By order of arrival these are all; but none of which it knows
    that it is itself the older one, and none of which it does not know, since both came at once: the later of both
    turns looks.
    """
    if ticket.supersede is not SupersedePolicy.OLDER:
        return EnvironmentStep(state)
    order = ticket.order
    older = [each for each in before if order is None or order.get(each.deployment_id, Order.OLDER) is not Order.OLDER]
    events = (
        words.event(
            state,
            EventType.ENVIRONMENT_SUPERSEDED,
            now,
            f"{each.version} left the line: {ticket.version} is newer.",
            about=each,
        )
        for each in older
    )
    tells = (superseded(state, each.deployment_id, each.workflow_id, ticket) for each in older)
    gone = {each.deployment_id for each in older}
    queue = [each for each in state.queue if each.deployment_id not in gone]
    return EnvironmentStep(changed(state, queue=queue), tuple(tells), tuple(events))


def grant_again(state: EnvironmentState, deployment_id: str) -> EnvironmentStep:
    """Tell the deploying holder its grant once more, with the same number."""
    holder = state.holder
    if holder is None or holder.deployment_id != deployment_id or holder.live or holder.yielding:
        return EnvironmentStep(state)
    return EnvironmentStep(state, (granted(state, holder),))


def leave(state: EnvironmentState, message: Leave, now: int, *, owns: bool = True) -> EnvironmentStep:
    """Out of the line, or the lock back. Leaving of somebody unknown changes nothing.

    ``owns``, here and below: what is live holds the environment again when its holder is gone. Not in a run that has
    decided otherwise before there was that.
    """
    holder = state.holder or (_unheld(state, message) if owns else None)
    if holder is None or holder.deployment_id != message.deployment_id:
        return EnvironmentStep(without_ticket(state, message.deployment_id))
    if message.how is Leaving.DEPLOYED:
        return _deployed(state, holder, now)
    if message.how is Leaving.ROLLED_BACK:
        if not _was_live(state, message.live):
            return EnvironmentStep(state)  # nobody goes back to what was never there: a stranger's word
        return _rolled_back(state, holder, message, now, owns=owns)
    if message.how is Leaving.BROKEN:
        return _broken(state, holder, message, now, owns=owns)
    freed = words.event(
        state, EventType.ENVIRONMENT_FREED, now, f"{holder.version} gave the environment back.", about=holder
    )
    return EnvironmentStep(changed(state, holder=None), events=(freed,)).then(
        lambda after: _give_back(after, holder, now, owns=owns)
    )


def became_live(state: EnvironmentState, deployment_id: str, now: int) -> EnvironmentStep:
    """The holder's version is live; it keeps the lock. The one before is told that it is superseded."""
    holder = state.holder
    if holder is None or holder.deployment_id != deployment_id or holder.live or holder.yielding:
        return EnvironmentStep(state)
    before = state.live
    live = version_of(holder, now, before=before.deployment_id if before is not None else "", final=True)
    after = _lived(changed(state, holder=holder.model_copy(update={"live": True, "over": None})), live)
    event = words.event(
        state, EventType.ENVIRONMENT_LIVE, now, f"{holder.version} is live in {state.environment}.", about=holder
    )
    if before is None or before.deployment_id == deployment_id:
        return EnvironmentStep(after, events=(event,))
    return EnvironmentStep(after, (superseded(state, before.deployment_id, before.workflow_id, holder),), (event,))


def yielded(state: EnvironmentState, message: Yielded) -> EnvironmentStep:
    """The live holder hands over, as it was asked to. A late answer, to a question of an earlier turn, is none."""
    holder = state.holder
    if holder is None or holder.deployment_id != message.deployment_id or message.fence not in {None, holder.fence}:
        return EnvironmentStep(state)
    if not (holder.live and holder.yielding):
        return EnvironmentStep(state)
    return EnvironmentStep(changed(state, holder=holder.model_copy(update={"live": False})))


def gone(state: EnvironmentState, deployment_id: str, now: int, *, owns: bool = True) -> EnvironmentStep:
    """Its workflow has closed, so that it could not be told: it loses its place or the lock. What is live gets a
    workflow again.
    """
    holder, ticket = state.holder, _ticket(state, deployment_id)
    if ticket is not None:
        text = f"{ticket.version} left the line: its workflow has closed."
        event = words.event(state, EventType.ENVIRONMENT_DROPPED, now, text, about=ticket)
        return EnvironmentStep(without_ticket(state, deployment_id), events=(event,))
    if holder is None or holder.deployment_id != deployment_id:
        return EnvironmentStep(state)
    return _freed(state, holder, EventType.ENVIRONMENT_DROPPED, "its workflow has closed", now, owns=owns)


def closed(state: EnvironmentState, deployment_id: str, how: str, now: int, *, owns: bool = True) -> EnvironmentStep:
    """The watched holder's workflow has closed and it did not give the lock back."""
    if not watched(state) or state.holder is None or state.holder.deployment_id != deployment_id:
        return EnvironmentStep(state)
    why = f"its workflow was closed ({how}) while it held {state.environment}"
    return _freed(state, state.holder, LockFreed(closed_as=how), why, now, owns=owns)


def restore_live(state: EnvironmentState, message: RestoreLive, now: int) -> EnvironmentStep:
    """What is live has no workflow, or no record that says so. While another version is rolled out over it, that one
    keeps the lock, and what is live is told only so.
    """
    live, holder = state.live, state.holder
    if live is None or live.deployment_id != message.deployment_id:
        return EnvironmentStep(state)
    live = live.model_copy(update={"final": True, "again": live.again or _restarted(message, now)})
    known = changed(state, live=live)
    if holder is None or holder.deployment_id == live.deployment_id:
        return reinstated(known, live, now)
    if holder.live:
        return EnvironmentStep(state)
    told = Reinstated(
        environment=state.environment,
        fence=holder.fence,
        history=state.history,
        again=live.again,
        yielded_to=f"{holder.version} (deployment {holder.deployment_id})",
    )
    return EnvironmentStep(known, (Tell(live.deployment_id, live.workflow_id, told),))


def watched(state: EnvironmentState) -> Holder | None:
    """The holder who must not disappear with the lock: one that rolls out, or is asked to hand over."""
    holder = state.holder
    return holder if holder is not None and (not holder.live or holder.yielding) else None


def restored(state: EnvironmentState, now: int) -> EnvironmentStep:
    """Taken over from the record after the environment's workflow was lost, perhaps with signals on their way."""
    holder = state.holder
    event = words.event(
        state, EventType.ENVIRONMENT_RESTORED, now, "The environment goes on from its record.", about=holder
    )
    told = EnvironmentStep(state, events=(event,))
    return told if holder is None else told.then(lambda after: grant_again(after, holder.deployment_id))


def _deployed(state: EnvironmentState, holder: Holder, now: int) -> EnvironmentStep:
    after = _lived(changed(state, holder=None), version_of(holder, now))
    text = f"{holder.version} is deployed in {state.environment}."
    event = words.event(state, EventType.ENVIRONMENT_DEPLOYED, now, text, about=holder)
    return EnvironmentStep(after, _superseded_over(state, holder), (event,))


def readiness(state: EnvironmentState, message: RollbackReadiness) -> EnvironmentStep:
    """Whether one could go back from what is live; of what is live no more, it says nothing."""
    if state.live is None or state.live.deployment_id != message.live:
        return EnvironmentStep(state)
    return EnvironmentStep(changed(state, rollback=message))


def _rolled_back(state: EnvironmentState, holder: Holder, message: Leave, now: int, *, owns: bool) -> EnvironmentStep:
    after = changed(state, holder=None, hold=message.hold or state.hold)
    if message.live is None:
        after = changed(after, live=None)
    else:
        again = _brought_back(holder, message.hold, now)
        after = _lived(after, message.live.model_copy(update={"final": True, "again": again}))
    target = message.live.version if message.live is not None else "nothing"
    text = f"{holder.version} was rolled back: {target} is live in {state.environment}."
    event = words.event(state, EventType.ENVIRONMENT_ROLLED_BACK, now, text, about=holder)
    return EnvironmentStep(after, events=(event, *_hold_noted(state, message.hold, holder, now))).then(
        lambda then: _give_back(then, holder, now, owns=owns)
    )


def _was_live(state: EnvironmentState, live: LiveVersion | None) -> bool:
    """True for nothing, and where the environment knows of nothing that was."""
    if live is None or not state.history:
        return True
    said = (live.deployment_id, live.version, live.git_commit_sha)
    return any(said == (each.deployment_id, each.version, each.git_commit_sha) for each in state.history)


def _broken(state: EnvironmentState, holder: Holder, message: Leave, now: int, *, owns: bool) -> EnvironmentStep:
    reason = f"the rollback of {holder.version} failed: nobody knows what runs there"
    hold = message.hold or Hold(by="hybridci", reason=reason, at=now)
    text = f"{holder.version} left {state.environment} broken: {reason}."
    event = words.event(state, EventType.ENVIRONMENT_BROKEN, now, text, about=holder)
    after = changed(state, holder=None, hold=hold)
    return EnvironmentStep(after, events=(event, *_hold_noted(state, hold, holder, now))).then(
        lambda then: _give_back(then, holder, now, owns=owns)
    )


def _hold_noted(state: EnvironmentState, hold: Hold | None, holder: Holder, now: int) -> tuple[AuditEvent, ...]:
    if hold is None:
        return ()
    text = f"{state.environment} is on hold."
    return (
        words.event(
            state, EventType.ENVIRONMENT_HELD, now, text, about=holder, who=Who.itself(hold.by), reason=hold.reason
        ),
    )


def _freed(
    state: EnvironmentState, holder: Holder, what: EventType | Details, why: str, now: int, *, owns: bool
) -> EnvironmentStep:
    text = f"{holder.version} lost {state.environment}: {why}."
    event = words.event(state, what, now, text, about=holder)
    step = EnvironmentStep(changed(state, holder=None), events=(event,))
    live = state.live
    if owns and live is not None and live.deployment_id == holder.deployment_id and not holder.restarted:
        return step.then(lambda after: reinstated(after, live, now, restarted=True))
    return step.then(lambda after: _give_back(after, holder, now, owns=owns))


def _give_back(state: EnvironmentState, holder: Holder, now: int, *, owns: bool) -> EnvironmentStep:
    """What is live holds the environment again: mostly the version that had yielded to this holder."""
    live, over = state.live, holder.over
    yielded_to = live is not None and live.deployment_id == over
    lives_on = owns and live is not None and live.final and live.deployment_id != holder.deployment_id
    step = EnvironmentStep(state) if yielded_to else EnvironmentStep(state, _superseded_over(state, holder))
    if live is None or not (yielded_to or lives_on):
        return step
    return step.then(lambda after: reinstated(after, live, now))


def _unheld(state: EnvironmentState, message: Leave) -> Holder | None:
    """What is live goes back though nobody holds the environment: of before what came back held it again. Or what was
    said to be gone, while it brought another one back.
    """
    retired = state.live is None and message.live is not None
    live = next(iter(state.history), None) if retired else state.live
    back = message.how in {Leaving.ROLLED_BACK, Leaving.BROKEN}
    if not back or live is None or live.deployment_id != message.deployment_id:
        return None
    return Holder(
        deployment_id=live.deployment_id,
        workflow_id=live.workflow_id,
        version=live.version,
        git_commit_sha=live.git_commit_sha,
        fence=state.fence,
        since=live.since,
        live=True,
    )


def _brought_back(holder: Holder, hold: Hold | None, now: int) -> LiveAgain:
    return LiveAgain(
        from_deployment_id=holder.deployment_id,
        from_version=holder.version,
        by=hold.by if hold is not None else "",
        at=now,
        reason=hold.reason.removeprefix(f"rolled back from {holder.version}: ") if hold is not None else "",
    )


def _restarted(message: RestoreLive, now: int) -> LiveAgain:
    return LiveAgain(by="reconciliation", at=now, reason=message.why)


def _superseded_over(state: EnvironmentState, holder: Holder) -> tuple[Tell, ...]:
    """To the version that yielded to this holder and is live no more."""
    over = next((each for each in state.history if each.deployment_id == holder.over), None)
    return () if over is None else (superseded(state, over.deployment_id, over.workflow_id, holder),)


def _lived(state: EnvironmentState, live: LiveVersion) -> EnvironmentState:
    known = next((each for each in state.history if each.deployment_id == live.deployment_id), None)
    if known is not None and known.before is not None:
        live = live.model_copy(update={"before": known.before})
    others = [
        each.model_copy(update={"again": None}) for each in state.history if each.deployment_id != live.deployment_id
    ]
    return changed(state, live=live, history=[live, *others][:MAX_HISTORY], rollback=None)


def _ticket(state: EnvironmentState, deployment_id: str) -> Ticket | None:
    return next((ticket for ticket in state.queue if ticket.deployment_id == deployment_id), None)


def _with_ticket(state: EnvironmentState, ticket: Ticket) -> EnvironmentState:
    queue = [ticket if each.deployment_id == ticket.deployment_id else each for each in state.queue]
    return changed(state, queue=queue)
