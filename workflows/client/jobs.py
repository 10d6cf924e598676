"""Talking to Temporal from outside a workflow: connect, start, update, signal, describe.

The one data converter is ``payloads.codec``'s. Temporal's own errors end in ``answers``: callers see
``contracts.errors`` only. Deliberately not here: deployments (``deployments``), what the workflows do, and any HTTP.
"""

import asyncio
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, TypedDict

from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateStage
from temporalio.common import TypedSearchAttributes, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from workflows.client.address import temporal_config
from workflows.client.answers import RPC_TIMEOUT, answer, carried_out, changed, outcome_of
from workflows.client.known import started_with, state_of
from workflows.client.proving import Prover
from workflows.contracts.accepted import Taken
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
from workflows.contracts.errors import InvalidState, NotFound
from workflows.contracts.ids import CONTROL_QUEUE, LEASE_SECONDS, job_workflow_id, redrive_workflow_id
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite, RedriveInput
from workflows.dashboard import memo_of
from workflows.job.presentation import job_search_attributes, job_static_details, job_static_summary
from workflows.job.record import as_accepted, creation
from workflows.payloads.codec import data_converter

_WANTED: Final = "record-wanted"
"""One id for all who miss a record: however often they ask, one update waits."""


async def connect(*, identity: str | None = None, environment: Mapping[str, str] | None = None) -> Client:
    """Connect by the ecosystem's ``TEMPORAL_*`` variables (address, namespace, API key, TLS, profile file), as this
    process has them, or as they stand in ``environment``.

    Raises RuntimeError when the server does not answer, TemporalNotConfigured, UnusableCodecKeys.
    """
    return await Client.connect(**temporal_config(environment), identity=identity, data_converter=data_converter())


class JobClient:
    """All that a process outside Temporal may ask of the workflows.

    Every method raises Unavailable when Temporal (or the control worker) does not answer in 15 s, NotFound when there
    is no such workflow, InvalidState when it has closed or refuses, ValidationFailed when the request is malformed.
    Commands raise Accepted when the workflow has taken them, durably, but does not answer in 5 s. The same
    ``update_id`` again gives the first answer and does nothing.
    """

    def __init__(self, client: Client, prover: Prover | None = None, dashboard: str | None = None) -> None:
        self._client, self._prover, self._dashboard = client, prover or Prover(), dashboard

    async def submit(self, job: JobInput) -> Job:
        """Start a job and return its record once it is readable.

        An id that exists already starts nothing and returns that job, open or closed: compare ``fingerprint``.
        Raises Accepted when it is started, but its record does not come.
        """
        await self.begin(job)
        return await self.created(job.job_id)

    async def begin(self, job: JobInput) -> bool:
        """Start a job whose workflow creates the record; True when it is new. False: the id exists, open or closed."""
        start = self._prover.proven(self._prover.with_delivery_key(job), job_workflow_id(job.job_id))
        try:
            await changed(
                self._client.start_workflow(
                    "JobWorkflow",
                    start,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    rpc_timeout=RPC_TIMEOUT,
                    **job_start(job, self._dashboard),
                )
            )
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def start(self, job: JobInput, accepted_at: int) -> JobWrite | None:
        """Start a job and return at once what the caller is now to write: the creation of its record.

        None: the id exists already, open or closed, and nothing was started; ``submit`` finds that job.
        ``accepted_at`` in epoch milliseconds.
        """
        start = job.model_copy(update={"accepted_at": accepted_at})
        return creation(start, accepted_at) if await self.begin(start) else None

    async def created(self, job_id: str) -> Job:
        """The record of a job, once it can be read: where nobody has created it yet, its workflow does.

        Raises Accepted when it cannot be written now, Unavailable when the workflow is not known to have been asked.
        """
        handle = self._job(job_id)
        try:
            return await carried_out(
                lambda: handle.start_update(  # pyright: ignore[reportUnknownMemberType]
                    "created",
                    id=_WANTED,
                    wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                    result_type=Job,
                    rpc_timeout=RPC_TIMEOUT,
                ),
                Taken(asked="submit", job_id=job_id),
            )
        except (InvalidState, NotFound):  # it has ended: then it is recorded
            ended = self._client.get_workflow_handle(handle.id, result_type=Job)
            return await outcome_of(ended, Job, f"The workflow of job {job_id}")

    async def known(self, job_id: str) -> Job:
        """An open job as its workflow has it, for as long as it has no record; as it was accepted, when that does not
        answer now. Raises NotFound when there is no open one, Unavailable.
        """
        return await state_of(self._client, job_workflow_id(job_id), Job, JobInput, as_accepted)

    async def cancel(self, job_id: str, command: Cancel, update_id: str | None = None) -> Job:
        """Stop the job: a queued one at once, a running one within 2 s and its grace. Returns at once."""
        return await self._update(job_id, "cancel", command, update_id)

    async def amend(self, job_id: str, command: Amend, update_id: str | None = None) -> Job:
        """Re-prioritise or move a queued job; relabel any open one."""
        return await self._update(job_id, "amend", command, update_id)

    async def complete(self, job_id: str, command: Complete, update_id: str | None = None) -> Job:
        """Record an outside result and end the job."""
        return await self._update(job_id, "complete", command, update_id)

    async def edit(self, job_id: str, command: Edit, update_id: str | None = None) -> Job:
        """Change a dead letter."""
        return await self._update(job_id, "edit", command, update_id)

    async def redrive(self, job_id: str, command: Redrive, update_id: str | None = None) -> Job:
        """Run a dead letter again."""
        return await self._update(job_id, "redrive", command, update_id)

    async def discard(self, job_id: str, command: Discard, update_id: str | None = None) -> Job:
        """Give a dead letter up."""
        return await self._update(job_id, "discard", command, update_id)

    async def attempt_started(self, job_id: str, announcement: AttemptStarted) -> None:
        """Tell the job that an agent has begun an attempt. A late or repeated announcement changes nothing."""
        await answer(self._job(job_id).signal("attempt_started", announcement, rpc_timeout=RPC_TIMEOUT))

    async def lease_expires_at(self, job_id: str) -> int | None:
        """When the running attempt is given up unless its agent renews the lease (epoch ms), None when none runs."""
        activity = await self._running_attempt(job_id)
        if activity is None:
            return None
        renewed = max(activity.last_heartbeat_time.ToMilliseconds(), activity.last_started_time.ToMilliseconds())
        return renewed + LEASE_SECONDS * 1000

    async def holder(self, job_id: str) -> str | None:
        """The agent that Temporal gave the running attempt to, None when none runs. Raises NotFound, Unavailable."""
        activity = await self._running_attempt(job_id)
        return None if activity is None else activity.last_worker_identity

    def was_given(self, job_id: str, attempt: int, key: str) -> bool:
        """Whether who shows this key was given the attempt; asks nobody."""
        return self._prover.is_attempt_key(job_id, attempt, key)

    async def _running_attempt(self, job_id: str) -> PendingActivityInfo | None:
        description = await answer(self._job(job_id).describe(rpc_timeout=RPC_TIMEOUT))
        for activity in description.raw_description.pending_activities:
            if activity.activity_type.name == "run_attempt" and activity.HasField("last_started_time"):
                return activity
        return None

    async def start_bulk_redrive(
        self, redrive_id: str, request: BulkRedrive, *, fingerprint: str | None = None
    ) -> str | None:
        """Start redriving many. An id that exists already starts nothing; returns the fingerprint it was started with.

        None: this call started it.
        """
        workflow_id = redrive_workflow_id(redrive_id)
        request = self._prover.proven(request, workflow_id)
        start = self._client.start_workflow(
            "RedriveWorkflow",
            RedriveInput(redrive_id=redrive_id, request=request, fingerprint=fingerprint),
            id=workflow_id,
            task_queue=CONTROL_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary="Redrive dead letters in bulk",
            rpc_timeout=RPC_TIMEOUT,
        )
        try:
            await changed(start)
        except WorkflowAlreadyStartedError:  # asked of Temporal, since the control worker may be away
            return (await started_with(self._client, workflow_id, RedriveInput))[0].fingerprint or ""
        return None

    async def bulk_redrive_progress(self, redrive_id: str) -> BulkRedriveProgress:
        """How far a bulk redrive is."""
        handle = self._client.get_workflow_handle(redrive_workflow_id(redrive_id))
        return await answer(handle.query("progress", result_type=BulkRedriveProgress, rpc_timeout=RPC_TIMEOUT))

    async def reconcile(self) -> ReconcileResult:
        """Compare open records with their workflows now; waits for the end, 15 s at most."""
        handle = await answer(
            self._client.start_workflow(
                "ReconcileWorkflow",
                id="maintenance-reconcile-jobs",
                task_queue=CONTROL_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                result_type=ReconcileResult,
                static_summary="Compare open records with their workflows",
                rpc_timeout=RPC_TIMEOUT,
            )
        )
        return await answer(asyncio.wait_for(handle.result(), RPC_TIMEOUT.total_seconds()))

    async def ready(self) -> None:
        """Return when Temporal answers, else raise Unavailable."""
        await answer(self._client.service_client.check_health(timeout=timedelta(seconds=2)))

    def _job(self, job_id: str) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(job_workflow_id(job_id))

    async def _update(self, job_id: str, name: str, command: object, update_id: str | None) -> Job:
        handle, update_id = self._job(job_id), update_id or str(uuid.uuid4())
        command = self._prover.proven(command, handle.id)
        return await carried_out(
            lambda: handle.start_update(  # pyright: ignore[reportUnknownMemberType]
                name,
                command,
                id=update_id,
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                result_type=Job,
                rpc_timeout=RPC_TIMEOUT,
            ),
            Taken(asked=name, job_id=job_id, update_id=update_id),
        )


class JobStart(TypedDict):
    """What every start of a job says besides its conflict policy."""

    id: str
    task_queue: str
    id_reuse_policy: WorkflowIDReusePolicy
    result_type: type[Job]
    search_attributes: TypedSearchAttributes
    static_summary: str
    static_details: str
    memo: dict[str, Any]


def job_start(job: JobInput, dashboard: str | None = None) -> JobStart:
    """See ``JobStart``. ``dashboard``: its address, for links in the Temporal UI."""
    return {
        "id": job_workflow_id(job.job_id),
        "task_queue": CONTROL_QUEUE,
        "id_reuse_policy": WorkflowIDReusePolicy.REJECT_DUPLICATE,
        "result_type": Job,
        "search_attributes": job_search_attributes(job.spec),
        "static_summary": job_static_summary(job.spec),
        "static_details": job_static_details(job, dashboard),
        "memo": memo_of(dashboard),
    }
