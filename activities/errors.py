"""The one place where our errors become Temporal's: a code as ``type``, details, and whether trying again can help.

Anything else an activity raises passes through unchanged: it is unknown, so Temporal tries again.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from temporalio.exceptions import ApplicationError

from workflows.contracts.errors import HybridCIError

P = ParamSpec("P")
R = TypeVar("R")


def temporal_error(error: HybridCIError) -> ApplicationError:
    """What crosses the boundary instead of the error; ``contracts.errors.error_from_code`` reads it back."""
    return ApplicationError(
        error.message, dict(error.details), type=error.code.value, non_retryable=not error.retryable
    )


def speaks_temporal(body: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Decorate an activity's body, below ``activity.defn``."""

    @wraps(body)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await body(*args, **kwargs)
        except HybridCIError as error:
            raise temporal_error(error) from error

    return call
