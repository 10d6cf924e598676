"""SweepWorkflow: remove what is older than the policy says, kind by kind, and tell what was removed.

A schedule starts it every hour; somebody may ask for one, or for a preview. Deliberately not here: what may go
(``activities.retention``).
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import note_sweep, sweep_records
    from workflows.contracts.storage.retention import SweepInput, SweepNote, SweepResult, SweepTask, Swept, SweptKind
    from workflows.job.recorded import now_ms

_TRY = timedelta(minutes=15)
_SILENT = timedelta(minutes=1)
_RETRY = RetryPolicy(initial_interval=timedelta(seconds=5), maximum_interval=timedelta(minutes=1), maximum_attempts=10)
"""A store that is away for longer than that is for the sweep of the next hour."""


@workflow.defn(name="SweepWorkflow")
class SweepWorkflow:
    """One sweep, or its preview."""

    @workflow.init
    def __init__(self, start: SweepInput) -> None:
        self._start = start
        if start.command is not None:
            heard = start.command.heard(now_ms())
            self._start = start.model_copy(update={"command": heard})
        self._result = SweepResult(dry_run=start.dry_run)

    @workflow.run
    async def run(self, start: SweepInput) -> SweepResult:
        """Each kind in turn; what went, or would."""
        first, gone = list[str](), list[str]()
        for kind in SweptKind:
            swept = await self._sweep(SweepTask(kind=kind, dry_run=start.dry_run, first=first, gone=gone))
            first, gone = swept.job_ids, gone or swept.ids
        if not start.dry_run:
            note = SweepNote(event_id=f"swept-{workflow.info().run_id}", start=self._start, result=self._result)
            await workflow.execute_activity(
                note_sweep, note, start_to_close_timeout=_TRY, retry_policy=_RETRY, summary="how it went"
            )
        return self._result

    async def _sweep(self, task: SweepTask) -> Swept:
        answer = await workflow.execute_activity(
            sweep_records,
            task,
            start_to_close_timeout=_TRY,
            heartbeat_timeout=_SILENT,
            retry_policy=_RETRY,
            summary=f"{task.kind} that are older than the policy says",
        )
        swept = answer.kinds[0]
        told = swept.model_copy(update={"ids": [], "job_ids": []})
        self._result = SweepResult(policy=answer.policy, kinds=[*self._result.kinds, told], dry_run=task.dry_run)
        workflow.set_current_details(self._result.words())
        return swept
