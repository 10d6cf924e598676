"""How Temporal's answers reach whoever asked from outside: its refusals and silences become ``contracts.errors``.

Deliberately not here: what is asked (``jobs``, ``deployments``).
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from workflows.closing import record_of
from workflows.contracts.accepted import Accepted, Taken
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
R = TypeVar("R", bound=BaseModel)

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

ANSWERED_WITHIN_SECONDS: Final = 5.0
"""What Temporal has for good is answered by then: with its record, or that it is accepted and its record follows."""
_AT_LEAST_SECONDS: Final = 0.5
"""So long the answer of an update is waited for that was taken late."""
_UNSURE: Final = (
    "It is not known to be taken: repeat it with the same Idempotency-Key, and it is done once; without one, look first"
    " whether it was."
)
_FORGOTTEN: Final = "unexpected workflow task failure"
_ABORTED: Final = "workflow update was aborted by closing workflow"
_NEXT_RUN_TRIES: Final = 5
"""A next run is there at once; of a workflow that has ended for good Temporal says the same for a while."""
_SEND_AGAIN_SECONDS: Final = 0.05
_OWN: Final = frozenset(
    {WorkflowExecutionStatus.COMPLETED, WorkflowExecutionStatus.FAILED, WorkflowExecutionStatus.CANCELED}
)
"""How a workflow closes by itself."""


async def carried_out(
    send: Callable[[], Awaitable[WorkflowUpdateHandle[T]]], taken: Taken, *, by: float | None = None
) -> T:
    """Send an update, of one id, and return its result.

    ``send`` starts it and returns once the workflow has taken it. Raises Accepted when it has, but does not answer
    within ANSWERED_WITHIN_SECONDS; Unavailable when it is not known to have taken it ``by`` then (the loop's time,
    else in 15 s); else its refusal.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + ANSWERED_WITHIN_SECONDS
    handle = await changed(_taken(send, loop.time() + RPC_TIMEOUT.total_seconds() if by is None else by))
    try:
        async with asyncio.timeout_at(max(until, loop.time() + _AT_LEAST_SECONDS)):
            return await answer(handle.result())
    except (Unavailable, TimeoutError) as error:
        raise Accepted(taken) from error


async def _taken(send: Callable[[], Awaitable[WorkflowUpdateHandle[T]]], by: float) -> WorkflowUpdateHandle[T]:
    """Send it, again when Temporal forgot it.

    A workflow task that would close the workflow is refused when a signal has come in meanwhile. Nothing was decided
    then, but Temporal answers the updates that the task carried "unexpected workflow task failure". An update that came
    beside what ended a run was aborted: the next run takes it, or it is known then that there is none.
    """
    aborted = 0
    async with asyncio.timeout_at(by):
        while True:
            try:
                return await send()
            except RPCError as error:
                aborted += _ABORTED in error.message
                again = _FORGOTTEN in error.message or (_ABORTED in error.message and aborted < _NEXT_RUN_TRIES)
                if not again:
                    raise
            await asyncio.sleep(_SEND_AGAIN_SECONDS)


async def changed(call: Awaitable[T]) -> T:
    """``answer`` to what changes something: without one, nobody knows whether it was taken."""
    try:
        return await answer(call)
    except Unavailable as error:
        raise Unavailable(f"{error.message} {_UNSURE}") from error


async def answer(call: Awaitable[T]) -> T:
    """Wait for Temporal's answer and translate its refusals."""
    try:
        return await call
    except WorkflowUpdateFailedError as error:
        raise _from_application(error.cause) or error from error
    except WorkflowFailureError as error:
        raise _from_application(error.cause) or error from error
    except (WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError) as error:
        raise Unavailable("Nothing answered in time: is the control worker running?") from error
    except RPCError as error:
        raise _from_rpc(error) from error
    except RuntimeError as error:  # the SDK's bridge: the connection was never made
        raise Unavailable(f"Temporal does not answer: {error}") from error


async def outcome_of(handle: WorkflowHandle[Any, R], kind: type[R], what: str) -> R:
    """How a workflow that has closed ended: its record, or what it refused, as it refused it.

    Raises InvalidState when it was ended from outside.
    """
    description = await answer(handle.describe(rpc_timeout=RPC_TIMEOUT))
    if description.status not in _OWN:
        name = description.status.name.lower() if description.status else "unknown"
        raise InvalidState(f"{what} was {name} from outside; ask for it again with a new key.")
    try:
        return await answer(_recorded(handle, kind))
    except WorkflowFailureError as error:
        raise InvalidState(f"{what} failed ({error.cause}); ask for it again with a new key.") from error


async def record_at_end(handle: WorkflowHandle[Any, R], kind: type[R]) -> R | None:
    """The record with which a workflow closes, completed or not; None when it was ended from outside.

    Waits for the end. Temporal's errors pass through.
    """
    try:
        return await _recorded(handle, kind)
    except WorkflowFailureError:
        return None


async def _recorded(handle: WorkflowHandle[Any, R], kind: type[R]) -> R:
    try:
        return await handle.result()
    except WorkflowFailureError as error:
        record = record_of(error, kind)
        if record is None:
            raise
        return record


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
