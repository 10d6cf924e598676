"""A change of a service by which a freeze or a hold of many would concern it no more: that is as good as ending it.

Such stops find services by labels and environments by names, as they are registered now. Whoever may not end one does
not slip away from under it either. Deliberately not here: the stops themselves (``api.line``).
"""

from typing import Protocol

from api.auth.principal import Principal
from api.http.errors import ApiError, ProblemCode
from api.ports import HasClock, HasDeploymentReader
from workflows.contracts.access import Operation
from workflows.contracts.deployments.line import LineStop, StopScope
from workflows.contracts.deployments.services import ServiceSpec
from workflows.contracts.errors import FieldError


class StoppedPorts(HasDeploymentReader, HasClock, Protocol):
    """What stops many services, and the time."""


async def require_still_stopped(
    ports: StoppedPorts, caller: Principal, name: str, before: ServiceSpec, after: ServiceSpec | None
) -> None:
    """``after`` None: it is deleted, and a new one of this name may be any. Raises ApiError forbidden, Unavailable."""
    if caller.unlimited(Operation.DEPLOYMENTS_OPERATE):
        return
    now = ports.clock()
    for stop in (await ports.deployments.line()).stops:
        if stop.ends_at is not None and stop.ends_at <= now:
            continue
        if frees(stop.scope, name, before, after) and not _may_end(caller, stop.scope):
            raise _slips_away(caller, name, stop, deleted=after is None)


def frees(scope: StopScope, name: str, before: ServiceSpec, after: ServiceSpec | None) -> bool:
    """Whether something that the scope concerned could be rolled out to past it afterwards: by other labels, or in an
    environment of another name. Pure.
    """
    was = {each for each in before.environment_names if scope.concerns(name, each, before.labels)}
    if after is None:
        return bool(was) and bool(scope.labels or scope.environments)
    stopped = {each for each in after.environment_names if scope.concerns(name, each, after.labels)}
    free = set(after.environment_names) - stopped
    return bool(was - stopped) and bool(free & was or free - set(before.environment_names))


def _may_end(caller: Principal, scope: StopScope) -> bool:
    """As for ending it: all that it concerns must be within reach."""
    named = scope.services
    return bool(named) and all(caller.may(Operation.DEPLOYMENTS_OPERATE, service=each) for each in named)


def _slips_away(caller: Principal, name: str, stop: LineStop, *, deleted: bool) -> ApiError:
    what = f"{stop.kind} {stop.name} ({stop.stop_id}, {stop.scope.words()}, by {stop.by})"
    how = (
        f"A new service {name} might not be under"
        if deleted
        else f"With these labels and environments {name} is not under"
    )
    field = "labels" if stop.scope.labels else "environments"
    return ApiError(
        ProblemCode.FORBIDDEN,
        f"{how} the {what} any more, which needs {Operation.DEPLOYMENTS_OPERATE} for all that it concerns; {caller.id} "
        "may not do that: leave them as they are until it has ended.",
        errors=[] if deleted else [FieldError(field=field, message=f"is what the {stop.kind} {stop.name} goes by")],
    )
