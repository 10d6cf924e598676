"""How the line's record changes, and why a change is refused. Pure; times are epoch milliseconds.

Deliberately not here: keeping it (links of ``activities.line``).
"""

from dataclasses import dataclass
from typing import Any

from workflows.contracts.audit.details import LineLetGo, LineStopped
from workflows.contracts.audit.events import AuditEvent, new_event
from workflows.contracts.deployments.line import (
    MAX_CHANGE_IDS,
    MAX_STOPS,
    LetTheLineGo,
    LineState,
    LineStop,
    StopKind,
    StopScope,
    StopTheLine,
)
from workflows.contracts.errors import InvalidState
from workflows.line.stops import times_refused
from workflows.words import moment


@dataclass(frozen=True, slots=True)
class Changed:
    """The line after it, whom it concerns, and its line in the trail."""

    line: LineState
    scopes: list[StopScope]
    event: AuditEvent


def stopped(line: LineState, asked: StopTheLine, change_id: str, now: int) -> Changed:
    """With one more, or another one of this id. Raises ValidationFailed, InvalidState."""
    new, before = asked.stop, line.stop(asked.stop.stop_id)
    refused = None if new.ends_at is None else times_refused(new.starts_at, new.ends_at, now)
    if refused is not None:
        raise refused
    if (None if before is None else before.scope) != asked.replaces:
        raise InvalidState(f"The freeze or hold '{new.stop_id}' was changed in this moment: look again.")
    if before is not None and before.kind is not new.kind:
        raise InvalidState(f"The id '{new.stop_id}' cannot be used for this {new.kind}: choose another.")
    others = [each for each in _present(line, now) if each.stop_id != new.stop_id]
    if len(others) >= MAX_STOPS:
        raise InvalidState(f"The line has {MAX_STOPS} freezes and holds already: remove one first.")
    stop = LineStop(
        stop_id=new.stop_id,
        kind=new.kind,
        name=new.name,
        scope=new.scope,
        starts_at=now if new.starts_at is None else new.starts_at,
        ends_at=new.ends_at,
        by=asked.by,
        reason=asked.reason,
        allow_override=new.allow_override,
        created_at=now,
    )
    what = "on hold" if stop.kind is StopKind.HOLD else f"frozen by '{stop.name}'"
    until = "" if stop.ends_at is None else f" from {moment(stop.starts_at)} to {moment(stop.ends_at)}"
    event = new_event(
        LineStopped(kind=stop.kind, stop_id=stop.stop_id, scope=_plain(stop.scope), ends_at=stop.ends_at),
        asked.who(),
        event_id=change_id,
        at=now,
        reason=asked.reason,
        message=f"{stop.scope.words()}: {what}{until}.",
    )
    scopes = [stop.scope] if before is None else [stop.scope, before.scope]
    return Changed(_next(line, [*others, stop], change_id, now), scopes, event)


def let_go(line: LineState, asked: LetTheLineGo, change_id: str, now: int) -> Changed:
    """Without it. Raises InvalidState when there is none."""
    stop = line.stop(asked.stop_id)
    if stop is None:
        known = ", ".join(each.stop_id for each in line.stops) or "none"
        raise InvalidState(f"The line has no freeze or hold of the id '{asked.stop_id[:64]}'. Present: {known}.")
    if stop.scope != asked.scope:
        raise InvalidState(f"The {stop.kind} '{stop.stop_id}' was changed in this moment: look again.")
    others = [each for each in _present(line, now) if each.stop_id != stop.stop_id]
    event = new_event(
        LineLetGo(kind=stop.kind, stop_id=stop.stop_id, scope=_plain(stop.scope)),
        asked.who(),
        event_id=change_id,
        at=now,
        reason=asked.reason or None,
        message=f"{stop.scope.words()}: the {stop.kind} '{stop.name}' of {stop.by} is over before its time.",
    )
    return Changed(_next(line, others, change_id, now), [stop.scope], event)


def _plain(scope: StopScope) -> dict[str, Any]:
    return scope.model_dump(mode="json", exclude_defaults=True)


def _next(line: LineState, stops: list[LineStop], change_id: str, now: int) -> LineState:
    changes = [*line.changes, change_id][-MAX_CHANGE_IDS:]
    return LineState(stops=stops, changes=changes, revision=line.revision + 1, updated_at=now)


def _present(line: LineState, now: int) -> list[LineStop]:
    """What has ended by its time is in the trail, with its end."""
    return [each for each in line.stops if each.ends_at is None or each.ends_at > now]
