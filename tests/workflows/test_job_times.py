"""A time of a job is one time: the record says what its workflow knows, also when the store was late."""

import asyncio

from tests.workflows.harness import Harness, fail
from workflows.contracts.statuses import JobStatus
from workflows.job.workflow import JobWorkflow


async def test_the_end_of_a_pause_is_the_time_that_was_recorded(jobs: Harness) -> None:
    """The store is out when the pause begins: the timer starts late, but the wait in the queue not twice."""
    job = await jobs.submit(jobs.spec(retry={"initial_interval_seconds": 0.5}))
    jobs.recorder.fail_next = 4  # 0.2 + 0.4 + 0.8 + 1.6 s
    async with jobs.agent(fail()):
        paused = await jobs.until(job.job_id, lambda job: job.next_attempt_at is not None)
    handle = jobs.handle(job.job_id)
    state = await handle.query(JobWorkflow.state)
    while state.next_attempt_at is not None:
        await asyncio.sleep(0.05)
        state = await handle.query(JobWorkflow.state)
    assert (state.status, state.next_attempt_at) == (JobStatus.QUEUED, None)
    assert state.queued_at == paused.queued_at == paused.next_attempt_at
    assert jobs.recorder.last(job.job_id).queued_at == state.queued_at
