"""RedriveWorkflow: run many dead letters again, durably, optionally a few first as a canary.

Deliberately not here: redriving one job (``workflow``).
"""

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import await_jobs, redrive_jobs, select_dead_letters
    from workflows.contracts.commands import BulkRedriveProgress
    from workflows.contracts.records import AwaitJobs, RedriveInput, RedriveJobs, SelectDeadLetters
    from workflows.contracts.statuses import JobStatus
    from workflows.job.recorded import started_ms
    from workflows.words import quoted

_BATCH: Final = 50
_RETRY: Final = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30))


@workflow.defn(name="RedriveWorkflow")
class RedriveWorkflow:
    """One bulk redrive."""

    @workflow.init
    def __init__(self, start: RedriveInput) -> None:
        self._request = start.request
        self._of_deployments = 0
        self._progress = BulkRedriveProgress(
            redrive_id=start.redrive_id,
            fingerprint=start.fingerprint,
            state="selecting",
            message="looks for matching dead letters",
        )

    @workflow.run
    async def run(self, start: RedriveInput) -> BulkRedriveProgress:
        """Select, try the canaries, then do the rest."""
        job_ids = await workflow.execute_activity(
            select_dead_letters,
            SelectDeadLetters(filter=self._request.filter, limit=self._request.limit),
            start_to_close_timeout=timedelta(minutes=5),
            retry_policy=_RETRY,
            summary=f"dead letters matching the filter, {self._request.limit} at most",
        )
        self._tell("redriving", f"{len(job_ids)} dead letters match", matched=len(job_ids))
        canary = self._request.canary
        first = job_ids[: canary.count] if canary else []
        if first and not await self._canary(first):
            return self._progress
        rest = job_ids[len(first) :]
        for start_at in range(0, len(rest), _BATCH):
            await self._redrive(rest[start_at : start_at + _BATCH])
            done = len(first) + min(start_at + _BATCH, len(rest))
            self._tell("redriving", f"{done} of {len(job_ids)} dead letters are handled")
        redriven, refused = len(self._progress.redriven), len(self._progress.refused)
        left = self._of_deployments
        why = f", {left} of these because they belong to deployments, which alone move their jobs" if left else ""
        self._tell("finished", f"{redriven} of {len(job_ids)} dead letters were redriven, {refused} refused{why}")
        return self._progress

    @workflow.query(name="progress")
    def progress(self) -> BulkRedriveProgress:
        """How far it is."""
        return self._progress

    async def _canary(self, job_ids: list[str]) -> bool:
        """True when every canary succeeded in time."""
        assert self._request.canary is not None  # noqa: S101 - for the type checker
        self._tell("canary", f"redrives {len(job_ids)} first and waits for them")
        await self._redrive(job_ids)
        limit = self._request.canary.timeout_seconds
        try:
            statuses = await workflow.execute_activity(
                await_jobs,
                AwaitJobs(job_ids=[job_id for job_id in job_ids if job_id not in self._progress.refused]),
                schedule_to_close_timeout=timedelta(seconds=limit),
                heartbeat_timeout=timedelta(seconds=30),
                retry_policy=_RETRY,
                summary=f"waits for {len(job_ids)} canaries",
            )
        except ActivityError as error:
            late = isinstance(error.cause, TemporalTimeoutError)
            why = f"had not ended after {limit} s" if late else f"could not be watched ({error.cause})"
            self._tell("stopped", f"The canaries {why}; the rest stays parked.")
            return False
        self._progress = self._progress.model_copy(
            update={"canaries": {key: str(value) for key, value in statuses.items()}}
        )
        bad = [job_id for job_id, status in statuses.items() if status is not JobStatus.SUCCESS]
        if bad or not statuses:
            self._tell("stopped", f"{len(bad)} of {len(statuses)} canaries did not succeed; the rest stays parked.")
            return False
        return True

    async def _redrive(self, job_ids: list[str]) -> None:
        result = await workflow.execute_activity(
            redrive_jobs,
            RedriveJobs(
                job_ids=job_ids,
                redrive_id=self._progress.redrive_id,
                edit=self._request.edit,
                reason=self._request.reason,
                claim=self._request.heard(started_ms()).claim(),
                **self._request.who().model_dump(),
            ),
            start_to_close_timeout=timedelta(minutes=10),
            heartbeat_timeout=timedelta(minutes=1),
            retry_policy=_RETRY,
            summary=f"redrives {len(job_ids)} jobs",
        )
        self._of_deployments += result.of_deployments
        self._progress = self._progress.model_copy(
            update={
                "redriven": [*self._progress.redriven, *result.redriven],
                "refused": self._progress.refused | result.refused,
            }
        )

    def _tell(self, state: str, message: str, **update: int) -> None:
        self._progress = self._progress.model_copy(update={"state": state, "message": message, **update})
        workflow.set_current_details(f"**{state}** — {quoted(message)}")
