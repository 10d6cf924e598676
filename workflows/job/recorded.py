"""The record of a job as its workflow holds it, writes it in order, and shows it in the Temporal UI.

The base of ``JobWorkflow``, apart from it because it decides nothing.
"""

import asyncio
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.calls import Calls
    from workflows.contracts import search_attributes as attributes
    from workflows.contracts.activities import create_job, record_job
    from workflows.contracts.audit.details import Details
    from workflows.contracts.audit.events import AuditEvent
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.commands import JobInput
    from workflows.contracts.identity.proofs import Claim
    from workflows.contracts.jobs import Job
    from workflows.contracts.records import JobWrite
    from workflows.contracts.statuses import JobStatus
    from workflows.contracts.who import Who
    from workflows.job import record
    from workflows.job.presentation import current_details, record_summary


_REFUSED_RECORD: Final = "a-refused-record-is-not-the-end"  # 2026-11: before, it failed the workflow
_MOST_UNWRITTEN: Final = 100
"""Events that are kept while the store refuses the record."""


class RecordedJob:
    """Holds the job; subclasses change ``_job``, then ``_record`` and ``_show`` it."""

    def __init__(
        self,
        job: Job,
        *,
        written: Job | None,
        creation: list[AuditEvent] | None = None,
        claim: Claim | None = None,
    ) -> None:
        self._job = job
        self._written = written
        self._calls = Calls()
        self._creation = creation  # the events of one by another process, as long as nobody knows that it came to it
        self._claim = claim  # whose word the whole record is, when it is not the run's before
        self._writing = asyncio.Lock()  # a signal's write and the main line's must not overtake each other
        self._between_attempts = False  # in or behind a short pause, which search attributes do not show
        self._shown: dict[str, str] = {}
        self._events: list[AuditEvent] = []  # that no write has taken along yet

    async def _record(self) -> None:
        """Write the record as it is now, in order, unless it is known to be written already.

        One that is refused for good is told in the log and written with the next change: the job goes on. Raises
        ApplicationError for its creation, without which there is none.
        """
        async with self._writing:
            self._job = record.bounded(self._job)
            written, creation = self._written, self._creation
            unchanged = written is not None and written.model_copy(update={"sequence": self._job.sequence}) == self._job
            if unchanged and creation is None and self._claim is None:
                return
            job = self._job = self._job.model_copy(
                update={"sequence": next_sequence(written.sequence if written else None)}
            )
            events = list(self._events)
            if written is None or unchanged:
                body, write = create_job, JobWrite(job=job, events=[*(creation or []), *events], claim=self._claim)
            else:
                body, previous = record_job, written.queue_status
                write = JobWrite(job=job, previous=previous, events=events, creation=creation or [], claim=self._claim)
            try:
                await self._calls.call(body, write, summary=record_summary(job))
            except ApplicationError as error:
                if written is None or unchanged or not workflow.patched(_REFUSED_RECORD):
                    raise
                workflow.logger.error("the job's record is refused", exc_info=error)
                del self._events[:-_MOST_UNWRITTEN]
                return
            self._written, self._creation, self._claim = job, None, None
            del self._events[: len(events)]

    def _note(self, what: EventType | Details, who: Who, reason: str | None = None) -> None:
        """Who asked for what, for the audit trail. By the id of the update: a task that runs again says the same."""
        update = workflow.current_update_info()
        identity = update.id if update is not None else str(workflow.uuid4())
        self._events.append(record.event(self._job, what, identity, who, at=now_ms(), reason=reason))

    def _note_submission(self, start: JobInput) -> None:
        """Who submitted it. A deployment's own jobs are in the deployment's trail."""
        if workflow.info().parent is None:
            self._events.append(record.submission(start, now_ms(), start.heard(started_ms()).claim()))

    def _show(self) -> None:
        """Tell the Temporal UI: words at no cost, search attributes only when they changed."""
        job = self._job
        workflow.set_current_details(current_details(job))
        wanted = {
            attributes.STATUS.name: job.status.value,
            attributes.POOL.name: job.pool,
            attributes.PRIORITY.name: job.priority.value,
            attributes.AGENT.name: job.agent_id or "",
        }
        if not self._shown:  # as set at the start (or carried over by continue-as-new)
            self._shown = wanted | {attributes.STATUS.name: JobStatus.QUEUED.value, attributes.AGENT.name: ""}
        if self._between_attempts and job.status is JobStatus.QUEUED:
            return
        if not job.agent_id or job.status is JobStatus.QUEUED:
            wanted[attributes.AGENT.name] = self._shown[attributes.AGENT.name]
        keys = (attributes.STATUS, attributes.POOL, attributes.PRIORITY, attributes.AGENT)
        changes = [key.value_set(wanted[key.name]) for key in keys if wanted[key.name] != self._shown[key.name]]
        if changes:
            workflow.upsert_search_attributes(changes)  # pyright: ignore[reportUnknownMemberType]
            self._shown = wanted


def next_sequence(written: int | None) -> int:
    """Higher than all before, also than what a lost run of this workflow task has written already.

    A task is lost with its worker, or when the server refuses to close the workflow over a signal it has not seen;
    then it runs again at a later time and may decide otherwise. A run that was only slow stays behind its successor.
    """
    return max(written + 1 if written is not None else 1, workflow.time_ns() // 1000)


def started_ms() -> int:
    """When the first task of this run could begin, epoch milliseconds: the same in each of its tasks."""
    return int(workflow.info().workflow_start_time.timestamp() * 1000)


def is_continued() -> bool:
    """Whether the run before has handed something on (continue-as-new). A schedule or a retry of Temporal's, which only
    somebody else can have asked for, starts a run anew with what it was given first.
    """
    info = workflow.info()
    return info.continued_run_id is not None and not info.cron_schedule and info.retry_policy is None


def now_ms() -> int:
    """The workflow's time, epoch milliseconds."""
    return workflow.time_ns() // 1_000_000
