"""Where an activity's errors become Temporal's (``workflows.failures`` says how).

Anything else an activity raises passes through unchanged: it is unknown, so Temporal tries again.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from workflows.contracts.errors import HybridCIError
from workflows.failures import crossing

P = ParamSpec("P")
R = TypeVar("R")


def speaks_temporal(body: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Decorate an activity's body, below ``activity.defn``."""

    @wraps(body)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await body(*args, **kwargs)
        except HybridCIError as error:
            raise crossing(error) from error

    return call
