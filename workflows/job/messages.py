"""What may be asked of a job: the updates of ``JobWorkflow`` and their refusals.

Handlers note what was asked; the main line acts on it. Each leaves an event in the audit trail, which is written with
the record.
Deliberately not here: what a job does next (``workflow``), how its record changes (``record``).
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.details import JobAmended, JobCompleted, JobEdited, JobRedriven
    from workflows.contracts.audit.events import AuditEvent
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.commands import Amend, Cancel, Complete, Discard, Edit, Redrive
    from workflows.contracts.errors import ErrorCode
    from workflows.contracts.identity.proofs import Claim
    from workflows.contracts.jobs import Job
    from workflows.contracts.labels import normalised
    from workflows.contracts.statuses import JobStatus, QueueStatus
    from workflows.incoming import checks, takes
    from workflows.job import record
    from workflows.job.differences import differences
    from workflows.job.recorded import RecordedJob
    from workflows.job.retry import FINAL_STATUS

_ANSWER_WITHIN: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody wants the job to end now, with this result."""

    status: JobStatus
    cause: str
    reason: str
    exit_code: int | None = None


class JobMessages(RecordedJob):
    """The handlers."""

    def __init__(
        self,
        job: Job,
        *,
        written: Job | None,
        creation: list[AuditEvent] | None = None,
        claim: Claim | None = None,
    ) -> None:
        super().__init__(job, written=written, creation=creation, claim=claim)
        self._attempt_number: int | None = None  # of the attempt that is queued or runs now
        self._stop: Stop | None = None
        self._replace = False  # the queued attempt must change its place in line
        self._redrive = False

    @workflow.update(name="cancel")
    @takes(Cancel)
    async def cancel(self, command: Cancel) -> Job:
        """Stop the job. A running attempt is told within 2 s and has its grace; the answer does not wait for it."""
        self._note(EventType.JOB_CANCELLED, command, command.reason)
        reason = f"Cancelled by {command.by or 'an operator'}{': ' + command.reason if command.reason else '.'}"
        return await self._stop_with(Stop(JobStatus.CANCELLED, "cancelled", reason))

    @workflow.update(name="complete")
    @takes(Complete)
    async def complete(self, command: Complete) -> Job:
        """Take a result from outside; what still runs is stopped."""
        self._note(JobCompleted.of(command), command, command.error_message)
        status = JobStatus.SUCCESS if command.exit_code == 0 else JobStatus.FAILED
        reason = command.error_message or f"Completed from outside with exit code {command.exit_code}."
        return await self._stop_with(Stop(status, "completed_externally", reason, command.exit_code))

    async def _stop_with(self, stop: Stop) -> Job:
        self._request_stop(stop)
        if self._job.queue_status not in {QueueStatus.CLAIMED, QueueStatus.RUNNING}:
            with suppress(TimeoutError):  # an agent had just begun, and may even be lost: the answer does not wait
                await workflow.wait_condition(
                    lambda: self._written is not None and self._written.status.final, timeout=_ANSWER_WITHIN
                )
        return self._job

    @workflow.update(name="amend")
    @takes(Amend)
    async def amend(self, change: Amend) -> Job:
        """Change the place in line (queued only), labels or tags."""
        self._note(JobAmended.of(change), change)
        before = self._job
        self._job = record.amended(self._job, change)
        moved = _place_in_line(before) != _place_in_line(self._job)
        if moved and self._attempt_number is not None:
            self._replace = True
            await workflow.wait_condition(lambda: not self._replace)
        await self._record()
        self._show()
        return self._job

    @workflow.update(name="edit")
    @takes(Edit)
    async def edit(self, change: Edit) -> Job:
        """Change a dead letter."""
        before, self._job = self._job, record.edited(self._job, change)
        self._note(JobEdited.of(change).model_copy(update=_changed(before, self._job)), change)
        await self._record()
        self._show()
        return self._job

    @workflow.update(name="redrive")
    @takes(Redrive)
    async def redrive(self, command: Redrive) -> Job:
        """Run a dead letter again with fresh budgets."""
        before = self._job
        if command.edit is not None:
            self._job = record.edited(self._job, command.edit)
        self._note(JobRedriven.of(command).model_copy(update=_changed(before, self._job)), command, command.reason)
        self._redrive = True
        await workflow.wait_condition(lambda: not self._redrive)
        return self._job

    @workflow.update(name="discard")
    @takes(Discard)
    async def discard(self, command: Discard) -> Job:
        """Give a dead letter up."""
        self._note(EventType.JOB_DISCARDED, command, command.reason)
        last = self._job.attempts[-1].outcome if self._job.attempts else None
        status = FINAL_STATUS[last] if last else JobStatus.ERROR
        by = f"Discarded by {command.by or 'an operator'}{': ' + command.reason if command.reason else '.'}"
        return await self._stop_with(Stop(status, self._job.cause or "", f"{self._job.error_message} {by}"))

    @cancel.validator
    @checks(Cancel)
    def _cancel_allowed(self, command: Cancel) -> None:
        self._must_be_free()
        self._must_be_open()

    @complete.validator
    @checks(Complete)
    def _complete_allowed(self, command: Complete) -> None:
        self._must_be_free()
        self._must_be_open()

    @amend.validator
    @checks(Amend)
    def _amend_allowed(self, change: Amend) -> None:
        self._must_be_free()
        self._must_be_open()
        moves = change.priority is not None or change.pool is not None or change.requires is not None
        if moves and self._job.status is not JobStatus.QUEUED:
            raise _refusal(f"The job is {self._job.status}: only a queued job can change its priority, pool or labels.")

    @edit.validator
    @checks(Edit)
    def _edit_allowed(self, change: Edit) -> None:
        self._must_be_free()
        self._must_be_parked()

    @redrive.validator
    @checks(Redrive)
    def _redrive_allowed(self, command: Redrive) -> None:
        """Also one of a deployment's: it is the deployment's own attempt, inside its lock, as it was asked for."""
        if command.edit is not None:
            self._must_be_free()
        self._must_be_parked()

    @discard.validator
    @checks(Discard)
    def _discard_allowed(self, command: Discard) -> None:
        self._must_be_free()
        self._must_be_parked()

    def _must_be_free(self) -> None:
        """Its deployment cancels it as its parent, which is no message."""
        if record.deployment_of(self._job) is not None:
            raise _refusal(record.moved_by_its_deployment(self._job))

    def _must_be_open(self) -> None:
        if self._job.status.final or self._stop is not None:
            raise _refusal(f"The job is {self._job.status}{' and is being ended' if self._stop else ''} already.")

    def _must_be_parked(self) -> None:
        if self._job.status is not JobStatus.DEAD_LETTERED or self._stop is not None or self._redrive:
            raise _refusal(f"The job is {self._job.status}, not a dead letter.")

    def _request_stop(self, stop: Stop) -> None:
        self._stop = self._stop or stop


def _refusal(message: str) -> ApplicationError:
    return ApplicationError(message, type=ErrorCode.INVALID_STATE, non_retryable=True)


def _changed(before: Job, after: Job) -> dict[str, list[str]]:
    """For the trail; nothing when nothing differs."""
    words = differences(before, after)
    return {"changed": words} if words else {}


def _place_in_line(job: Job) -> tuple[object, ...]:
    return job.pool, job.priority, normalised(job.requires)
