"""Where an activity's errors become Temporal's (``workflows.failures`` says how).

Anything else an activity raises passes through unchanged: it is unknown, so Temporal tries again.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from temporalio import activity

from workflows.contracts.errors import HybridCIError, InvalidState
from workflows.failures import crossing

P = ParamSpec("P")
R = TypeVar("R")


def speaks_temporal(body: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Decorate an activity's body, below ``activity.defn``. What nobody's workflow asks for (Temporal runs an activity
    alone, too) is refused: what it does is right only as a part of one.
    """

    @wraps(body)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            if activity.in_activity() and activity.info().workflow_id is None:
                raise InvalidState("This activity is a part of a workflow, and runs in none here: nothing was done.")
            return await body(*args, **kwargs)
        except HybridCIError as error:
            raise crossing(error) from error

    return call
