"""Freezes and holds of many services as callers send and see them."""

from typing import Annotated, Self

from pydantic import Field, StrictBool, StringConstraints, model_validator

from api.deployments.schemas import MAX_MILLIS, SignedBody
from api.services.schemas import MAX_FREEZE_SECONDS
from workflows.contracts.base import Frozen
from workflows.contracts.deployments.environments import PerhapsWhy, Why
from workflows.contracts.deployments.line import LineStop, StopId, StopScope
from workflows.contracts.deployments.services import ServiceName
from workflows.contracts.fields import Line


class LineFreezeRequest(SignedBody):
    """From ``starts_at`` (default now) to ``ends_at``, or for ``duration_seconds``. Times are epoch milliseconds.

    The same ``freeze_id`` again replaces it; without one it gets an id of its own.
    """

    name: Annotated[Line, StringConstraints(min_length=1, max_length=256)]
    scope: StopScope
    reason: Why
    starts_at: int | None = Field(default=None, ge=0, le=MAX_MILLIS)
    ends_at: int | None = Field(default=None, ge=0, le=MAX_MILLIS)
    duration_seconds: int | None = Field(default=None, ge=1, le=MAX_FREEZE_SECONDS)
    allow_override: StrictBool = Field(default=True, description="A deployment may be let through, with a reason.")
    freeze_id: StopId | None = None

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.ends_at is None) == (self.duration_seconds is None):
            raise ValueError("give either ends_at or duration_seconds")
        return self


class LineHoldRequest(SignedBody):
    """Nothing of these is rolled out until it is released."""

    scope: StopScope
    reason: Why
    name: Annotated[Line, StringConstraints(min_length=1, max_length=256)] = "hold"
    hold_id: StopId | None = None


class LetGoRequest(SignedBody):
    """Why it is over before its time."""

    reason: PerhapsWhy = ""


class LineStops(Frozen):
    """Those in force and to come."""

    items: list[LineStop]


class CalendarQuery(Frozen):
    """Of which service, and for how long."""

    service_name: ServiceName | None = Field(default=None, description="Default: what concerns many services.")
    days: Annotated[int, Field(ge=1, le=92)] = 30
