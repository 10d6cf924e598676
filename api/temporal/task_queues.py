"""How much waits in a task queue and who asks for it, as Temporal's matching service counts it.

Deliberately not here: which queues a pool has and what the numbers mean (``agents.pool_views``).
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from api.temporal.versions import WorkerPoll
from workflows.contracts.errors import Unavailable

_TIMEOUT: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in one queue: tasks by priority key (1 is first), and how long the oldest has waited."""

    by_priority: dict[int, int]
    oldest_wait_seconds: float = 0

    @property
    def waiting(self) -> int:
        """Tasks in all."""
        return sum(self.by_priority.values())


EMPTY: Final = Backlog({})


@dataclass(frozen=True, slots=True)
class Attendance:
    """Who asks for a queue's workflow tasks: for how long nobody has (None: nobody that Temporal remembers, which it
    does for five minutes), and how long the oldest task has waited.
    """

    silent_seconds: float | None
    oldest_wait_seconds: float = 0


class TaskQueues:
    """Describes queues. Raises Unavailable when Temporal does not answer."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def backlog(self, queue: str) -> Backlog:
        """What waits there now; nothing for a queue that nobody ever used."""
        found = await self._described(queue, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
        if found is None:
            return EMPTY
        by_priority = {key: each.approximate_backlog_count for key, each in found.stats_by_priority_key.items()}
        return Backlog({key: count for key, count in by_priority.items() if count}, _oldest_wait(found))

    async def attendance(self, queue: str, *, now: int) -> Attendance:
        """Who asks for its workflow tasks; ``now`` in epoch milliseconds."""
        found = await self._described(queue, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW)
        if found is None or not found.pollers:
            return Attendance(None)
        last = max(poller.last_access_time.ToMilliseconds() for poller in found.pollers)
        return Attendance(max(0, now - last) / 1000, _oldest_wait(found))

    async def pollers(self, queue: str) -> list[WorkerPoll]:
        """Who asked for its workflow tasks in the last five minutes, and of which build."""
        found = await self._described(queue, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW)
        return [] if found is None else [_poll_of(each) for each in found.pollers]

    async def _described(self, queue: str, kind: TaskQueueType.ValueType) -> DescribeTaskQueueResponse | None:
        request = DescribeTaskQueueRequest(
            namespace=self._client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=kind,
            report_stats=True,
        )
        try:
            return await self._client.workflow_service.describe_task_queue(request, timeout=_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise Unavailable(f"Temporal did not say how much waits in {queue} ({error.status.name}).") from error


def _poll_of(info: PollerInfo) -> WorkerPoll:
    build_id = info.deployment_options.build_id or info.worker_version_capabilities.build_id
    return WorkerPoll(identity=info.identity, build_id=build_id, asked_at=info.last_access_time.ToMilliseconds())


def _oldest_wait(found: DescribeTaskQueueResponse) -> float:
    stats = found.stats_by_priority_key.values()
    ages = [each.approximate_backlog_age.ToTimedelta() for each in stats if each.approximate_backlog_count]
    return max(ages, default=timedelta()).total_seconds()
