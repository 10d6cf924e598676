"""The least that a durable job can be: one workflow with one activity. Deliberately not here: anything of ours."""

import time
from datetime import timedelta

from temporalio import activity, workflow


@activity.defn
async def mark() -> int:
    """The time of the activity's first instruction, in nanoseconds since the epoch."""
    return time.time_ns()


@workflow.defn
class FloorWorkflow:
    """Run ``mark`` once."""

    @workflow.run
    async def run(self) -> int:
        """What ``mark`` says."""
        return await workflow.execute_activity(mark, start_to_close_timeout=timedelta(seconds=60))


@workflow.defn
class QueueFloorWorkflow:
    """Run ``mark`` once, on another queue than the workflow's."""

    @workflow.run
    async def run(self, queue: str) -> int:
        """What ``mark`` says."""
        return await workflow.execute_activity(mark, task_queue=queue, start_to_close_timeout=timedelta(seconds=60))
