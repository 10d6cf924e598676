"""Link RecordJobExecution: what became of an attempt, checked against itself before it is written."""

from codeuchain import Context

from activities.chaining.links import WriteContext, require
from activities.jobs.transitions import Operation, check_transition
from activities.stores.interfaces import JobStore
from workflows.contracts.errors import InvalidState
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite


class RecordJobExecution:
    """``write`` → ``outcome``, as UpdateJobStatus, when its account of the execution holds together.

    Raises InvalidState, Unavailable.
    """

    def __init__(self, store: JobStore, operation: Operation) -> None:
        self._store = store
        self._operation = operation

    async def call(self, ctx: Context[WriteContext]) -> Context[WriteContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = require(ctx, "write", JobWrite)
        check_transition(self._operation, write)
        problem = _contradiction(write.job)
        if problem is not None:
            job_id = write.job.job_id
            raise InvalidState(f"The record of job {job_id} was not written: {problem}.", job_id=job_id)
        return ctx.insert("outcome", await self._store.write(write))


def _contradiction(job: Job) -> str | None:
    if job.status.final and job.completed_at is None:
        return f"its status {job.status} is final but it has no completed_at"
    numbers = [attempt.number for attempt in job.attempts]
    if numbers != sorted(set(numbers)):
        return f"its attempts are numbered {numbers} instead of ascending"
    return None
