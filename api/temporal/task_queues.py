"""How much waits in a task queue, as Temporal's matching service counts it.

Deliberately not here: which queues a pool has and what the numbers mean (``agents.pool_views``).
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

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


class TaskQueues:
    """Describes queues of activities. Raises Unavailable when Temporal does not answer."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def backlog(self, queue: str) -> Backlog:
        """What waits there now; nothing for a queue that nobody ever used."""
        request = DescribeTaskQueueRequest(
            namespace=self._client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            report_stats=True,
        )
        try:
            found = await self._client.workflow_service.describe_task_queue(request, timeout=_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return EMPTY
            raise Unavailable(f"Temporal did not say how much waits in {queue} ({error.status.name}).") from error
        stats = dict(found.stats_by_priority_key)
        by_priority = {key: each.approximate_backlog_count for key, each in stats.items()}
        ages = [each.approximate_backlog_age.ToTimedelta() for each in stats.values() if each.approximate_backlog_count]
        return Backlog(
            {key: count for key, count in by_priority.items() if count},
            max(ages, default=timedelta()).total_seconds(),
        )
