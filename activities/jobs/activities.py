"""The control worker's activities for jobs: contract in, chain, contract out. Names and types are the stubs' of
``workflows.contracts.activities``.

Deliberately not here: the rules (links, ``dead_letters``, ``reconcile``) and how errors cross to Temporal (``errors``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from temporalio import activity

from activities.errors import speaks_temporal
from activities.events.witness import Witness
from activities.fitting import shorter_job, written
from activities.jobs import dead_letters
from activities.jobs.readers import JobReader
from activities.jobs.reconcile import Reconciler
from activities.jobs.writers import JobCreator, JobWriter
from workflows.contracts.commands import ReconcileResult
from workflows.contracts.records import AwaitJobs, JobWrite, RedriveJobs, RedriveJobsResult, SelectDeadLetters
from workflows.contracts.statuses import JobStatus
from workflows.contracts.who import Who

_SUBMIT: Final = "Submit a job through the API: `hybridci job submit`."


@dataclass(frozen=True, slots=True)
class JobActivities:
    """The bodies, with what they need. ``all`` is what a Worker registers."""

    creator: JobCreator
    writer: JobWriter
    reader: JobReader
    redrive_job: dead_letters.RedriveJob
    reconciler: Reconciler
    witness: Witness

    def all(self) -> Sequence[Callable[..., Any]]:
        """Every activity, for ``Worker(activities=…)``."""
        return [
            self.create_job,
            self.record_job,
            self.select_dead_letters,
            self.redrive_jobs,
            self.await_jobs,
            self.reconcile_jobs,
        ]

    @activity.defn(name="create_job")
    @speaks_temporal
    async def create_job(self, write: JobWrite) -> None:
        """Validate and create the record. Raises validation_failed, not retryable."""
        await self.creator.create(self._attested(write))

    @activity.defn(name="record_job")
    @speaks_temporal
    async def record_job(self, write: JobWrite) -> None:
        """Write the record's next state. A write that is there already, or older, changes nothing."""
        await written(self.writer.write, self._attested(write), shorter_job)

    def _attested(self, write: JobWrite) -> JobWrite:
        workflow_id = activity.info().workflow_id
        if write.claim is not None:
            self.witness.doubt(write.claim, workflow_id, instead=_SUBMIT)
        creation, events = (self.witness.attested(each, workflow_id) for each in (write.creation, write.events))
        return write.model_copy(update={"creation": creation, "events": events})

    @activity.defn(name="select_dead_letters")
    @speaks_temporal
    async def select_dead_letters(self, request: SelectDeadLetters) -> list[str]:
        """The ids of matching dead letters, oldest first."""
        return await dead_letters.select(self.reader, request, activity.heartbeat)

    @activity.defn(name="redrive_jobs")
    @speaks_temporal
    async def redrive_jobs(self, request: RedriveJobs) -> RedriveJobsResult:
        """Send each job its redrive update. Tried again, it goes on behind those that its heartbeat names."""
        asked = Who(by=request.by, via=request.via, address=request.address, role=request.role, key_id=request.key_id)
        who = self.witness.known(request.claim, asked, activity.info().workflow_id)
        return await dead_letters.redrive(
            self.reader, self.redrive_job, request, who, _progress_so_far(), activity.heartbeat
        )

    @activity.defn(name="await_jobs")
    @speaks_temporal
    async def await_jobs(self, request: AwaitJobs) -> dict[str, JobStatus]:
        """Wait until all have ended. Returns each job's status."""
        return await dead_letters.await_ended(self.reader, request.job_ids, activity.heartbeat)

    @activity.defn(name="reconcile_jobs")
    @speaks_temporal
    async def reconcile_jobs(self) -> ReconcileResult:
        """Close the records whose workflow was closed behind our back."""
        return await self.reconciler.run(activity.heartbeat)


def _progress_so_far() -> RedriveJobsResult:
    details = activity.info().heartbeat_details
    return RedriveJobsResult.model_validate(details[0]) if details else RedriveJobsResult()
