"""What stops a rollout, in words that name who and until when, and the command that helps. Pure.

For those of the line and, between the steps of a rollout, those of the environment as well. Deliberately not here: why
a deployment waits for its turn otherwise (``words``).
"""

from collections.abc import Sequence
from typing import Final

from workflows.contracts.deployments.line import StopInForce, StopKind
from workflows.contracts.errors import FieldError, ValidationFailed
from workflows.words import moment

LAST_MOMENT: Final = 253_402_300_799_000
"""The end of the year 9999, which is the last one that can be written."""


def stopped(environment: str, service_name: str, stop: StopInForce) -> str:
    """Who stops it, until when, and how it ends."""
    whose = f"{environment} ({stop.scope})" if stop.scope else environment
    by = f" by {stop.by}" if stop.by else ""
    reason = f": {stop.reason.rstrip('.')}" if stop.reason else ""
    if stop.kind is StopKind.HOLD:
        since = "" if stop.since is None else f" since {moment(stop.since)}"
        lift = (
            f"hybridci deploy release {service_name} --environment {environment}"
            if stop.wide_id is None
            else f"hybridci hold release {stop.wide_id}"
        )
        return f"{whose} is on hold{by}{since}{reason}. `{lift}` lifts it."
    until = "" if stop.until is None else f" until {moment(stop.until)}"
    end = "" if stop.wide_id is None else f" `hybridci freeze remove {stop.wide_id}` ends it for all."
    return f"{whose} is frozen{until} by '{stop.name}'{f' of {stop.by}' if stop.by else ''}{reason}.{end}"


def times_refused(starts_at: int | None, ends_at: int, now: int) -> ValidationFailed | None:
    """Why a freeze cannot have these times; None: it can."""
    if starts_at is not None and ends_at <= starts_at:
        error = "must be after starts_at"
    elif ends_at <= now:
        error = f"is in the past: it is {moment(now)} (epoch {now} ms) now"
    elif ends_at > LAST_MOMENT:
        error = "is later than the year 9999: give epoch milliseconds"
    else:
        return None
    return ValidationFailed("The freeze is not valid.", [FieldError(field="ends_at", message=error)])


def passable(stop: StopInForce) -> bool:
    """Whether a single deployment may be let through."""
    return stop.kind is StopKind.FREEZE and stop.allow_override


def longest(stops: Sequence[StopInForce]) -> StopInForce | None:
    """The one that is told: what nothing passes first, then what ends last."""
    return max(stops, key=lambda stop: (not passable(stop), stop.until is None, stop.until or 0), default=None)
