"""What Temporal knows of an open workflow that has no record: what its workflow has now, else what it was started with.

The second needs no control worker. Deliberately not here: what is a record (``jobs``, ``deployments``).
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.common import QueryRejectCondition
from temporalio.converter import WorkflowSerializationContext
from temporalio.service import RPCError, RPCStatusCode

from workflows.client.answers import RPC_TIMEOUT, answer, record_at_end
from workflows.contracts.errors import HybridCIError, NotFound, Unavailable
from workflows.payloads.errors import UnreadablePayload

S = TypeVar("S", bound=BaseModel)
I = TypeVar("I")  # noqa: E741 - what a workflow is started with

_QUERY_SECONDS: Final = 2.0
"""A workflow that waits for the store answers no query meanwhile."""


async def state_of(
    client: Client, workflow_id: str, kind: type[S], started: type[I], as_accepted: Callable[[I, int], S]
) -> S:
    """The answer of an open workflow's query ``state``; ``as_accepted`` makes it of its input and start (epoch ms).

    Raises NotFound when there is no open workflow of this id, Unavailable.
    """
    handle = client.get_workflow_handle(workflow_id)
    description = await answer(handle.describe(rpc_timeout=RPC_TIMEOUT))
    if description.status is not WorkflowExecutionStatus.RUNNING:
        raise NotFound("There is no open workflow of this id: it has ended.")
    query = handle.query(
        "state",
        result_type=kind,
        reject_condition=QueryRejectCondition.NOT_OPEN,
        rpc_timeout=timedelta(seconds=_QUERY_SECONDS),
    )
    try:
        return await answer(asyncio.wait_for(query, _QUERY_SECONDS))
    except WorkflowQueryRejectedError as error:
        raise NotFound("There is no open workflow of this id: it has ended.") from error
    except (HybridCIError, WorkflowQueryFailedError):  # no worker, or one that cannot answer now
        start, started_at = await started_with(client, workflow_id, started)
        return as_accepted(start, started_at)


async def stated(handle: WorkflowHandle[Any, S], kind: type[S], *, ended: bool) -> S | None:
    """What an open workflow answers to the query ``state``; with ``ended`` also the record with which one has closed.

    None: neither (it was ended by force), or it does not answer now. Raises RPCError when Temporal does not answer.
    """
    status = (await handle.describe(rpc_timeout=RPC_TIMEOUT)).status
    try:
        if status is WorkflowExecutionStatus.RUNNING:
            return await handle.query("state", result_type=kind, rpc_timeout=timedelta(seconds=_QUERY_SECONDS))
        if ended:
            return await record_at_end(handle, kind)
    except (WorkflowQueryFailedError, UnreadablePayload):
        return None
    except RPCError as error:
        if error.status not in {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.NOT_FOUND}:
            raise
    return None


async def stated_if_there(handle: WorkflowHandle[Any, S], kind: type[S], *, ended: bool) -> S | None:
    """As ``stated``; None also for a workflow that Temporal does not have."""
    try:
        return await stated(handle, kind, ended=ended)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


async def started_with(client: Client, workflow_id: str, kind: type[I]) -> tuple[I, int]:
    """What a workflow (its newest run) was started with, and when (epoch ms), from its history.

    Raises NotFound, Unavailable.
    """
    handle = client.get_workflow_handle(workflow_id)

    async def read() -> tuple[I, int]:
        async for event in handle.fetch_history_events(page_size=1, rpc_timeout=RPC_TIMEOUT):
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                context = WorkflowSerializationContext(namespace=client.namespace, workflow_id=workflow_id)
                converter = client.data_converter.with_context(context)
                payloads = event.workflow_execution_started_event_attributes.input.payloads
                try:
                    (start,) = await converter.decode(list(payloads), [kind])
                    if not isinstance(start, kind):  # ``binary/null`` is None, whatever is wanted
                        raise TypeError(type(start).__name__)
                except UnreadablePayload as error:
                    raise Unavailable(f"What this workflow was started with cannot be opened: {error}") from error
                except Exception as error:  # a converter may raise anything; Temporal's own CLI starts with anything
                    raise NotFound(f"What was started under this id is no {kind.__name__}.") from error
                return start, event.event_time.ToMilliseconds()
        raise Unavailable("Temporal showed a history without a beginning; ask again.")

    return await answer(read())
