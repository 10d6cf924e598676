"""What the phases of a deployment are made of: run a job, wait, talk to the environment's lock, begin a rollback.

The base of ``DeploymentMessages``. Deliberately not here: the order of the phases (``deployment``).
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, cast

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ChildWorkflowError, FailureError

from workflows.contracts.errors import fields_text

with workflow.unsafe.imports_passed_through():
    from workflows import deployment_record as record
    from workflows.calls import RETRY
    from workflows.contracts import search_attributes as attributes
    from workflows.contracts.activities import load_deployment, signal_environment
    from workflows.contracts.commands import JobInput
    from workflows.contracts.deployment_commands import DeploymentInput
    from workflows.contracts.deployments import Deployment, Rollback
    from workflows.contracts.environments import (
        BecameLive,
        Join,
        Leave,
        LiveVersion,
        SignalEnvironment,
        Ticket,
        Yielded,
    )
    from workflows.contracts.ids import CONTROL_QUEUE, job_workflow_id
    from workflows.contracts.jobs import Fence, Job, JobSpec
    from workflows.contracts.sealed import SignedApproval
    from workflows.contracts.services import Environment
    from workflows.contracts.statuses import JobStatus
    from workflows.deployment_progress import Failed, Interrupt, Interrupted, Phase, Progress, Renew
    from workflows.presentation import job_search_attributes, job_static_details, job_static_summary
    from workflows.recorded_deployment import RecordedDeployment
    from workflows.recorded_job import now_ms
    from workflows.stage_jobs import RollbackPlan, Turn, signatures

_CALL: Final = timedelta(seconds=10)


class DeploymentSteps(RecordedDeployment):
    """Holds record and progress."""

    def __init__(self, start: DeploymentInput) -> None:
        resume = start.resume
        started = int(workflow.info().workflow_start_time.timestamp() * 1000)
        super().__init__(
            resume.deployment if resume else record.new_deployment(start, started),
            written=resume.deployment if resume else None,
        )
        self._start = start
        self._progress = Progress.model_validate_json(resume.progress) if resume else Progress()
        self._interrupt: Interrupt | None = None
        self._telling = asyncio.Lock()  # a handler's join must not overtake the main line's leave

    # --- where it is ----------------------------------------------------------------------------------------------

    @property
    def _environment(self) -> Environment:
        return self._deployment.definition.environments[self._progress.stage]

    @property
    def _final(self) -> bool:
        """In this environment the version becomes live."""
        return self._progress.stage == len(self._deployment.definition.environments) - 1

    @property
    def _turn(self) -> Turn:
        grant, name = self._progress.granted, self._environment.name
        fence = Fence(name=f"{self._deployment.service_name}/{name}", number=grant.fence if grant else 0)
        return Turn(fence, grant.previous if grant else None)

    def _move(self, phase: Phase, **update: object) -> None:
        self._progress = self._progress.model_copy(update={"phase": phase, "until": None, **update})

    # --- waiting --------------------------------------------------------------------------------------------------

    async def _wait(self, condition: Callable[[], bool], *, until: int | None = None, summary: str = "") -> bool:
        """True when the condition holds, False when the time is up. Raises Interrupted, Renew."""
        timeout = None if until is None else timedelta(milliseconds=max(until - now_ms(), 0))
        try:
            await workflow.wait_condition(
                lambda: condition() or self._interrupt is not None or _history_is_long(),
                timeout=timeout,
                timeout_summary=summary or None,
            )
        except TimeoutError:
            return False
        if self._interrupt is not None:
            raise Interrupted
        if condition():
            return True
        raise Renew

    # --- jobs -----------------------------------------------------------------------------------------------------

    async def _run_job(
        self, make: Callable[[], JobSpec], started: Callable[[Deployment, str], Deployment], *, stoppable: bool = True
    ) -> Job:
        """Run a job to its end as a child. ``started`` puts its id into the record. Raises Failed, Interrupted."""
        try:
            spec = make()
        except ValidationError as error:
            raise Failed("definition_invalid", f"The definition makes no valid job: {fields_text(error)}") from error
        job_id = str(workflow.uuid4())
        start = JobInput(job_id=job_id, spec=spec, created_by=f"deployment {self._deployment.deployment_id}")
        try:
            # The record follows: the job is on its way while it is written.
            handle = await workflow.start_child_workflow(
                "JobWorkflow",
                start,
                id=job_workflow_id(job_id),
                task_queue=CONTROL_QUEUE,
                result_type=Job,
                parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
                cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
                search_attributes=self._job_attributes(spec),
                static_summary=job_static_summary(spec),
                static_details=job_static_details(start),
            )
            self._deployment = started(self._deployment, job_id)
            await self._record()
            await workflow.wait_condition(lambda: handle.done() or (stoppable and self._interrupt is not None))
            if not handle.done():
                handle.cancel()
            job = await handle
        except ChildWorkflowError as error:
            if stoppable and self._interrupt is not None:
                raise Interrupted from error
            cause: BaseException = error.cause or error
            raise Failed("job_lost", f"Job {job_id} ({spec.job_type}) has no result: {cause}") from error
        if stoppable and self._interrupt is not None:
            raise Interrupted
        return job

    def _job_attributes(self, spec: JobSpec) -> TypedSearchAttributes:
        deployment = self._deployment
        own: list[SearchAttributePair[str] | SearchAttributePair[Sequence[str]]] = [
            SearchAttributePair(attributes.SERVICE, deployment.service_name),
            SearchAttributePair(attributes.VERSION, deployment.version),
            SearchAttributePair(attributes.AUTHOR, [deployment.git_author]),
        ]
        if deployment.environment is not None:
            own.append(SearchAttributePair(attributes.ENVIRONMENT, deployment.environment))
        of_job = cast("list[SearchAttributePair[str]]", job_search_attributes(spec).search_attributes)  # pyright: ignore[reportUnknownMemberType]
        return TypedSearchAttributes([*of_job, *own])

    def _stage_job_started(self, deployment: Deployment, job_id: str) -> Deployment:
        return record.stage_job_started(deployment, self._environment.name, job_id)

    # --- the environment's lock -----------------------------------------------------------------------------------

    async def _join(self, *, ready: bool) -> None:
        environment, deployment = self._environment, self._deployment
        ticket = Ticket(
            deployment_id=deployment.deployment_id,
            workflow_id=workflow.info().workflow_id,
            version=deployment.version,
            git_commit_sha=deployment.git_commit_sha,
            arrived_at=now_ms(),
            ready=ready,
            final=self._final,
            supersede=environment.supersede,
            freeze_windows=environment.freeze_windows,
            override_freeze=self._progress.override_freeze,
        )
        self._progress = self._progress.model_copy(update={"in_line": True})
        await self._tell_environment(environment.name, join=Join(ticket=ticket))

    async def _leave(self, leave: Leave, *, committed: bool = False) -> None:
        if self._progress.in_line:
            self._progress = self._progress.model_copy(update={"in_line": False, "granted": None})
            await self._tell_environment(self._environment.name, leave=leave, committed=committed)

    async def _tell_environment(
        self,
        environment: str,
        *,
        join: Join | None = None,
        leave: Leave | None = None,
        became_live: BecameLive | None = None,
        yielded: Yielded | None = None,
        committed: bool = False,
    ) -> None:
        """Tell the lock, in this very workflow task; or, ``committed``, only after the task is in the history."""
        signal = SignalEnvironment(
            service_name=self._deployment.service_name,
            environment=environment,
            join=join,
            leave=leave,
            became_live=became_live,
            yielded=yielded,
        )
        said = next(name for name in ("join", "leave", "became_live", "yielded") if getattr(signal, name) is not None)
        async with self._telling:
            if not committed:
                await self._calls.call(signal_environment, signal, summary=f"{environment}: {said}")
                return
            await workflow.execute_activity(
                signal_environment,
                signal,
                start_to_close_timeout=_CALL,
                retry_policy=RETRY,
                summary=f"{environment}: {said}",
            )

    # --- rollback -------------------------------------------------------------------------------------------------

    def _target(self, to_version: str | None) -> LiveVersion | None:
        """The version to go back to: the one before, or a named one that was live."""
        grant = self._progress.granted
        if grant is None:
            return None
        if to_version is None:
            return grant.previous
        known = [grant.previous, *grant.history] if grant.previous is not None else grant.history
        own = self._deployment.deployment_id
        return next((live for live in known if live.version == to_version and live.deployment_id != own), None)

    def _begin_rollback(
        self, target: LiveVersion | None, *, by: str, reason: str, automatic: bool, job_id: str | None = None
    ) -> None:
        self._deployment = record.rolling_back(
            self._deployment,
            Rollback(
                environment=self._environment.name,
                target_version=target.version if target else None,
                target_deployment_id=target.deployment_id if target else None,
                reason=reason,
                by=by,
                automatic=automatic,
                requested_at=now_ms(),
            ),
        )
        self._move(Phase.ROLLBACK, rollback_job_id=job_id)

    async def _rollback_plan(self, target: LiveVersion) -> RollbackPlan:
        """The target with the environment as its own definition has it, unless this one says how to roll back."""
        rollback, approval = self._environment.rollback, self._environment.approval
        signed = approval is not None and approval.signed
        if rollback is not None and rollback.steps and not signed:
            return RollbackPlan(target, None)
        if self._progress.fallback_of != target.deployment_id:
            await self._load_fallback(target)
        return RollbackPlan(target, self._progress.fallback, self._progress.fallback_approvals)

    async def _load_fallback(self, target: LiveVersion) -> None:
        try:
            deployment = await self._calls.call(
                load_deployment,
                target.deployment_id,
                summary=f"the definition of {target.version}",
                give_up_after=timedelta(minutes=1),
            )
        except FailureError:
            return  # the store is away: the rollback takes this version's own steps rather than wait
        name = self._environment.name
        found, approvals = None, list[SignedApproval]()
        if deployment is not None:
            approvals = signatures(deployment, name)
            found = next(
                (each for each in deployment.definition.environments if each.name == name and each.steps), None
            )
        self._progress = self._progress.model_copy(
            update={"fallback": found, "fallback_of": target.deployment_id, "fallback_approvals": approvals}
        )


def why_failed(job: Job) -> str:
    """A job's failure in words, with where to look."""
    return (
        f"The {job.job_type} job {job.job_id} is {job.status}: {job.error_message or job.cause or 'no reason given'} "
        f"Its log: `hybridci job logs {job.job_id}`."
    )


def succeeded(job: Job) -> bool:
    """True for the one status that lets a deployment go on."""
    return job.status is JobStatus.SUCCESS


def _history_is_long() -> bool:
    return workflow.info().is_continue_as_new_suggested()
