"""JobWorkflow: one job from submission to its final state. ``run`` reads like the process:
create → (queue → attempt → decide)* → finish, or park as a dead letter until somebody redrives or discards it.

Deliberately not here: retry rules (``retry``), what may be asked (``messages``), changes of the
record (``record``), writing it (``recorded``).
The record is created by whoever accepted the job, or here (``JobInput``). Every change of state after that is written
in the workflow task that decides it (``calls``): no extra round trip, one history event. The history of a job
with three attempts stays below 60 events.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import Priority as TemporalPriority
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.closing import closed
    from workflows.contracts.activities import run_attempt
    from workflows.contracts.attempts import CANCEL_GRACE_SECONDS, AttemptResult, AttemptStarted
    from workflows.contracts.commands import JobInput
    from workflows.contracts.ids import LEASE_SECONDS, pool_queue, resume_queue
    from workflows.contracts.jobs import Job
    from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus
    from workflows.contracts.workspace.lost import waited_for
    from workflows.contracts.workspace.resume import RESUME_WAIT_SECONDS, LostAttempts
    from workflows.contracts.workspace.step_rules import AFTER_SECONDS, When
    from workflows.incoming import read
    from workflows.job import record
    from workflows.job.lost_attempt import answerer, reported, unreported
    from workflows.job.messages import JobMessages, Stop
    from workflows.job.presentation import attempt_summary, closing, first_line
    from workflows.job.recorded import is_continued, now_ms, started_ms
    from workflows.job.retry import MAX_DECLINES, Action, RetryDecision, decide
    from workflows.shielded import shielded

_REPORT_MARGIN: Final = timedelta(seconds=CANCEL_GRACE_SECONDS + 110)
"""An agent ends an attempt at its timeout itself; the server gives up this much later, should the agent not."""
_GIVEN: Final = "a-given-record-is-proven"  # 2026-11: before, any record was believed that a start brought along
_HOLDER: Final = "an-answer-is-its-holders"  # 2026-11: before, whoever it named
_SHORT_PAUSE_SECONDS: Final = 30
"""A pause this short does not change the search attributes: two events less for each retry."""


@workflow.defn(name="JobWorkflow")
class JobWorkflow(JobMessages):
    """The one owner of a job's state. All else asks it by updates and signals."""

    @workflow.init
    def __init__(self, start: JobInput) -> None:
        if start.resume is not None:
            by_repair = not is_continued()
            claim = start.heard(started_ms()).claim() if by_repair else None
            super().__init__(start.resume, written=start.resume, claim=claim)
        elif start.accepted_at is not None:
            claim = start.heard(started_ms()).claim()
            creation = record.creation(start, start.accepted_at, claim)
            super().__init__(creation.job, written=creation.job, creation=creation.events)
        else:  # the time of the execution: a task can be lost and run again
            super().__init__(record.submitted(start, _millis(workflow.info().workflow_start_time)), written=None)
        self._retention = timedelta(seconds=start.dead_letter_retention_seconds)
        self._created = self._written is not None
        self._rejected: ApplicationError | None = None
        self._round_start = len(self._job.attempts)
        self._retryable = True
        self._odd_answer = start.odd_answer
        self._delivery_key = start.delivery_key

    @workflow.run
    async def run(self, start: JobInput) -> Job:
        """Run the job to its final state and return its record, or raise with it (``closing``)."""
        again = await shielded(self._run(start), self._cancelled_in_temporal)
        await workflow.wait_condition(workflow.all_handlers_finished)
        if again:
            workflow.continue_as_new(start.model_copy(update={"resume": self._written}))
        job = self._job
        return closed(job, closing(job), cause=job.cause or job.status.value, words=first_line(job))

    def _cancelled_in_temporal(self) -> None:
        """A cancel like any other."""
        self._request_stop(Stop(JobStatus.CANCELLED, "cancelled", record.IN_TEMPORAL))

    async def _run(self, start: JobInput) -> bool:
        """True asks for continue-as-new, at the one moment that has no attempt under way."""
        if not self._created:
            await self._create(start)
        elif self._claim is not None and workflow.patched(_GIVEN):
            await self._record()  # refused, before anything runs, unless a repair has given it
        while True:
            decision = await self._run_round()
            if decision.action is Action.FINISH:
                await self._finish(decision.status, decision.reason)
                return False
            if not await self._park(decision):
                return False
            if workflow.info().is_continue_as_new_suggested() and await self._nobody_waits():
                return True

    async def _nobody_waits(self) -> bool:
        """True once all handlers have answered; False when one wants the job to end, which a new run would not know."""
        await workflow.wait_condition(lambda: self._stop is not None or workflow.all_handlers_finished())
        return self._stop is None

    async def _create(self, start: JobInput) -> None:
        self._job = record.queued(self._job, now_ms())
        self._note_submission(start)
        try:
            await self._record()
        except ApplicationError as error:
            self._rejected = error
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise self._rejected from None
        self._created = True

    async def _run_round(self) -> RetryDecision:
        """Attempts until one decision ends them: success, a final failure, a stop, or a used-up budget."""
        self._round_start = len(self._job.attempts)
        self._between_attempts = False
        avoid: str | None = None
        while True:
            if self._odd_answer is not None:
                result = self._end_oddly(self._odd_answer)
            elif self._stop is None:
                result = await self._run_attempt(avoid)
                avoid = result.agent_id if result and result.outcome is Outcome.AGENT_LOST else None
            else:
                result = None
            if self._stop is not None and not (result and result.outcome is Outcome.SUCCEEDED):
                return self._stopped(self._stop)
            round_attempts = self._job.attempts[self._round_start :]
            decision = decide(self._job.retry, round_attempts, retryable=self._retryable)
            if decision.action is not Action.RETRY:
                return decision
            await self._pause(decision)

    async def _run_attempt(self, avoid: str | None) -> AttemptResult | None:
        """One attempt, however often it changes its place in line. None: it was stopped before it began."""
        declines, holder = 0, waited_for(self._job)
        avoid = None if holder is not None else avoid
        try:
            while True:
                number = self._attempt_number = self._job.attempts[-1].number + 1 if self._job.attempts else 1
                result = await self._place_and_wait(number, avoid if declines < MAX_DECLINES else None, holder)
                holder = None
                if result is not None and result.outcome is Outcome.DECLINED:
                    declines += 1
                elif result is not None:
                    self._retryable = result.retryable
                    self._job = record.attempt_ended(self._job, result, now_ms())
                    return result
                if self._stop is not None:
                    return None
        finally:
            self._attempt_number = None

    def _end_oddly(self, odd_answer: str) -> AttemptResult:
        """The attempt whose answer stopped this workflow's last run. All attempts so far count as one round with it: an
        agent that goes on like that uses up the budget.
        """
        self._odd_answer, self._round_start = None, 0
        last = self._job.attempts[-1] if self._job.attempts else None
        number = last.number if last and last.finished_at is None else (last.number if last else 0) + 1
        agent = f"Agent {self._job.agent_id}" if self._job.agent_id else "An agent"
        message = f"{agent} answered with {odd_answer}. Look at its version, and at who else has its token."
        result = record.lost_result(self._job, number, Outcome.AGENT_ERROR, message, now_ms())
        self._retryable, self._job = result.retryable, record.attempt_ended(self._job, result, now_ms())
        return result

    async def _place_and_wait(
        self, number: int, avoid: str | None, holder: LostAttempts | None = None
    ) -> AttemptResult | None:
        """Queue the attempt on its pool and wait; for a while only for the ``holder`` of what it has done already.
        None: it was taken from there, to move it, to stop, or because the holder did not come.
        """
        job = self._job
        handle: workflow.ActivityHandle[RawValue | None] = workflow.start_activity(
            run_attempt.__name__,
            record.attempt_input(job, number, avoid_agent=avoid, delivery_key=self._delivery_key),
            result_type=RawValue,
            task_queue=resume_queue(job.pool, holder.agent_id) if holder else pool_queue(job.pool, job.requires),
            priority=TemporalPriority(priority_key=job.priority.key),
            start_to_close_timeout=timedelta(seconds=job.timeout_seconds) + _REPORT_MARGIN + _afterwards(job),
            schedule_to_start_timeout=timedelta(seconds=RESUME_WAIT_SECONDS) if holder else None,
            heartbeat_timeout=timedelta(seconds=LEASE_SECONDS),
            retry_policy=RetryPolicy(maximum_attempts=1),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=attempt_summary(job, number),
        )
        self._show()
        await workflow.wait_condition(lambda: handle.done() or self._stop is not None or self._replace)
        if not handle.done():
            handle.cancel()
        answer, failed_by = None, ""
        try:
            answer = await handle
        except ActivityError as error:
            result = unreported(self._job, number, error, now_ms())
            failed_by = error.identity if isinstance(error.cause, ApplicationError) else ""
        else:
            result = reported(self._job, number, answer, workflow.payload_converter(), now_ms())
        if result is not None:
            result = self._by_its_holder(result, answerer(self._job, result, answer, failed_by))
        moved, self._replace = self._replace and self._stop is None, False
        if moved and result is not None and result.outcome is Outcome.CANCELLED:
            self._job = record.moved(self._job, result, now_ms())  # an agent had just begun
            return None
        return result

    def _by_its_holder(self, result: AttemptResult, holder: str) -> AttemptResult:
        """Mostly it is whom the result names: only then nothing has to be kept in the history."""
        known = next((each.agent_id for each in self._job.attempts if each.number == result.attempt), None)
        if holder == (result.agent_id or known or "") or not workflow.patched(_HOLDER):
            return result
        return result.model_copy(update={"agent_id": holder})

    async def _pause(self, decision: RetryDecision) -> None:
        self._job = record.retrying(self._job, decision, now_ms())
        await self._record()
        self._between_attempts = decision.delay_seconds < _SHORT_PAUSE_SECONDS
        if decision.delay_seconds <= 0:
            return
        self._show()
        try:
            await workflow.wait_condition(
                lambda: self._stop is not None,
                timeout=timedelta(seconds=decision.delay_seconds),
                timeout_summary=f"pause before the next attempt: {decision.delay_seconds:g} s",
            )
        except TimeoutError:
            self._job = record.due(self._job, now_ms())

    async def _park(self, decision: RetryDecision) -> bool:
        """Keep the dead letter until it is redriven (True) or given up (False)."""
        self._job = record.parked(self._job, decision, now_ms())
        await self._record()
        self._show()
        reason = decision.reason
        try:
            await workflow.wait_condition(
                lambda: self._stop is not None or self._redrive,
                timeout=self._retention,
                timeout_summary=f"dead letter: kept {self._retention.days} days, then {decision.status}",
            )
        except TimeoutError:
            reason = f"{reason} Nobody redrove it within {self._retention}."
        if self._redrive and self._stop is None:
            self._job = record.redriven(self._job, now_ms())
            await self._record()
            self._show()
            self._redrive = False
            return True
        stop = self._stop or Stop(decision.status, self._job.cause or "", reason)
        stopped = self._stopped(stop)
        await self._finish(stopped.status, stopped.reason)
        return False

    def _stopped(self, stop: Stop) -> RetryDecision:
        if stop.exit_code is not None:
            self._job = self._job.model_copy(update={"exit_code": stop.exit_code})
        self._job = self._job.model_copy(update={"cause": stop.cause})
        return RetryDecision(Action.FINISH, stop.status, stop.reason)

    async def _finish(self, status: JobStatus, reason: str) -> None:
        cause = self._job.cause if self._stop is not None else None
        self._job = record.finished(self._job, status, reason, now_ms(), cause=cause)
        await self._record()
        self._show()
        self._redrive = False

    @workflow.update(name="created")
    async def created(self, *_given: Any) -> Job:
        """Answer once the record is readable."""
        await workflow.wait_condition(lambda: self._created or self._rejected is not None)
        if self._rejected is not None:
            raise self._rejected
        if self._creation is not None:
            await self._record()
        return self._job

    @workflow.signal(name="attempt_started")
    async def attempt_started(self, *given: Any) -> None:
        """An agent has begun the attempt (``AttemptStarted``). Late, repeated or foreign announcements, and what is
        none, change nothing.
        """
        announcement, _ = read(AttemptStarted, given)
        if announcement is None:
            return
        job = self._job
        current = announcement.attempt == self._attempt_number and not job.status.ended
        later = job.queue_status is QueueStatus.QUEUED or (
            job.queue_status is QueueStatus.CLAIMED and announcement.phase is QueueStatus.RUNNING
        )
        if current and later and self._created:
            self._job = record.claimed(job, announcement, now_ms())
            await self._record()
            self._show()

    @workflow.query(name="state")
    def state(self) -> Job:
        """The record as the workflow has it now."""
        return self._job


def _afterwards(job: Job) -> timedelta:
    """What its agent may take beyond its timeout, where the job says so."""
    after = AFTER_SECONDS if any(step.when is not When.SUCCESS for step in job.steps) else 0
    grace = job.cancel.grace_seconds if job.cancel is not None else None
    return timedelta(seconds=after + max(0, (grace or 0) - CANCEL_GRACE_SECONDS))


def _millis(time: datetime) -> int:
    return int(time.timestamp() * 1000)
