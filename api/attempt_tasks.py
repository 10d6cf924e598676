"""Attempts as raw activity tasks of Temporal: poll one, renew its lease, complete it.

Raw, because nothing runs here: an agent elsewhere holds the task token between two requests. Payloads go through the
client's own data converter, codec included. Deliberately not here: whose task it is (``leases``), which queue is
polled and what becomes of a task that nobody takes (``claims``).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    RecordActivityTaskHeartbeatRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.errors import Unavailable

SHORTEST_POLL_SECONDS: Final = 1.1
_SERVER_MARGIN_SECONDS: Final = 1.0
"""So long before a poll's deadline the server answers that there is nothing; it takes no deadline below 2 s."""
_TIMEOUT: Final = timedelta(seconds=5)

logger = logging.getLogger(__name__)


class LeaseLapsed(Exception):
    """Temporal knows no such task any more: it was completed, or its lease lapsed, or its job has ended."""


@dataclass(frozen=True, slots=True)
class AttemptTask:
    """An attempt that was polled for an agent."""

    agent_id: str
    token: bytes
    attempt: AttemptInput


class AttemptTasks:
    """Every method raises Unavailable when Temporal does not answer."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client

    async def poll(self, queue: str, agent_id: str, seconds: float) -> AttemptTask | None:
        """The queue's next task, or None after ``seconds`` (at least SHORTEST_POLL_SECONDS).

        Must never be cancelled: the task that is on its way would be lost until its lease lapses.
        """
        client = self._client()
        request = PollActivityTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=queue), identity=agent_id
        )
        within = timedelta(seconds=max(seconds, SHORTEST_POLL_SECONDS) + _SERVER_MARGIN_SECONDS)
        try:
            found = await client.workflow_service.poll_activity_task_queue(request, timeout=within)
        except RPCError as error:
            if error.status in {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}:
                return None
            raise _unavailable(error) from error
        return await self._read(client, found, agent_id) if found.task_token else None

    async def renew(self, token: bytes, agent_id: str) -> bool:
        """Renew the lease. True: the attempt shall be cancelled. Raises LeaseLapsed."""
        client = self._client()
        request = RecordActivityTaskHeartbeatRequest(namespace=client.namespace, task_token=token, identity=agent_id)
        try:
            answer = await client.workflow_service.record_activity_task_heartbeat(request, timeout=_TIMEOUT)
        except RPCError as error:
            raise _refusal(error) from error
        return answer.cancel_requested

    async def complete(self, token: bytes, result: AttemptResult) -> None:
        """Report how the attempt ended. Raises LeaseLapsed."""
        client = self._client()
        request = RespondActivityTaskCompletedRequest(
            namespace=client.namespace,
            task_token=token,
            result=Payloads(payloads=await client.data_converter.encode([result])),
            identity=result.agent_id,
        )
        try:
            await client.workflow_service.respond_activity_task_completed(request, timeout=_TIMEOUT)
        except RPCError as error:
            raise _refusal(error) from error

    async def _read(self, client: Client, found: PollActivityTaskQueueResponse, agent_id: str) -> AttemptTask | None:
        try:
            decoded = await client.data_converter.decode(found.input.payloads, [AttemptInput])
        except Exception:  # a codec or a converter may raise anything; the task is in our hands already
            logger.exception("An attempt cannot be read", extra={"workflow_id": found.workflow_execution.workflow_id})
            await self._fail(client, found.task_token, agent_id)
            return None
        return AttemptTask(agent_id, found.task_token, decoded[0])

    async def _fail(self, client: Client, token: bytes, agent_id: str) -> None:
        """Better a failed attempt that says why than one that nobody runs until its lease lapses."""
        message = "the API could not read the attempt; its log says why (does it have the payload codec's key?)"
        failure = Failure(message=message, application_failure_info=ApplicationFailureInfo(type="unreadable_attempt"))
        request = RespondActivityTaskFailedRequest(
            namespace=client.namespace, task_token=token, failure=failure, identity=agent_id
        )
        try:
            await client.workflow_service.respond_activity_task_failed(request, timeout=_TIMEOUT)
        except RPCError as error:
            raise _unavailable(error) from error


def _refusal(error: RPCError) -> Exception:
    return LeaseLapsed() if error.status is RPCStatusCode.NOT_FOUND else _unavailable(error)


def _unavailable(error: RPCError) -> Unavailable:
    return Unavailable(f"Temporal did not answer ({error.status.name.lower()}); ask again.")
