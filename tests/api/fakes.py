"""A fake of our own job client on a real (memory) job store: commands become records at once, without Temporal."""

from collections.abc import Callable

from activities.stores.interfaces.jobs import JobStore
from tests.api.fake_deployments import FakeDeployments
from tests.clock import own_millis
from workflows.client.jobs import JobClient
from workflows.contracts.accepted import Accepted, Taken
from workflows.contracts.attempts import AttemptStarted
from workflows.contracts.commands import (
    Amend,
    BulkRedrive,
    BulkRedriveProgress,
    Cancel,
    Complete,
    Discard,
    Edit,
    JobInput,
    ReconcileResult,
    Redrive,
)
from workflows.contracts.errors import HybridCIError, InvalidState, NotFound
from workflows.contracts.identity.delivery import is_attempt_key
from workflows.contracts.jobs import Attempt, Job, new_job
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus
from workflows.job import record
from workflows.job.record import as_accepted, creation

DELIVERY_SECRET = b"what the API makes keys of deliveries from"


class FakeJobClient(JobClient):
    """Answers like the real one. ``failure`` is raised by every call; ``on_submit`` is told of each start.

    ``unanswered``: what is taken is not answered, as when the store is out. ``update_ids``: of the commands, in turn.
    """

    def __init__(self, store: JobStore, releases: FakeDeployments) -> None:  # no client: the base class is not used
        self._store = store
        self.releases = releases
        self.failure: HybridCIError | None = None
        self.unanswered = False
        self.update_ids: list[str | None] = []
        self.on_submit: Callable[[JobInput], None] = lambda job: None
        self.started: dict[str, JobInput] = {}
        self.lease: int | None = None
        self.holders: dict[str, str | None] = {}
        self.asked_for_holder = 0
        self.redrives: dict[str, BulkRedrive] = {}
        self.redrive_fingerprints: dict[str, str | None] = {}
        self.announcements: list[AttemptStarted] = []

    async def submit(self, job: JobInput) -> Job:
        self._answer()
        self.on_submit(job)
        return await self._created(job)

    async def _created(self, job: JobInput) -> Job:
        known = await self._store.get(job.job_id)
        if known is not None:
            return known
        created = new_job(
            job.spec,
            job_id=job.job_id,
            now=own_millis(),
            created_by=job.created_by,
            fingerprint=job.fingerprint,
            retry_of=job.retry_of,
        )
        return await self.put(created, status=JobStatus.QUEUED, queued_at=own_millis())

    async def start(self, job: JobInput, accepted_at: int) -> JobWrite | None:
        return creation(job, accepted_at) if await self.begin(job) else None

    async def begin(self, job: JobInput) -> bool:
        self._answer()
        self.on_submit(job)
        self.started[job.job_id] = job
        return await self._store.get(job.job_id) is None

    async def known(self, job_id: str) -> Job:
        self._answer()
        job = self.started.get(job_id)
        if job is None or await self._store.get(job_id) is not None:
            raise NotFound("There is no open workflow of this id.")
        return as_accepted(job, own_millis())

    async def created(self, job_id: str) -> Job:
        self._answer()
        if self.unanswered:
            raise Accepted(Taken(asked="submit", job_id=job_id))
        if job_id not in self.started:
            raise NotFound("There is no open workflow of this id: it never existed, or it has ended.")
        return await self._created(self.started[job_id])

    async def cancel(self, job_id: str, command: Cancel, update_id: str | None = None) -> Job:
        self._taken("cancel", job_id, update_id)
        job = await self._open(job_id)
        return await self.put(
            job,
            status=JobStatus.CANCELLED,
            queue_status=QueueStatus.CANCELLED,
            error_message=command.reason,
            completed_at=own_millis(),
        )

    async def amend(self, job_id: str, command: Amend, update_id: str | None = None) -> Job:
        self._taken("amend", job_id, update_id)
        job = await self._open(job_id)
        if job.status is JobStatus.RUNNING and (command.priority or command.pool):
            raise InvalidState("The job runs already.")
        return await self.put(job, **command.model_dump(exclude={"by"}, exclude_none=True))

    async def complete(self, job_id: str, command: Complete, update_id: str | None = None) -> Job:
        self._taken("complete", job_id, update_id)
        job = await self._open(job_id)
        status = JobStatus.SUCCESS if command.exit_code == 0 else JobStatus.FAILED
        return await self.put(job, status=status, exit_code=command.exit_code, completed_at=own_millis())

    async def edit(self, job_id: str, command: Edit, update_id: str | None = None) -> Job:
        self._taken("edit", job_id, update_id)
        job = await self._parked(job_id)
        return await self.put(record.edited(job, command))

    async def redrive(self, job_id: str, command: Redrive, update_id: str | None = None) -> Job:
        self._taken("redrive", job_id, update_id)
        job = await self._parked(job_id)
        if command.edit is not None:
            job = await self.edit(job_id, command.edit, update_id)
        return await self.put(job, status=JobStatus.QUEUED, queue_status=QueueStatus.QUEUED)

    async def discard(self, job_id: str, command: Discard, update_id: str | None = None) -> Job:
        self._taken("discard", job_id, update_id)
        job = await self._parked(job_id)
        return await self.put(job, status=JobStatus.FAILED, queue_status=QueueStatus.FAILED)

    async def attempt_started(self, job_id: str, announcement: AttemptStarted) -> None:
        job = await self._open(job_id)
        self.announcements.append(announcement)
        attempt = Attempt(
            number=announcement.attempt,
            agent_id=announcement.agent_id,
            queued_at=job.created_at,
            claimed_at=announcement.claimed_at,
            log_url=f"/api/dashboard/jobs/{job_id}/logs?attempt={announcement.attempt}",
        )
        others = [item for item in job.attempts if item.number != announcement.attempt]
        await self.put(
            job,
            status=JobStatus.RUNNING,
            queue_status=QueueStatus.RUNNING,
            agent_id=announcement.agent_id,
            attempts=[*others, attempt],
        )

    async def lease_expires_at(self, job_id: str) -> int | None:
        self._answer()
        return self.lease

    async def holder(self, job_id: str) -> str | None:
        self._answer()
        self.asked_for_holder += 1
        return self.holders.get(job_id, "agent-7")

    def was_given(self, job_id: str, attempt: int, key: str) -> bool:
        return is_attempt_key(DELIVERY_SECRET, job_id, attempt, key)

    async def start_bulk_redrive(
        self, redrive_id: str, request: BulkRedrive, *, fingerprint: str | None = None
    ) -> str | None:
        self._answer()
        if redrive_id in self.redrives:
            return self.redrive_fingerprints[redrive_id] or ""
        self.redrives[redrive_id] = request
        self.redrive_fingerprints[redrive_id] = fingerprint
        return None

    async def bulk_redrive_progress(self, redrive_id: str) -> BulkRedriveProgress:
        self._answer()
        if redrive_id not in self.redrives:
            raise NotFound("There is no open workflow of this id.")
        return BulkRedriveProgress(
            redrive_id=redrive_id,
            fingerprint=self.redrive_fingerprints[redrive_id],
            state="finished",
            message="nothing matched",
        )

    async def reconcile(self) -> ReconcileResult:
        self._answer()
        return ReconcileResult(checked=0)

    async def ready(self) -> None:
        self._answer()

    async def end_attempt(self, job_id: str, number: int, *, status: JobStatus, log_bytes: int | None = None) -> Job:
        """Not part of the interface: what the workflow does when an agent reports."""
        job = await self._store.get(job_id)
        assert job is not None
        now = own_millis()
        outcome = Outcome.SUCCEEDED if status is JobStatus.SUCCESS else Outcome.FAILED
        attempts = [
            item.model_copy(update={"finished_at": now, "outcome": outcome, "log_bytes": log_bytes})
            if item.number == number
            else item
            for item in job.attempts
        ]
        queue = {JobStatus.SUCCESS: QueueStatus.COMPLETED, JobStatus.DEAD_LETTERED: QueueStatus.DEAD_LETTERED}
        return await self.put(
            job,
            status=status,
            queue_status=queue.get(status, QueueStatus.FAILED if status.ended else QueueStatus.QUEUED),
            attempts=attempts,
            completed_at=now if status.ended else None,
        )

    async def put(self, job: Job, **changes: object) -> Job:
        """Write the record's next state."""
        previous = job.queue_status if job.sequence else None
        changed = job.model_copy(update={**changes, "sequence": job.sequence + 1})
        await self._store.write(JobWrite(job=changed, previous=previous))
        return changed

    async def _open(self, job_id: str) -> Job:
        self._answer()
        job = await self._store.get(job_id)
        if job is None or job.status.final:
            raise NotFound("There is no open workflow of this id: it never existed, or it has ended.")
        return job

    async def _parked(self, job_id: str) -> Job:
        job = await self._open(job_id)
        if job.status is not JobStatus.DEAD_LETTERED:
            raise InvalidState(f"The job is {job.status}, not a dead letter.")
        return job

    def _answer(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _taken(self, name: str, job_id: str, update_id: str | None) -> None:
        self.update_ids.append(update_id)
        if self.unanswered:
            raise Accepted(Taken(asked=name, job_id=job_id, update_id=update_id))
