"""The control worker's activities for repairs: judge, reset, end, note. Names and types are the stubs' of
``workflows.contracts.activities``.

Deliberately not here: their order (``workflows.repair.workflow``), how a workflow is judged
(``workflows.repair.stuck``).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest, SignalWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHistory
from temporalio.common import WorkflowIDReusePolicy

from activities.clock import Clock
from activities.ending import end_workflow
from activities.environments.temporal import environment_start
from activities.errors import speaks_temporal
from activities.events.witness import Witness
from activities.jobs.reconcile import Ending
from activities.stores.interfaces.events import EventStore
from workflows.client.jobs import job_start
from workflows.client.links import dashboard_in
from workflows.client.proving import Prover
from workflows.contracts.audit.details import WorkflowRepaired
from workflows.contracts.audit.events import About, AuditEvent, new_event
from workflows.contracts.commands import JobInput
from workflows.contracts.errors import NotFound
from workflows.contracts.ids import environment_workflow_id, job_workflow_id
from workflows.contracts.jobs import SERVICE_LABEL, Job
from workflows.contracts.repairs import (
    REPAIR_CAUSE,
    End,
    Kind,
    Repair,
    RepairNote,
    RepairProgress,
    Reset,
    Standing,
    Subject,
)
from workflows.contracts.statuses import Outcome
from workflows.job.record import deployment_of
from workflows.payloads.errors import UnreadablePayload
from workflows.repair.history import unread_signals
from workflows.repair.stuck import StuckWorkflows

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.5


class Repairable(Protocol):
    """What Temporal lets us do with a workflow."""

    async def standing(self, subject: Subject) -> Standing:
        """How it stands."""
        ...

    async def progress(self, subject: Subject) -> RepairProgress:
        """What it does just now, after a reset."""
        ...

    async def reset(self, reset: Reset) -> None:
        """Take it back. Idempotent by ``request_id``."""
        ...

    async def terminate(self, workflow_id: str, run_id: str, reason: str) -> None:
        """End this run of it; one that has ended stays as it is."""
        ...

    async def start_environment(self, service_name: str, environment: str, ended_run: str) -> None:
        """Start an environment's workflow from its record, and give it the signals that the ended run left unread."""
        ...

    async def resume_job(self, job: Job, ended_run: str, odd_answer: str) -> bool:
        """Start a job's workflow anew with its record, unless that was done. False: it belongs to a deployment."""
        ...


class TemporalRepairs(StuckWorkflows):
    """Asks the server. Temporal's errors pass through: the activity is tried again. Implements ``Repairable``."""

    def __init__(self, client: Client, prover: Prover | None = None) -> None:
        super().__init__(client)
        self._client, self._prover = client, prover or Prover()

    async def reset(self, reset: Reset) -> None:
        """See ``Repairable``. The server repeats the signals and updates that came after the event; where one of those
        signals can be what stops the workflow, the others are sent again from here.
        """
        ended = self._client.get_workflow_handle(reset.workflow_id, run_id=reset.run_id)
        signals = _signals(await ended.fetch_history(), reset.event_id)
        all_readable = all([await self._readable(signal) for signal in signals])
        own = [] if all_readable else [ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL]
        await self._client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=self._client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=reset.workflow_id, run_id=reset.run_id),
                workflow_task_finish_event_id=reset.event_id,
                request_id=reset.request_id,
                reason=reset.reason,
                reset_reapply_exclude_types=own,
            )
        )
        if not all_readable:  # the run has ended with it: by now all are there that came to it
            signals = _signals(await ended.fetch_history(), reset.event_id)
            await self._signal_again(reset.workflow_id, reset.run_id, signals)

    async def terminate(self, workflow_id: str, run_id: str, reason: str) -> None:
        """See ``Repairable``."""
        await end_workflow(self._client, workflow_id, reason, run_id=run_id)

    async def start_environment(self, service_name: str, environment: str, ended_run: str) -> None:
        """See ``Repairable``."""
        workflow_id = environment_workflow_id(service_name, environment)
        await self._client.start_workflow("EnvironmentWorkflow", **environment_start(service_name, environment))
        history = await self._client.get_workflow_handle(workflow_id, run_id=ended_run).fetch_history()
        await self._signal_again(workflow_id, ended_run, unread_signals(history.events))

    async def _signal_again(self, workflow_id: str, ended_run: str, signals: Sequence[HistoryEvent]) -> None:
        """What a successor can take of what the run was told. A signal's id is that of its event, so that none is given
        twice.
        """
        for event in signals:
            signal = event.workflow_execution_signaled_event_attributes
            if not await self._readable(event):
                left_out = {"workflow_id": workflow_id, "signal": signal.signal_name, "sender": signal.identity}
                logger.warning("a signal that nobody can read is left out", extra=left_out)
                continue
            await self._client.workflow_service.signal_workflow_execution(
                SignalWorkflowExecutionRequest(
                    namespace=self._client.namespace,
                    workflow_execution=WorkflowExecution(workflow_id=workflow_id),
                    signal_name=signal.signal_name,
                    input=signal.input,
                    header=signal.header,
                    request_id=f"{ended_run}-{event.event_id}",
                )
            )

    async def _readable(self, event: HistoryEvent) -> bool:
        """Whether a workflow's worker can hand the signal over: one input, sealed with no key but ours."""
        payloads = event.workflow_execution_signaled_event_attributes.input.payloads
        codec = self._client.data_converter.payload_codec
        if codec is not None:
            try:
                await codec.decode(payloads)
            except UnreadablePayload:
                return False
        return len(payloads) == 1

    async def resume_job(self, job: Job, ended_run: str, odd_answer: str) -> bool:
        """See ``Repairable``. What it was started with is in the history of the run that was ended."""
        handle = self._client.get_workflow_handle(job_workflow_id(job.job_id), run_id=ended_run)
        if (await handle.describe()).parent_id:
            return False
        latest = await self._client.get_workflow_handle(job_workflow_id(job.job_id)).describe()
        if latest.run_id != ended_run:
            return True
        first = await anext(aiter(handle.fetch_history_events(page_size=1)))
        given = first.workflow_execution_started_event_attributes.input.payloads
        (start,) = await self._client.data_converter.decode(given, [JobInput])
        resumed = start.model_copy(update={"resume": job, "odd_answer": odd_answer})
        resumed = self._prover.proven(resumed, handle.id)
        how = job_start(resumed, await dashboard_in(latest))
        how["id_reuse_policy"] = WorkflowIDReusePolicy.ALLOW_DUPLICATE
        await self._client.start_workflow("JobWorkflow", resumed, **how)
        return True


@dataclass(frozen=True, slots=True)
class RepairActivities:
    """The bodies, with what they need. ``all`` is what a Worker registers.

    ``read_job`` reads a job's record, and raises NotFound. ``close_job`` and ``close_deployment`` close a record whose
    workflow was just ended.
    """

    temporal: Repairable
    events: EventStore
    read_job: Callable[[str], Awaitable[Job]]
    close_job: Callable[[str, Ending], Awaitable[bool]]
    close_deployment: Callable[[str, Ending], Awaitable[bool]]
    clock: Clock
    witness: Witness

    def all(self) -> Sequence[Callable[..., Any]]:
        """Every activity, for ``Worker(activities=…)``."""
        return [self.judge_workflow, self.reset_workflow, self.await_progress, self.end_workflow, self.note_repair]

    @activity.defn(name="judge_workflow")
    @speaks_temporal
    async def judge_workflow(self, subject: Subject) -> Standing:
        """Can this workflow go on, and where may it be taken back to?"""
        return await self.temporal.standing(subject)

    @activity.defn(name="reset_workflow")
    @speaks_temporal
    async def reset_workflow(self, reset: Reset) -> None:
        """Take a workflow back to a good task."""
        await self.temporal.reset(reset)

    @activity.defn(name="await_progress")
    @speaks_temporal
    async def await_progress(self, subject: Subject) -> RepairProgress:
        """Wait until a workflow that was reset goes on or fails again, for a minute at most."""
        return await wait_for_progress(self.temporal, subject, activity.heartbeat)

    @activity.defn(name="end_workflow")
    @speaks_temporal
    async def end_workflow(self, end: End) -> None:
        """Terminate a workflow and put its record right; a lock's starts anew from its record."""
        subject, command = end.repair.subject, end.repair.command
        by = command.by or "somebody"
        await self.temporal.terminate(subject.workflow_id, end.run_id, f"repair by {by}: {command.reason}")
        if end.odd_answer and subject.job_id is not None:
            await self._end_attempt(subject.job_id, end)
            return
        what = subject.kind.value
        ending = Ending(
            REPAIR_CAUSE,
            f"The {what}'s workflow could not go on and was ended in a repair by {by} ({command.reason})",
        )
        if subject.kind is Kind.JOB and subject.job_id is not None:
            await self.close_job(subject.job_id, ending)
        elif subject.kind is Kind.DEPLOYMENT and subject.deployment_id is not None:
            await self._close_deployment(subject.deployment_id, ending)
        elif subject.kind is Kind.ENVIRONMENT and subject.service_name and subject.environment:
            await self.temporal.start_environment(subject.service_name, subject.environment, end.run_id)

    @activity.defn(name="note_repair")
    @speaks_temporal
    async def note_repair(self, note: RepairNote) -> None:
        """Keep a repair in the audit trail."""
        asked = self.witness.heard(note.repair.command, activity.info().workflow_id)
        await self.events.append(_event(note, asked, await self._about(note.repair.subject), self.clock()))

    async def _about(self, subject: Subject) -> About:
        """A deployment's trail tells too who has ended one of its jobs."""
        about = subject_ids(subject)
        if subject.kind is Kind.JOB and subject.job_id is not None:
            with suppress(NotFound):
                job = await self.read_job(subject.job_id)
                about["deployment_id"] = deployment_of(job)
                about["service_name"] = job.labels.get(SERVICE_LABEL)
        return about

    async def _end_attempt(self, job_id: str, end: End) -> None:
        """The job goes on with what follows an attempt that its agent spoiled; a deployment's job has failed."""
        job = await self.read_job(job_id)
        if not await self.temporal.resume_job(job, end.run_id, end.odd_answer):
            why = f"An agent answered the job with {end.odd_answer}, which no workflow can read; it was ended"
            await self.close_job(job_id, Ending(Outcome.AGENT_ERROR.value, why))

    async def _close_deployment(self, deployment_id: str, ending: Ending) -> None:
        try:
            await self.close_deployment(deployment_id, ending)
        except NotFound:  # it broke before its record was created
            return


def _signals(history: WorkflowHistory, after: int) -> list[HistoryEvent]:
    signaled = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    return [event for event in history.events if event.event_id > after and event.event_type == signaled]


async def wait_for_progress(
    temporal: Repairable,
    subject: Subject,
    heartbeat: Callable[[], None],
    *,
    patience: float = _PATIENCE_SECONDS,
    look: float = _LOOK_SECONDS,
) -> RepairProgress:
    """Until it goes on or fails again; SILENT after ``patience`` seconds."""
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        heartbeat()
        progress = await temporal.progress(subject)
        if progress is not RepairProgress.SILENT or asyncio.get_running_loop().time() > deadline:
            return progress
        await asyncio.sleep(look)


def subject_ids(subject: Subject) -> About:
    """What of an event says whom it is about."""
    return {
        "job_id": subject.job_id,
        "deployment_id": subject.deployment_id,
        "service_name": subject.service_name,
        "environment": subject.environment,
        "version": subject.version,
        "pool": subject.pool,
    }


def _event(note: RepairNote, asked: Repair, about: About, at: int) -> AuditEvent:
    result = note.result
    return new_event(
        WorkflowRepaired(workflow_id=result.workflow_id, outcome=result.outcome.value, resets=result.resets),
        asked.who(),
        event_id=note.event_id,
        at=at,
        reason=asked.reason,
        message=result.message,
        **about,
    )
