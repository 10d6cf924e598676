"""Open records and open workflows that say different things: who knows more counts, and nothing runs twice."""

from collections.abc import Mapping

from activities.jobs.comparing import QUIET_MILLIS, WHY_ENDED, JobComparison
from activities.jobs.readers import JobReader
from activities.jobs.writers import JobCreator, JobWriter
from tests.unit.fakes import FakeJobStore, make_job, no_agents
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import JobStatus, QueueStatus

NOW = 10_000_000
LONG_AGO = NOW - 10 * QUIET_MILLIS
QUEUED = (JobStatus.QUEUED, QueueStatus.QUEUED)
PARKED = (JobStatus.DEAD_LETTERED, QueueStatus.DEAD_LETTERED)
DONE = (JobStatus.SUCCESS, QueueStatus.COMPLETED)


class FakeOpenJobs:
    def __init__(self, *jobs: Job, silent: bool = False) -> None:
        self.jobs, self.silent = {job.job_id: job for job in jobs}, silent
        self.ended: dict[str, str] = {}

    async def shown(self) -> Mapping[str, str]:
        return {job_id: job.status.value for job_id, job in self.jobs.items()}

    async def state(self, job_id: str) -> Job | None:
        return None if self.silent else self.jobs.get(job_id)

    async def end(self, job_id: str, why: str) -> None:
        self.ended[job_id] = why


def _job(views: tuple[JobStatus, QueueStatus], sequence: int, *, at: int = LONG_AGO) -> Job:
    return make_job(status=views[0], queue_status=views[1], sequence=sequence, created_at=at, queued_at=at)


async def _mend(store: FakeJobStore, workflows: FakeOpenJobs) -> list[str]:
    reader, writer = JobReader(store), JobWriter(store, no_agents())
    comparison = JobComparison(reader, writer, JobCreator(store, no_agents()), workflows, lambda: NOW)
    records = {job_id: job.summary() for job_id, job in store.jobs.items() if not job.status.final}
    return await comparison.mend(records)


async def test_a_record_that_is_behind_is_written_from_its_workflow() -> None:
    store, state = FakeJobStore(_job(QUEUED, 2)), _job(PARKED, 5)
    workflows = FakeOpenJobs(state)
    assert await _mend(store, workflows) == [state.job_id]
    assert store.jobs[state.job_id].status is JobStatus.DEAD_LETTERED
    assert (workflows.ended, await _mend(store, workflows)) == ({}, [])


async def test_a_workflow_that_is_behind_its_record_is_ended() -> None:
    for views in (DONE, PARKED):
        record, state = _job(views, 5), _job(QUEUED, 2)
        store, workflows = FakeJobStore(record), FakeOpenJobs(state)
        assert await _mend(store, workflows) == [state.job_id]
        assert workflows.ended == {state.job_id: WHY_ENDED}
        assert store.jobs[state.job_id] == record


async def test_a_record_that_is_missing_is_created_as_its_workflow_has_it() -> None:
    for views in (QUEUED, PARKED):
        store, state = FakeJobStore(), _job(views, 5)
        assert await _mend(store, FakeOpenJobs(state)) == [state.job_id]
        assert store.jobs[state.job_id].status is state.status


async def test_what_agrees_moves_or_does_not_answer_is_left_alone() -> None:
    young = NOW - QUIET_MILLIS + 1
    for record, state, silent in (
        (_job(QUEUED, 2), _job(QUEUED, 5), False),
        (_job(QUEUED, 2), _job(PARKED, 2), False),
        (_job(QUEUED, 2, at=young), _job(PARKED, 5), False),
        (_job(QUEUED, 2), _job(PARKED, 5, at=young), False),
        (_job(QUEUED, 2), _job(PARKED, 5), True),
    ):
        store, workflows = FakeJobStore(record), FakeOpenJobs(state, silent=silent)
        assert (await _mend(store, workflows), workflows.ended) == ([], {})
        assert store.jobs == {record.job_id: record}
