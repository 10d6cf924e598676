"""RepairWorkflow: bring one workflow that cannot go on back to its last good task, or end it.

Nothing is run twice by it: a workflow that could only go on by running a command again is ended, and who knows better
starts it again. Deliberately not here: which workflows are stuck, and where they may be taken back to (``stuck``).
"""

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import (
        await_progress,
        end_workflow,
        judge_workflow,
        note_repair,
        reset_workflow,
    )
    from workflows.contracts.repairs import (
        End,
        Kind,
        RepairInput,
        RepairNote,
        RepairOutcome,
        RepairProgress,
        RepairResult,
        Reset,
        Standing,
    )
    from workflows.job.recorded import started_ms
    from workflows.words import quoted

_MOST_RESETS: Final = {Kind.ENVIRONMENT: 1}
"""A lock is better off anew from its record than from a task of long ago."""
_MOST_RESETS_ELSE: Final = 10
"""Each one a task further back, as long as nothing would run twice."""
_RETRY: Final = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30))
_TRY: Final = timedelta(minutes=2)


@workflow.defn(name="RepairWorkflow")
class RepairWorkflow:
    """One repair of one workflow."""

    @workflow.init
    def __init__(self, start: RepairInput) -> None:
        self._start = start
        self._resets = 0

    @workflow.run
    async def run(self, start: RepairInput) -> RepairResult:
        """Repair it and keep what was done in the audit trail."""
        result = await self._repair()
        if result.outcome is not RepairOutcome.RECOVERED:
            note = RepairNote(event_id=f"repaired-{workflow.info().run_id}", repair=self._heard(), result=result)
            await workflow.execute_activity(
                note_repair, note, start_to_close_timeout=_TRY, retry_policy=_RETRY, summary="the audit trail"
            )
        workflow.set_current_details(f"**{result.outcome}**: {quoted(result.message)}")
        return result

    @workflow.query(name="request")
    def request(self) -> RepairInput:
        """What was asked for."""
        return self._start

    async def _repair(self) -> RepairResult:
        subject, command = self._start.subject, self._start.command
        while True:
            standing = await self._judge()
            if not standing.open:
                return self._result(RepairOutcome.RECOVERED, f"{_capital(subject)} has ended meanwhile.")
            if not standing.stuck:
                outcome = RepairOutcome.RESET if self._resets else RepairOutcome.RECOVERED
                return self._result(outcome, f"{_capital(subject)} goes on.")
            if command.end:
                return await self._end(standing, f"{_capital(subject)} was ended, as {_person(command.by)} asked.")
            if standing.odd_answer:
                return await self._end_attempt(standing)
            if standing.reset_to is None:
                return await self._end(standing, f"{_capital(subject)} could not be taken back: {standing.obstacle}.")
            if self._resets == _MOST_RESETS.get(subject.kind, _MOST_RESETS_ELSE):
                return await self._end(standing, f"{_capital(subject)} could not go on after {self._resets} resets.")
            progress = await self._reset(standing.run_id, standing.reset_to)
            if progress is RepairProgress.GOES_ON:
                return self._result(
                    RepairOutcome.RESET, f"{_capital(subject)} was taken back to its last good task and goes on."
                )
            if progress is RepairProgress.SILENT:
                silent = (
                    "was taken back to its last good task, which no worker has taken yet: is the control worker up?"
                )
                return self._result(RepairOutcome.SILENT, f"{_capital(subject)} {silent}")

    def _heard(self) -> RepairInput:
        return self._start.model_copy(update={"command": self._start.command.heard(started_ms())})

    async def _judge(self) -> Standing:
        return await workflow.execute_activity(
            judge_workflow,
            self._start.subject,
            start_to_close_timeout=_TRY,
            retry_policy=_RETRY,
            summary="can it go on, and from where",
        )

    async def _reset(self, run_id: str, event_id: int) -> RepairProgress:
        self._resets += 1
        command = self._start.command
        reset = Reset(
            workflow_id=self._start.subject.workflow_id,
            run_id=run_id,
            event_id=event_id,
            request_id=f"{workflow.info().run_id}-{self._resets}",
            reason=f"{_person(command.by)}: {command.reason}",
        )
        await workflow.execute_activity(
            reset_workflow, reset, start_to_close_timeout=_TRY, retry_policy=_RETRY, summary=f"back to event {event_id}"
        )
        return await workflow.execute_activity(
            await_progress,
            self._start.subject,
            start_to_close_timeout=_TRY,
            heartbeat_timeout=timedelta(seconds=30),
            retry_policy=_RETRY,
            summary="does it go on",
        )

    async def _end_attempt(self, standing: Standing) -> RepairResult:
        """The attempt counts as ended by its agent; what follows is what always follows such an attempt."""
        await workflow.execute_activity(
            end_workflow,
            End(repair=self._start, run_id=standing.run_id, odd_answer=standing.odd_answer),
            start_to_close_timeout=_TRY,
            retry_policy=_RETRY,
            summary="end the attempt that an agent answered oddly",
        )
        return self._result(
            RepairOutcome.RESET,
            f"An agent answered {self._start.subject} with {standing.odd_answer}: the attempt counts as agent_error.",
        )

    async def _end(self, standing: Standing, why: str) -> RepairResult:
        await workflow.execute_activity(
            end_workflow,
            End(repair=self._start, run_id=standing.run_id),
            start_to_close_timeout=_TRY,
            retry_policy=_RETRY,
            summary="end it and put its record right",
        )
        return self._result(RepairOutcome.ENDED, f"{why} Its workflow was ended, and its record says so.")

    def _result(self, outcome: RepairOutcome, message: str) -> RepairResult:
        workflow_id = self._start.subject.workflow_id
        return RepairResult(workflow_id=workflow_id, outcome=outcome, message=message, resets=self._resets)


def _capital(subject: object) -> str:
    text = str(subject)
    return text[:1].upper() + text[1:]


def _person(by: str | None) -> str:
    return by or "somebody"
