"""How Temporal's answers reach whoever asked from outside: its refusals and silences become ``contracts.errors``.

Deliberately not here: what is asked (``client``, ``deployment_client``).
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio.client import (
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from workflows.contracts.errors import (
    FieldError,
    HybridCIError,
    InvalidState,
    NotFound,
    Unavailable,
    ValidationFailed,
    error_from_code,
)

T = TypeVar("T")

TEMPORARY: Final = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNKNOWN,
    }
)
"""The answers after which the same call can succeed later."""
RPC_TIMEOUT: Final = timedelta(seconds=15)
"""How long a caller waits for an answer; then Unavailable. The workflow goes on whatever the caller does."""

_FORGOTTEN: Final = "unexpected workflow task failure"
_SEND_AGAIN_SECONDS: Final = 0.05


async def updated(send: Callable[[], Awaitable[T]]) -> T:
    """Send an update, of one id, and wait for its answer; send it again when Temporal forgot it.

    A workflow task that would close the workflow is refused when a signal has come in meanwhile. Nothing was decided
    then, but Temporal answers the updates that the task carried "unexpected workflow task failure".
    Raises TimeoutError after 15 s, else what Temporal raises.
    """
    async with asyncio.timeout(RPC_TIMEOUT.total_seconds()):
        while True:
            try:
                return await send()
            except RPCError as error:
                if _FORGOTTEN not in error.message:
                    raise
            await asyncio.sleep(_SEND_AGAIN_SECONDS)


async def answer(call: Awaitable[T]) -> T:
    """Wait for Temporal's answer and translate its refusals."""
    try:
        return await call
    except WorkflowUpdateFailedError as error:
        raise _from_application(error.cause) or error from error
    except WorkflowFailureError as error:
        raise _from_application(error.cause) or error from error
    except (WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError) as error:
        raise Unavailable(
            "Temporal accepted the request but nothing answered in time: is the control worker running?"
        ) from error
    except RPCError as error:
        raise _from_rpc(error) from error
    except RuntimeError as error:  # the SDK's bridge: the connection was never made
        raise Unavailable(f"Temporal does not answer: {error}") from error


def _from_application(cause: BaseException | None) -> HybridCIError | None:
    if not isinstance(cause, ApplicationError):
        return None
    details: dict[str, Any] | None = cause.details[0] if cause.details else None
    return error_from_code(cause.type, cause.message, details)


def _from_rpc(error: RPCError) -> HybridCIError | RPCError:
    if error.status is RPCStatusCode.NOT_FOUND:
        return NotFound("There is no open workflow of this id: it never existed, or it has ended.")
    if error.status is RPCStatusCode.FAILED_PRECONDITION:
        return InvalidState(error.message)
    if error.status is RPCStatusCode.INVALID_ARGUMENT:
        return ValidationFailed(
            "Temporal refused the request.", [FieldError(field="body", message=_first_line(error.message))]
        )
    if error.status in {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED}:
        return Unavailable("Temporal refused this process: check TEMPORAL_API_KEY, TEMPORAL_TLS_* and the namespace.")
    if error.status in TEMPORARY:
        return Unavailable(f"Temporal did not answer ({error.status.name.lower()}).")
    return error


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:200]
