"""Attempts as raw activity tasks of Temporal: count them, poll one, renew its lease, complete it.

Raw, because nothing runs here: an agent elsewhere holds the task token between two requests. Payloads go through the
client's own data converter, codec included. Deliberately not here: whose task it is (``leases``), which queue is
polled and what becomes of a task that nobody takes (``service``).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    RecordActivityTaskHeartbeatRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.clock import Clock
from api.temporal.task_queues import EMPTY, Backlog
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.errors import Unavailable
from workflows.contracts.statuses import Priority
from workflows.payloads.holder import HOLDER

_POLL_TIMEOUT: Final = timedelta(seconds=70)
"""The server answers after 60 s that there is nothing. Nearer to a deadline, a task that was handed out could be lost
on a slow way back: of polls with a deadline of 3 s, one in a hundred ended by it on a busy machine.
"""
_TIMEOUT: Final = timedelta(seconds=5)

logger = logging.getLogger(__name__)


class LeaseLapsed(Exception):
    """Temporal knows no such task any more: it was completed, or its lease lapsed, or its job has ended."""


@dataclass(frozen=True, slots=True, eq=False)
class AttemptTask:
    """An attempt that was polled for an agent. ``polled_at`` in epoch milliseconds."""

    agent_id: str
    token: bytes
    attempt: AttemptInput
    polled_at: int


class AttemptTasks:
    """Every method raises Unavailable when Temporal does not answer."""

    def __init__(self, client: Callable[[], Client], clock: Clock) -> None:
        self._client, self._clock = client, clock

    async def poll(self, queue: str, agent_id: str) -> AttemptTask | None:
        """The queue's next task, or None after a minute.

        Must not be cancelled: the task that is on its way would be lost until its lease lapses.
        """
        client = self._client()
        request = PollActivityTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=queue), identity=agent_id
        )
        try:
            found = await client.workflow_service.poll_activity_task_queue(request, timeout=_POLL_TIMEOUT)
        except RPCError as error:
            if error.status in {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}:
                return None
            raise _unavailable(error) from error
        return await self._read(client, found, agent_id) if found.task_token else None

    async def backlog(self, queue: str) -> Backlog:
        """What waits in the queue now. Which priorities that are, the server says as of some seconds ago.

        (``matching.TaskQueueInfoByBuildIdTTL``, 5 s by default; only the older count is always of now.)
        """
        client = self._client()
        request = DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            report_stats=True,
            include_task_queue_status=True,
        )
        try:
            found = await client.workflow_service.describe_task_queue(request, timeout=_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return EMPTY
            raise _unavailable(error) from error
        waiting = found.task_queue_status.backlog_count_hint
        if not waiting:
            return EMPTY
        stats = {key: each for key, each in found.stats_by_priority_key.items() if each.approximate_backlog_count}
        ages = [each.approximate_backlog_age.ToTimedelta() for each in stats.values()]
        known = {key: each.approximate_backlog_count for key, each in stats.items()}
        return Backlog(known or {Priority.NORMAL.key: waiting}, max(ages, default=timedelta()).total_seconds())

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
        (payload,) = await client.data_converter.encode([result])
        payload.metadata[HOLDER] = result.agent_id.encode()
        request = RespondActivityTaskCompletedRequest(
            namespace=client.namespace,
            task_token=token,
            result=Payloads(payloads=[payload]),
            identity=result.agent_id,
        )
        try:
            await client.workflow_service.respond_activity_task_completed(request, timeout=_TIMEOUT)
        except RPCError as error:
            raise _refusal(error) from error

    async def _read(self, client: Client, found: PollActivityTaskQueueResponse, agent_id: str) -> AttemptTask | None:
        now = self._clock()
        try:
            decoded = await client.data_converter.decode(found.input.payloads, [AttemptInput])
        except Exception:  # a codec or a converter may raise anything; the task is in our hands already
            logger.exception("An attempt cannot be read", extra={"workflow_id": found.workflow_execution.workflow_id})
            await self._fail(client, found.task_token, agent_id)
            return None
        return AttemptTask(agent_id, found.task_token, decoded[0], now)

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
