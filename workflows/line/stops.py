"""What stops a rollout, in words that name who and until when, and the command that helps. Pure.

For those of the line and, between the steps of a rollout, those of the environment as well. Deliberately not here: why
a deployment waits for its turn otherwise (``words``).
"""

from collections.abc import Sequence

from workflows.contracts.deployments.line import StopInForce, StopKind
from workflows.words import moment


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


def passable(stop: StopInForce) -> bool:
    """Whether a single deployment may be let through."""
    return stop.kind is StopKind.FREEZE and stop.allow_override


def longest(stops: Sequence[StopInForce]) -> StopInForce | None:
    """The one that is told: what nothing passes first, then what ends last."""
    return max(stops, key=lambda stop: (not passable(stop), stop.until is None, stop.until or 0), default=None)
