"""Talking to Temporal from outside a workflow: connect, start, update, signal, describe.

The one data converter is ``codec``'s. Temporal's own errors end here: callers see ``contracts.errors`` only.
Deliberately not here: deployments (``deployment_client``), what the workflows do, and any HTTP.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, TypedDict, TypeVar

from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import TypedSearchAttributes, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from workflows.codec import data_converter
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
from workflows.contracts.errors import (
    FieldError,
    HybridCIError,
    InvalidState,
    NotFound,
    Unavailable,
    ValidationFailed,
    error_from_code,
)
from workflows.contracts.ids import CONTROL_QUEUE, LEASE_SECONDS, job_workflow_id, redrive_workflow_id
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite, RedriveInput
from workflows.job_record import creation
from workflows.presentation import job_search_attributes, job_static_details, job_static_summary

T = TypeVar("T")

TEMPORARY: Final = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNKNOWN,
    }
)
"""The answers after which the same call can succeed later."""
RPC_TIMEOUT: Final = timedelta(seconds=15)
"""How long a caller waits for an answer; then Unavailable. The workflow goes on whatever the caller does."""

_WANTED: Final = "record-wanted"
"""One id for all who miss a record: however often they ask, one update waits."""
_FORGOTTEN: Final = "unexpected workflow task failure"
_SEND_AGAIN_SECONDS: Final = 0.05


async def connect(*, identity: str | None = None) -> Client:
    """Connect by the ecosystem's ``TEMPORAL_*`` variables (address, namespace, API key, TLS, profile file).

    Raises RuntimeError when the server does not answer, UnusableCodecKeys.
    """
    config = ClientConfig.load_client_connect_config()
    return await Client.connect(**config, identity=identity, data_converter=data_converter())


class Orchestrator:
    """All that a process outside Temporal may ask of the workflows.

    Every method raises Unavailable when Temporal (or the control worker) does not answer in 15 s, NotFound when there
    is no such workflow, InvalidState when it has closed or refuses, ValidationFailed when the request is malformed.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def submit(self, job: JobInput) -> Job:
        """Start a job and return its record once it is readable.

        An id that exists already starts nothing and returns that job, open or closed: compare ``fingerprint``.
        """

        def send() -> Awaitable[Job]:
            start: WithStartWorkflowOperation[Any, Job] = WithStartWorkflowOperation(
                "JobWorkflow",
                job,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                **_job_start(job),
            )
            return self._client.execute_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
                "created", start_workflow_operation=start, result_type=Job, rpc_timeout=RPC_TIMEOUT
            )

        try:
            return await answer(updated(send))
        except (WorkflowAlreadyStartedError, InvalidState, NotFound):
            return await self._result(job.job_id)

    async def start(self, job: JobInput, accepted_at: int) -> JobWrite | None:
        """Start a job and return at once what the caller is now to write: the creation of its record.

        None: the id exists already, open or closed, and nothing was started; ``submit`` finds that job.
        ``accepted_at`` in epoch milliseconds.
        """
        start = job.model_copy(update={"accepted_at": accepted_at})
        try:
            await answer(
                self._client.start_workflow(
                    "JobWorkflow",
                    start,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    rpc_timeout=RPC_TIMEOUT,
                    **_job_start(job),
                )
            )
        except WorkflowAlreadyStartedError:
            return None
        return creation(start, accepted_at)

    async def created(self, job_id: str) -> Job:
        """The record of an open job, once it can be read: where nobody has created it yet, its workflow does."""
        return await answer(
            updated(
                lambda: self._job(job_id).execute_update(  # pyright: ignore[reportUnknownMemberType]
                    "created", id=_WANTED, result_type=Job, rpc_timeout=RPC_TIMEOUT
                )
            )
        )

    async def cancel(self, job_id: str, command: Cancel) -> Job:
        """Stop the job: a queued one at once, a running one within 2 s and its grace. Returns at once."""
        return await self._update(job_id, "cancel", command)

    async def amend(self, job_id: str, command: Amend) -> Job:
        """Re-prioritise or move a queued job; relabel any open one."""
        return await self._update(job_id, "amend", command)

    async def complete(self, job_id: str, command: Complete) -> Job:
        """Record an outside result and end the job."""
        return await self._update(job_id, "complete", command)

    async def edit(self, job_id: str, command: Edit) -> Job:
        """Change a dead letter."""
        return await self._update(job_id, "edit", command)

    async def redrive(self, job_id: str, command: Redrive, update_id: str | None = None) -> Job:
        """Run a dead letter again. The same ``update_id`` again gives the first answer and redrives nothing."""
        return await self._update(job_id, "redrive", command, update_id=update_id)

    async def discard(self, job_id: str, command: Discard) -> Job:
        """Give a dead letter up."""
        return await self._update(job_id, "discard", command)

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

    async def _running_attempt(self, job_id: str) -> PendingActivityInfo | None:
        description = await answer(self._job(job_id).describe(rpc_timeout=RPC_TIMEOUT))
        for activity in description.raw_description.pending_activities:
            if activity.activity_type.name == "run_attempt" and activity.HasField("last_started_time"):
                return activity
        return None

    async def start_bulk_redrive(
        self, redrive_id: str, request: BulkRedrive, *, fingerprint: str | None = None
    ) -> BulkRedriveProgress:
        """Start redriving many; an id that exists already starts nothing: compare ``fingerprint``."""
        start = self._client.start_workflow(
            "RedriveWorkflow",
            RedriveInput(redrive_id=redrive_id, request=request, fingerprint=fingerprint),
            id=redrive_workflow_id(redrive_id),
            task_queue=CONTROL_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary="Redrive dead letters in bulk",
            rpc_timeout=RPC_TIMEOUT,
        )
        with suppress(WorkflowAlreadyStartedError):  # the fingerprint tells whose it is
            await answer(start)
        return await self.bulk_redrive_progress(redrive_id)

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

    async def _update(self, job_id: str, name: str, command: object, *, update_id: str | None = None) -> Job:
        handle, update_id = self._job(job_id), update_id or str(uuid.uuid4())
        return await answer(
            updated(
                lambda: handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
                    name, command, id=update_id, result_type=Job, rpc_timeout=RPC_TIMEOUT
                )
            )
        )

    async def _result(self, job_id: str) -> Job:
        handle = self._client.get_workflow_handle(job_workflow_id(job_id), result_type=Job)
        description = await answer(handle.describe(rpc_timeout=RPC_TIMEOUT))
        if description.status is not WorkflowExecutionStatus.COMPLETED:
            name = description.status.name.lower() if description.status else "unknown"
            raise InvalidState(
                f"The workflow of job {job_id} was {name} from outside; submit the job again with a new key.",
                job_id=job_id,
            )
        return await answer(handle.result())


class _JobStart(TypedDict):
    """What every start of a job says besides its conflict policy."""

    id: str
    task_queue: str
    id_reuse_policy: WorkflowIDReusePolicy
    result_type: type[Job]
    search_attributes: TypedSearchAttributes
    static_summary: str
    static_details: str


def _job_start(job: JobInput) -> _JobStart:
    return {
        "id": job_workflow_id(job.job_id),
        "task_queue": CONTROL_QUEUE,
        "id_reuse_policy": WorkflowIDReusePolicy.REJECT_DUPLICATE,
        "result_type": Job,
        "search_attributes": job_search_attributes(job.spec),
        "static_summary": job_static_summary(job.spec),
        "static_details": job_static_details(job),
    }


async def updated(send: Callable[[], Awaitable[T]]) -> T:
    """Send an update, of one id, and wait for its answer; send it again when Temporal forgot it.

    A workflow task that would close the workflow is refused when a signal has come in meanwhile. Nothing was decided
    then, but Temporal answers the updates that the task carried "unexpected workflow task failure".
    Raises TimeoutError after 15 s, else what Temporal raises.
    """
    async with asyncio.timeout(RPC_TIMEOUT.total_seconds()):
        while True:
            try:
                return await send()
            except RPCError as error:
                if _FORGOTTEN not in error.message:
                    raise
            await asyncio.sleep(_SEND_AGAIN_SECONDS)


async def answer(call: Awaitable[T]) -> T:
    """Wait for Temporal's answer and translate its refusals."""
    try:
        return await call
    except WorkflowUpdateFailedError as error:
        raise _from_application(error.cause) or error from error
    except WorkflowFailureError as error:
        raise _from_application(error.cause) or error from error
    except (WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError) as error:
        raise Unavailable(
            "Temporal accepted the request but nothing answered in time: is the control worker running?"
        ) from error
    except RPCError as error:
        raise _from_rpc(error) from error
    except RuntimeError as error:  # the SDK's bridge: the connection was never made
        raise Unavailable(f"Temporal does not answer: {error}") from error


def _from_application(cause: BaseException | None) -> HybridCIError | None:
    if not isinstance(cause, ApplicationError):
        return None
    details: dict[str, Any] | None = cause.details[0] if cause.details else None
    return error_from_code(cause.type, cause.message, details)


def _from_rpc(error: RPCError) -> HybridCIError | RPCError:
    if error.status is RPCStatusCode.NOT_FOUND:
        return NotFound("There is no open workflow of this id: it never existed, or it has ended.")
    if error.status is RPCStatusCode.FAILED_PRECONDITION:
        return InvalidState(error.message)
    if error.status is RPCStatusCode.INVALID_ARGUMENT:
        return ValidationFailed(
            "Temporal refused the request.", [FieldError(field="body", message=_first_line(error.message))]
        )
    if error.status in {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED}:
        return Unavailable("Temporal refused this process: check TEMPORAL_API_KEY, TEMPORAL_TLS_* and the namespace.")
    if error.status in TEMPORARY:
        return Unavailable(f"Temporal did not answer ({error.status.name.lower()}).")
    return error


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:200]
