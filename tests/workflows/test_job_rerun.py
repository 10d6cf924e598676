"""A workflow task that is lost after its writes runs again, later: the record must be what the second run decided."""

from tests.workflows.harness import Harness, succeed
from workflows.contracts.attempts import AttemptStarted
from workflows.contracts.commands import Cancel
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus


async def test_a_late_announcement_does_not_part_record_and_workflow(jobs: Harness) -> None:
    """The server lets no workflow close over a signal it has not seen: the last task runs again."""

    async def announce_late(write: JobWrite) -> bool:
        if write.job.status.final:
            late = AttemptStarted(attempt=7, agent_id="agent-1", claimed_at=1)
            await jobs.job_client.attempt_started(write.job.job_id, late)
        return write.job.status.final

    jobs.recorder.after_next = announce_late
    async with jobs.agent(succeed):
        job = await jobs.result((await jobs.submit()).job_id)
    assert jobs.recorder.after_next is None
    assert job == jobs.recorder.last(job.job_id)


async def test_a_job_was_created_when_it_was_started(jobs: Harness) -> None:
    """Not when its first task ran, which can run again: lists would show the job at two places."""
    job = await jobs.job_client.submit(jobs.input())
    started = (await jobs.handle(job.job_id).describe()).start_time
    assert job.created_at == int(started.timestamp() * 1000)
    await jobs.job_client.cancel(job.job_id, Cancel())
    assert (await jobs.result(job.job_id)).status is JobStatus.CANCELLED
