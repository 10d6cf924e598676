"""Links of jobs: what a chain does with a job's record, one step each; first what they hand on."""

from collections.abc import Callable, Mapping
from typing import Final, TypedDict, cast

from codeuchain import Context
from pydantic import ValidationError

from activities.bounded import gather_bounded
from activities.chaining.links import ChainMiswiredError, StoreLink, require
from activities.clock import Clock
from activities.days import check_day
from activities.jobs.told import with_what_is_told
from activities.jobs.transitions import JobOperation, check_transition
from activities.stores.documents import dump_job
from activities.stores.interfaces.agents import AgentStore
from activities.stores.interfaces.jobs import JobStore
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.errors import FieldError, InvalidState, NotFound, ValidationFailed, field_errors
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import Job, JobSpec, JobSummary, new_job, spec_of
from workflows.contracts.labels import normalised
from workflows.contracts.records import DayStats, JobPage, JobQuery, JobWrite, QueueStats
from workflows.contracts.statuses import JobStatus, QueueStatus

REFRESH_MILLIS: Final = 60_000
"""A demand is kept for days; one that this process has just noted need not be written again for every job."""
_MAX_KNOWN: Final = 10_000
_IDS: Final = cast("type[list[str]]", list)


class JobContext(TypedDict, total=False):
    """What the chains of jobs hand on. ``request`` is a mapping as it came in, a JobSpec or a whole Job."""

    request: object
    job_id: str
    job: Job
    events: list[AuditEvent]
    serialized: str
    outcome: WriteOutcome
    write: JobWrite
    operation: JobOperation
    jobs: list[JobSummary]
    refreshed: int
    query: JobQuery
    page: JobPage
    queue_stats: QueueStats
    day: str
    day_stats: DayStats
    agent_ids: list[str]
    completed_by: dict[str, int]


class ValidateJobCreation:
    """``request`` (mapping, JobSpec or Job) → ``job``. Raises ValidationFailed."""

    def __init__(self, *, clock: Callable[[], int], new_id: Callable[[], str] = new_job_id) -> None:
        self._clock = clock
        self._new_id = new_id

    async def call(self, ctx: Context[JobContext]) -> Context[JobContext]:
        """A whole Job keeps its id and times; anything else becomes a fresh record under ``job_id`` or a new id."""
        request: object = ctx.get("request")
        try:
            spec = _spec_of(request)
        except ValidationError as error:
            raise ValidationFailed(*_explain(error)) from None  # its text quotes values, which do not belong in logs
        job = request if isinstance(request, Job) else self._record(spec, ctx.get("job_id"))
        return ctx.insert("job", job)

    def _record(self, spec: JobSpec, job_id: str | None) -> Job:
        return new_job(spec, job_id=job_id or self._new_id(), now=self._clock())


class NoteDemand:
    """``write`` or ``job`` → nothing new. Raises Unavailable. Costs nothing for a job without requirements."""

    def __init__(self, store: AgentStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._noted: dict[tuple[str, ...], int] = {}

    async def call(self, ctx: Context[JobContext]) -> Context[JobContext]:
        """Before the record's write: a job that waits without its demand would wait unseen."""
        job = _job_of(ctx)
        if not job.requires:
            return ctx
        requires, now = normalised(job.requires), self._clock()
        known = (job.pool, *requires)
        if now - self._noted.get(known, -REFRESH_MILLIS) >= REFRESH_MILLIS:
            await self._store.demand(job.pool, requires, now)
            if len(self._noted) >= _MAX_KNOWN:
                self._noted.clear()
            self._noted[known] = now
        return ctx


class SerializeJob:
    """``job``, or that of ``write`` → ``serialized``: the record's text, which the store keeps as it is.

    Nothing is dropped: exit_code 0, empty strings and None stay what they are.
    """

    async def call(self, ctx: Context[JobContext]) -> Context[JobContext]:
        """Stateless and without I/O."""
        return ctx.insert("serialized", dump_job(_job_of(ctx)))


class CreateJob(StoreLink[JobStore]):
    """``job`` and, when there are any, its ``events`` → ``outcome``; STALE says that the record was there already.

    Raises InvalidState, Unavailable.
    """

    async def call(self, ctx: Context[JobContext]) -> Context[JobContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = JobWrite(job=require(ctx, "job", Job), events=ctx.get("events") or [])
        check_transition(JobOperation.CREATE, write)
        return ctx.insert("outcome", await self._store.write(write, ctx.get("serialized")))


class UpdateJobStatus:
    """``write`` → ``outcome``; STALE says that a newer state is stored. Raises InvalidState, Unavailable.

    It writes the changes of ``operation`` only. Which operation this change is, the context says under ``operation``
    when whoever chose the chain has decided it.
    """

    def __init__(self, store: JobStore, operation: JobOperation) -> None:
        self._store = store
        self._operation = operation

    async def call(self, ctx: Context[JobContext]) -> Context[JobContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = require(ctx, "write", JobWrite)
        check_transition(self._operation, write, ctx.get("operation"))
        self._check(write.job)
        told = with_what_is_told(write)
        return ctx.insert("outcome", await self._store.write(told, ctx.get("serialized")))

    def _check(self, job: Job) -> None:
        """Raises InvalidState for a record that must not be."""


class RecordJobExecution(UpdateJobStatus):
    """As UpdateJobStatus, when the record's account of the execution holds together: what became of an attempt."""

    def _check(self, job: Job) -> None:
        problem = _contradiction(job)
        if problem is not None:
            raise InvalidState(f"The record of job {job.job_id} was not written: {problem}.", job_id=job.job_id)


class RefreshDemands(StoreLink[AgentStore]):
    """``jobs`` → ``refreshed``, the number of their demands. Raises Unavailable."""

    async def call(self, ctx: Context[JobContext]) -> Context[JobContext]:
        """One write for each demand, however many jobs make it; none for jobs without requirements."""
        jobs = cast("list[JobSummary]", require(ctx, "jobs", list))
        waiting = [job for job in jobs if job.requires and job.queue_status is QueueStatus.QUEUED]
        demands = {(job.pool, *normalised(job.requires)) for job in waiting}
        for failure in await gather_bounded(self._refresh, sorted(demands)):
            if failure is not None:
                raise failure
        return ctx.insert("refreshed", len(demands))

    async def _refresh(self, demand: tuple[str, ...]) -> None:
        pool, *requires = demand
        await self._store.demand(pool, requires, self._clock())


class RetrieveJob(StoreLink[JobStore]):
    """``job_id`` → ``job``. Raises NotFound, Unavailable."""

    async def call(self, ctx: Context[JobContext]) -> Context[JobContext]:
        """A consistent read: what was written last."""
        job_id = require(ctx, "job_id", str)
        job = await self._store.get(job_id)
        if job is None:
            raise NotFound(f"There is no job {job_id}. List the jobs to find the one you mean.", job_id=job_id)
        return ctx.insert("job", job)


class ListJobs(StoreLink[JobStore]):
    """``query`` → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable."""

    async def call(self, ctx: Context[JobContext]) -> Context[JobContext]:
        """Newest first."""
        return ctx.insert("page", await self._store.list(require(ctx, "query", JobQuery)))


class ListRunningJobs(StoreLink[JobStore]):
    """``query`` (its status is ignored) → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable."""

    async def call(self, ctx: Context[JobContext]) -> Context[JobContext]:
        """Newest first."""
        query = require(ctx, "query", JobQuery).model_copy(update={"status": JobStatus.RUNNING})
        return ctx.insert("page", await self._store.list(query))


class ReadQueueStats(StoreLink[JobStore]):
    """Nothing → ``queue_stats``. Raises Unavailable."""

    async def call(self, ctx: Context[JobContext]) -> Context[JobContext]:
        """Reads counters: the same cost at ten jobs and at ten million."""
        return ctx.insert("queue_stats", await self._store.queue_stats())


class ReadDayStats(StoreLink[JobStore]):
    """``day`` (``YYYY-MM-DD``, UTC) → ``day_stats``. Raises ValidationFailed for another form, Unavailable."""

    async def call(self, ctx: Context[JobContext]) -> Context[JobContext]:
        """Reads counters."""
        return ctx.insert("day_stats", await self._store.day_stats(check_day(require(ctx, "day", str))))


class ReadCompletedBy(StoreLink[JobStore]):
    """``agent_ids`` → ``completed_by``: how many jobs each has completed. Raises Unavailable."""

    async def call(self, ctx: Context[JobContext]) -> Context[JobContext]:
        """Reads counters."""
        return ctx.insert("completed_by", await self._store.completed_by(require(ctx, "agent_ids", _IDS)))


def _spec_of(request: object) -> JobSpec:
    if isinstance(request, Job):
        return spec_of(request)
    if isinstance(request, JobSpec):
        return request
    if isinstance(request, Mapping):
        return JobSpec.model_validate(dict(cast("Mapping[str, object]", request)))
    raise ChainMiswiredError(f"'request' must be a mapping, a JobSpec or a Job, not a {type(request).__name__}")


def _explain(error: ValidationError) -> tuple[str, list[FieldError]]:
    errors = field_errors(error)
    fields = ", ".join(sorted({found.field or "the job as a whole" for found in errors}))
    return f"The job was not created. Correct {fields} and submit it again.", errors


def _job_of(ctx: Context[JobContext]) -> Job:
    if isinstance(write := ctx.get("write"), JobWrite):
        return write.job
    return require(ctx, "job", Job)


def _contradiction(job: Job) -> str | None:
    if job.status.final and job.completed_at is None:
        return f"its status {job.status} is final but it has no completed_at"
    numbers = [attempt.number for attempt in job.attempts]
    if numbers != sorted(set(numbers)):
        return f"its attempts are numbered {numbers} instead of ascending"
    return None
