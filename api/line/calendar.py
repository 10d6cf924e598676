"""What stops rollouts in the days to come: freezes and holds of one service or of many, recurring windows as the times
at which they are on. Pure; times are epoch milliseconds.

Deliberately not here: what is in force right now (``contracts.deployments.line.shown``), who may see it (``routes``).
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

from pydantic import Field

from activities.environments.freezes import times_of
from workflows.contracts.base import Frozen
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.deployments.line import LineStop
from workflows.contracts.deployments.rules import FreezeWindow
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import ValidationFailed
from workflows.contracts.fields import Millis

MOST_ITEMS: Final = 500
_MOST_TIMES: Final = 100
"""Of one window: a freeze of every minute says as much by its cron."""
_MOST_WINDOWS: Final = 100


class CalendarKind(StrEnum):
    """What a time in the calendar is."""

    FREEZE = "freeze"  # of one environment, added by hand
    WINDOW = "window"  # recurring, of the definition: nothing begins within it
    ALLOW = "allow"  # recurring, of the definition: something begins within these alone
    HOLD = "hold"  # of one environment, until it is released
    MANY_FREEZE = "many_freeze"
    MANY_HOLD = "many_hold"


class CalendarItem(Frozen):
    """One time. ``ends_at`` None: until somebody releases it. ``item_id``: by which it is removed, where it can be.

    ``environment`` None: the ``scope`` says it.
    """

    kind: CalendarKind
    item_id: str | None = None
    name: str
    service_name: str | None = None
    environment: str | None = None
    scope: str = ""
    starts_at: Millis
    ends_at: Millis | None = None
    timezone: str | None = None
    cron: str | None = None
    by: str = ""
    reason: str = ""


class Calendar(Frozen):
    """Of these days, by beginning. ``cut``: there is more than is told."""

    since: Millis
    until: Millis
    items: list[CalendarItem] = Field(default_factory=list[CalendarItem])
    cut: bool = False


def calendar(
    stops: Iterable[LineStop],
    service: Service | None,
    states: Sequence[EnvironmentState],
    since: int,
    until: int,
) -> Calendar:
    """``states``: of the service's environments. May take half a second: call it in a thread."""
    found = [_of_many(stop) for stop in stops]
    found += [item for state in states for item in _of_environment(state)]
    recurring = [] if service is None else list(_windows(service))
    for environment, kind, window in recurring[:_MOST_WINDOWS]:
        found += _times(service, environment, kind, window, since, until)
    present = [each for each in found if each.starts_at < until and (each.ends_at is None or each.ends_at > since)]
    present.sort(key=lambda each: (each.starts_at, each.name))
    cut = len(present) > MOST_ITEMS or len(recurring) > _MOST_WINDOWS
    return Calendar(since=since, until=until, items=present[:MOST_ITEMS], cut=cut)


def _of_many(stop: LineStop) -> CalendarItem:
    return CalendarItem(
        kind=CalendarKind.MANY_FREEZE if stop.kind.value == "freeze" else CalendarKind.MANY_HOLD,
        item_id=stop.stop_id, name=stop.name, scope=stop.scope.words(), starts_at=stop.starts_at, ends_at=stop.ends_at,
        by=stop.by, reason=stop.reason,
    )  # fmt: skip


def _of_environment(state: EnvironmentState) -> Iterator[CalendarItem]:
    service_name, environment = state.service_name, state.environment
    for each in state.freezes:
        yield CalendarItem(
            kind=CalendarKind.FREEZE, item_id=each.freeze_id, name=each.name, starts_at=each.starts_at,
            ends_at=each.ends_at, by=each.by, reason=each.reason, service_name=service_name, environment=environment,
        )  # fmt: skip
    if state.hold is not None:
        hold = state.hold
        yield CalendarItem(
            kind=CalendarKind.HOLD,
            name="hold",
            starts_at=hold.at,
            by=hold.by,
            reason=hold.reason,
            service_name=service_name,
            environment=environment,
        )


def _windows(service: Service) -> Iterator[tuple[str, CalendarKind, FreezeWindow]]:
    """Of a definition in the repository, those of its policy: what the file adds is known at its commit only."""
    policy = service.spec.policy
    for environment in service.spec.environments if policy is None else policy.environments:
        for window in environment.freeze_windows:
            yield environment.name, CalendarKind.WINDOW, window
        for window in environment.allow_windows:
            yield environment.name, CalendarKind.ALLOW, window


def _times(
    service: Service | None, environment: str, kind: CalendarKind, window: FreezeWindow, since: int, until: int
) -> list[CalendarItem]:
    try:
        times = times_of(window, since, until, _MOST_TIMES)
    except ValidationFailed:  # stored before its cron or zone was checked
        return []
    return [
        CalendarItem(
            kind=kind, name=window.name, service_name=None if service is None else service.name,
            environment=environment, starts_at=begins, ends_at=ends, timezone=window.timezone, cron=window.cron,
        )
        for begins, ends in times
    ]  # fmt: skip
