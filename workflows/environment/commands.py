"""What people may ask of an environment: hold, release, freeze, unfreeze. Pure; times are epoch milliseconds.

``refusal`` says why something cannot be done now; ``command`` does what is not refused.
"""

from workflows.contracts.audit.types import EventType
from workflows.contracts.deployments.environments import (
    EnvironmentState,
    Freeze,
    FreezeCommand,
    Hold,
    HoldCommand,
    ReleaseCommand,
    RetireCommand,
    Retired,
    UnfreezeCommand,
)
from workflows.contracts.errors import HybridCIError, InvalidState
from workflows.contracts.who import Who
from workflows.environment import words
from workflows.environment.step import EnvironmentStep, Tell, changed
from workflows.line.stops import times_refused
from workflows.words import moment

Command = HoldCommand | ReleaseCommand | FreezeCommand | UnfreezeCommand | RetireCommand
MAX_FREEZES = 100
"""The record is one item of 400 KB."""


def refusal(state: EnvironmentState, asked: Command, now: int) -> HybridCIError | None:
    """Why this cannot be done now, or None."""
    if isinstance(asked, ReleaseCommand) and state.hold is None:
        return InvalidState(f"{_place(state)} is not on hold: there is nothing to release.")
    if isinstance(asked, UnfreezeCommand) and _freeze(state, asked.freeze_id) is None:
        present = ", ".join(freeze.freeze_id for freeze in state.freezes) or "none"
        return InvalidState(
            f"{_place(state)} has no freeze of the id '{asked.freeze_id}'. Present: {present}. Recurring windows "
            "belong to the service's definition and are passed by `hybridci freeze override`."
        )
    if isinstance(asked, RetireCommand):
        return _retire_refusal(state)
    return _freeze_refusal(state, asked, now) if isinstance(asked, FreezeCommand) else None


def command(state: EnvironmentState, asked: Command, now: int) -> EnvironmentStep:
    """Do it, with its line in the audit trail."""
    if isinstance(asked, HoldCommand):
        hold = Hold(by=asked.by, reason=asked.reason, at=now)
        return _done(state, asked, EventType.ENVIRONMENT_HELD, f"{_place(state)} is on hold.", now, hold=hold)
    if isinstance(asked, ReleaseCommand):
        return _done(
            state, asked, EventType.ENVIRONMENT_RELEASED, f"The hold of {_place(state)} is lifted.", now, hold=None
        )
    if isinstance(asked, RetireCommand):
        return _retired(state, asked, now)
    others = [freeze for freeze in state.freezes if freeze.freeze_id != asked.freeze_id]
    if isinstance(asked, UnfreezeCommand):
        text = f"The freeze '{asked.freeze_id}' of {_place(state)} is lifted."
        return _done(state, asked, EventType.ENVIRONMENT_UNFROZEN, text, now, freezes=others)
    freeze = Freeze(
        freeze_id=asked.freeze_id,
        name=asked.name,
        starts_at=now if asked.starts_at is None else asked.starts_at,
        ends_at=asked.ends_at,
        by=asked.by,
        reason=asked.reason,
    )
    text = f"{_place(state)} is frozen by '{freeze.name}' from {moment(freeze.starts_at)} to {moment(freeze.ends_at)}."
    return _done(state, asked, EventType.ENVIRONMENT_FROZEN, text, now, freezes=[*others, freeze])


def refused(
    state: EnvironmentState,
    name: str,
    why: str,
    now: int,
    who: Who,
) -> EnvironmentStep:
    """A signal that changes nothing: nobody hears of it but the trail."""
    event = words.event(state, EventType.ENVIRONMENT_REFUSED, now, f"`{name}` was refused: {why}", who=who)
    return EnvironmentStep(state, events=(event,))


def _retire_refusal(state: EnvironmentState) -> HybridCIError | None:
    waiting = [ticket.version for ticket in state.queue]
    if state.holder is not None and not state.holder.live:
        waiting.append(state.holder.version)
    if waiting:
        return InvalidState(f"{', '.join(waiting)} is on its way into {_place(state)}: cancel it first.")
    return None if state.live is not None else InvalidState(f"Nothing is live in {_place(state)}.")


def _retired(state: EnvironmentState, asked: RetireCommand, now: int) -> EnvironmentStep:
    live = state.live
    if live is None:  # it was refused
        return EnvironmentStep(state)
    text = f"{live.version} is live in {_place(state)} no more: it is gone."
    step = _done(state, asked, EventType.ENVIRONMENT_RETIRED, text, now, live=None, holder=None, rollback=None)
    message = Retired(environment=state.environment, by=asked.by, reason=asked.reason)
    return EnvironmentStep(step.state, (Tell(live.deployment_id, live.workflow_id, message),), step.events)


def _freeze_refusal(state: EnvironmentState, asked: FreezeCommand, now: int) -> HybridCIError | None:
    refused = times_refused(asked.starts_at, asked.ends_at, now)
    if refused is not None:
        return refused
    if len(state.freezes) >= MAX_FREEZES and _freeze(state, asked.freeze_id) is None:
        return InvalidState(f"{_place(state)} has {MAX_FREEZES} freezes already: remove one first.")
    return None


def _done(
    state: EnvironmentState, asked: Command, what: EventType, text: str, now: int, **update: object
) -> EnvironmentStep:
    event = words.event(state, what, now, text, who=asked, reason=asked.reason or None)
    return EnvironmentStep(changed(state, **update), events=(event,))


def _freeze(state: EnvironmentState, freeze_id: str) -> Freeze | None:
    return next((freeze for freeze in state.freezes if freeze.freeze_id == freeze_id), None)


def _place(state: EnvironmentState) -> str:
    return f"{state.environment} of {state.service_name}"
