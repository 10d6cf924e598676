"""Stopping the line: freezes and holds that concern many services at once, kept as one record, the line's. Pure.

Those of one environment are its own (``environments``), recurring windows the service's definition's (``rules``).
Times are epoch milliseconds. Deliberately not here: how they are kept (the store), who asks for them (the workflows).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, StrictBool, StringConstraints, model_validator

from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.deployments.environments import EnvironmentState, PerhapsWhy, Why
from workflows.contracts.deployments.rules import FreezeWindow
from workflows.contracts.deployments.services import EnvironmentName, ServiceName
from workflows.contracts.fields import Millis, ShortLine, Text
from workflows.contracts.who import Named

MAX_STOPS: Final = 100
"""The line's record is one item of 400 KB."""
MAX_CHANGE_IDS: Final = 200
StopId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")]


class StopKind(StrEnum):
    """What it is called, and how it ends."""

    FREEZE = "freeze"  # by its time; a single deployment may be let through
    HOLD = "hold"  # when somebody releases it


class StopScope(Frozen):
    """Which services, and in which of their environments. ``labels``: those that have all of these.

    ``environments`` empty: in each. ``exceptions`` are services that it does not concern.
    """

    all_services: StrictBool = False
    services: list[ServiceName] = Field(default_factory=list[str], max_length=200)
    labels: dict[ShortLine, ShortLine] = Field(default_factory=dict[str, str], max_length=16)
    environments: list[EnvironmentName] = Field(default_factory=list[str], max_length=50)
    exceptions: list[ServiceName] = Field(default_factory=list[str], max_length=200)

    @model_validator(mode="after")
    def _names_services(self) -> Self:
        if sum((self.all_services, bool(self.services), bool(self.labels))) != 1:
            raise ValueError("say which services: one of all_services, services and labels")
        return self

    def concerns(self, service_name: str, environment: str, labels: Mapping[str, str]) -> bool:
        """Whether it is about this environment of this service, which has these labels now."""
        if service_name in self.exceptions or (self.environments and environment not in self.environments):
            return False
        if self.labels:
            return all(labels.get(name) == value for name, value in self.labels.items())
        return self.all_services or service_name in self.services

    def words(self) -> str:
        """``production of all services but checkout``."""
        if self.all_services:
            whose = "all services"
        elif self.labels:
            whose = f"services with {', '.join(f'{name}={value}' for name, value in sorted(self.labels.items()))}"
        else:
            whose = ", ".join(self.services)
        where = f"{', '.join(self.environments)} of " if self.environments else ""
        but = f" but {', '.join(self.exceptions)}" if self.exceptions else ""
        return f"{where}{whose}{but}"


class LineStop(Tolerant):
    """A freeze or a hold of many. ``by`` owns it. ``ends_at`` None: until it is released.

    ``allow_override``: a single deployment may be let through a freeze, with a reason.
    """

    stop_id: str
    kind: StopKind
    name: str
    scope: StopScope
    starts_at: Millis
    ends_at: Millis | None = None
    by: str
    reason: str = ""
    allow_override: bool = True
    created_at: Millis

    def in_force(self, at: int) -> bool:
        """Whether it stops something at this time."""
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)


class LineState(Tolerant):
    """The record: all that are in force or to come. ``revision`` grows with each change.

    ``changes``: the ids of the last changes, so that one that is tried again is known.
    """

    stops: list[LineStop] = Field(default_factory=list[LineStop])
    changes: list[str] = Field(default_factory=list[str])
    revision: int = 0
    updated_at: Millis = 0

    def stop(self, stop_id: str) -> LineStop | None:
        """The one of this id."""
        return next((each for each in self.stops if each.stop_id == stop_id), None)


class EnvironmentShown(EnvironmentState):
    """An environment as it is shown: with what of the line stops it now, or will."""

    line_stops: list[LineStop] = Field(default_factory=list[LineStop])


def shown(state: EnvironmentState, line: LineState, labels: Mapping[str, str], now: int) -> EnvironmentShown:
    """With those that concern it and are not over. ``labels``: of its service as it is registered now."""
    concern = [
        stop
        for stop in line.stops
        if (stop.ends_at is None or stop.ends_at > now)
        and stop.scope.concerns(state.service_name, state.environment, labels)
    ]
    return EnvironmentShown(**dict(state), line_stops=concern)


class NewStop(Frozen):
    """What is asked for. ``starts_at`` None: now."""

    stop_id: StopId
    kind: StopKind
    name: Annotated[Text, StringConstraints(min_length=1, max_length=256)]
    scope: StopScope
    starts_at: Millis | None = None
    ends_at: Millis | None = None
    allow_override: StrictBool = True

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.kind is StopKind.FREEZE and self.ends_at is None:
            raise ValueError("a freeze has an end: give ends_at")
        if self.kind is StopKind.HOLD and (self.ends_at is not None or self.starts_at is not None):
            raise ValueError("a hold is from now on, until it is released: leave starts_at and ends_at out")
        return self


class StopTheLine(Named):
    """Add a freeze or a hold of many. The same id again replaces it: the one whose scope is ``replaces``, which whoever
    asks must reach as well.
    """

    stop: NewStop
    reason: Why
    replaces: StopScope | None = None


class LetTheLineGo(Named):
    """End one before its time, or release it; the one that concerns this ``scope``."""

    stop_id: StopId
    scope: StopScope
    reason: PerhapsWhy = ""


class LineChange(Tolerant):
    """The argument of ``LineWorkflow``: one change."""

    stop: StopTheLine | None = None
    go: LetTheLineGo | None = None


class LineChanged(Tolerant):
    """What came of it: the line as it is now, and whom it concerns (also what was replaced or removed)."""

    line: LineState
    scopes: list[StopScope]


class StopQuestion(Tolerant):
    """Asked of the activity ``check_stops``: what stops this environment of this service at ``at``?

    ``of_environment``: of its own record too, and of these recurring windows; else of the line alone.
    """

    at: Millis
    service_name: str
    environment: str
    of_environment: bool = False
    freeze_windows: list[FreezeWindow] = Field(default_factory=list[FreezeWindow])


class StopInForce(Tolerant):
    """One thing that stops it. ``wide_id``: the id of one of the line. ``until`` None: until it is released."""

    kind: StopKind
    name: str
    by: str = ""
    reason: str = ""
    since: Millis | None = None
    until: Millis | None = None
    allow_override: bool = True
    wide_id: str | None = None
    scope: str = ""


class StopAnswer(Tolerant):
    """All of them; empty when nothing does."""

    stops: list[StopInForce] = Field(default_factory=list[StopInForce])
