"""Running a deployment's jobs: each is a child workflow, stopped when the deployment is interrupted.

Deliberately not here: what the jobs are (``job_specs``), how a job runs (``workflows.job.workflow``).
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import CancelledError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from workflows.calls import Calls
    from workflows.closing import record_of
    from workflows.contracts import search_attributes as attributes
    from workflows.contracts.activities import sign_specification
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.commands import JobInput
    from workflows.contracts.deployments.deployment import Deployment
    from workflows.contracts.errors import fields_text
    from workflows.contracts.fields import shortened
    from workflows.contracts.ids import CONTROL_QUEUE, job_workflow_id
    from workflows.contracts.jobs import Job, JobSpec
    from workflows.contracts.statuses import JobStatus
    from workflows.dashboard import known_here, memo_of
    from workflows.deployment import record
    from workflows.deployment.job_specs import NoSuchFiles, RollbackPlan, health_job
    from workflows.deployment.journal import Journal
    from workflows.deployment.progress import Failed, Interrupted, Phase
    from workflows.job.presentation import job_search_attributes, job_static_details, job_static_summary
    from workflows.job.record import BY_DEPLOYMENT, cancelled_in_temporal
    from workflows.job.recorded import now_ms


_SIGNED: Final = "sign-what-a-deployment-runs"  # 2026-11: before, nothing was signed
_SIGNED_BACK: Final = "sign-what-a-rollback-runs"
"""By a name of its own: a version that went live before there were signatures rolls back with them all the same."""
_MAX_WHY_CHARACTERS: Final = 1200
"""What an agent says may have 1,000; what follows of it is told behind it."""
_GIT_PEOPLE: Final = "who-wrote-it-as-git-has-it"  # 2026-11: before, nobody looked


class Jobs:
    """The jobs of one deployment, one after another."""

    def __init__(self, journal: Journal, calls: Calls) -> None:
        self._journal, self._calls = journal, calls

    async def run(
        self, make: Callable[[], JobSpec], started: Callable[[Deployment, str], Deployment], *, stoppable: bool = True
    ) -> Job:
        """Run a job to its end as a child. ``started`` puts its id into the record. Raises Failed, Interrupted."""
        journal = self._journal
        try:
            spec = make()
        except ValidationError as error:
            raise Failed(
                EventType.DEPLOYMENT_DEFINITION_INVALID, f"The definition makes no valid job: {fields_text(error)}"
            ) from error
        except NoSuchFiles as error:
            raise Failed(EventType.DEPLOYMENT_DEFINITION_INVALID, str(error)) from error
        job_id = str(workflow.uuid4())
        start = await self._signed(
            JobInput(
                job_id=job_id,
                spec=spec,
                created_by=f"{BY_DEPLOYMENT}{journal.state.identity}",
                deployment_id=journal.state.identity,
            ),
            stoppable=stoppable,
        )
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
                search_attributes=_search_attributes(journal.state.deployment, spec),
                static_summary=job_static_summary(spec),
                static_details=job_static_details(start, known_here()),
                memo=memo_of(known_here()) or None,
            )
            journal.change(started, job_id)
            journal.change(record.began, now_ms())
            await journal.record()
            await workflow.wait_condition(lambda: handle.done() or (stoppable and journal.state.interrupt is not None))
            if not handle.done():
                handle.cancel()
            job = await _ended(handle, start)
        except ChildWorkflowError as error:
            if stoppable and journal.state.interrupt is not None:
                raise Interrupted from error
            cause: BaseException = error.cause or error
            raise Failed(
                EventType.DEPLOYMENT_JOB_LOST, f"Job {job_id} ({spec.job_type}) has no result: {cause}"
            ) from error
        self._note_git_people(job)
        if stoppable and journal.state.interrupt is not None:
            raise Interrupted
        return job

    async def run_early(self, phase: Phase, make: Callable[[], JobSpec]) -> Job:
        """As ``run``, for the job of a phase before the environments; the record has its id and its times."""
        try:
            return await self.run(
                make, lambda before, job_id: record.early_job_started(before, job_id, phase, now_ms())
            )
        finally:
            self._journal.change(record.early_job_ended, phase, now_ms())

    def _note_git_people(self, job: Job) -> None:
        """They are parties of the deployment from here on. The record is written with the next change."""
        found = record.new_git_people(self._journal.state.deployment, job)
        if found and workflow.patched(_GIT_PEOPLE):
            self._journal.change(record.git_people_found, found)

    async def _signed(self, start: JobInput, *, stoppable: bool) -> JobInput:
        """With the control plane's signature, when its worker has a key. Raises Interrupted."""
        if not workflow.patched(_SIGNED if stoppable else _SIGNED_BACK):
            return start
        signature = await self._calls.call(sign_specification, start, summary=f"sign the {start.spec.job_type} job")
        if stoppable and self._journal.state.interrupt is not None:
            raise Interrupted
        return start if signature is None else start.model_copy(update={"signature": signature})

    async def check_health(self, *, percent: int = 100, back_to: RollbackPlan | None = None) -> None:
        """The environment's health check, if it has one; a rollback's is not stopped by anything. Raises Failed."""
        environment = self._journal.state.environment
        check = environment.health_check
        if check is None:
            return

        def make() -> JobSpec:
            state = self._journal.state
            return health_job(state.deployment, environment, check, state.turn, percent=percent, back_to=back_to)

        started = self.of_stage if back_to is None else record.rollback_job_started
        job = await self.run(make, started, stoppable=back_to is None)
        if not succeeded(job):
            raise Failed(EventType.DEPLOYMENT_HEALTH_CHECK_FAILED, why_failed(job))

    def of_stage(self, deployment: Deployment, job_id: str) -> Deployment:
        """The record with one more job of the environment that the deployment is in."""
        return record.stage_job_started(deployment, self._journal.state.environment.name, job_id)


async def _ended(handle: workflow.ChildWorkflowHandle[Any, Job], start: JobInput) -> Job:
    """The job's record, however its workflow closed with it. Raises ChildWorkflowError when it has none."""
    try:
        return await handle
    except ChildWorkflowError as error:
        job = record_of(error, Job)
        if job is not None:
            return job
        if isinstance(error.cause, CancelledError):  # to a parent, the SDK hands on no details of a cancellation
            return cancelled_in_temporal(start, now_ms())
        raise


def why_failed(job: Job) -> str:
    """A job's failure in words, with where to look."""
    why = shortened(job.error_message or job.cause or "no reason given", _MAX_WHY_CHARACTERS)
    return f"The {job.job_type} job {job.job_id} is {job.status}: {why} Its log: `hybridci job logs {job.job_id}`."


def succeeded(job: Job) -> bool:
    """True for the one status that lets a deployment go on."""
    return job.status is JobStatus.SUCCESS


def _search_attributes(deployment: Deployment, spec: JobSpec) -> TypedSearchAttributes:
    own: list[SearchAttributePair[str] | SearchAttributePair[Sequence[str]]] = [
        SearchAttributePair(attributes.SERVICE, deployment.service_name),
        SearchAttributePair(attributes.VERSION, deployment.version),
        SearchAttributePair(attributes.AUTHOR, [deployment.git_author]),
    ]
    if deployment.environment is not None:
        own.append(SearchAttributePair(attributes.ENVIRONMENT, deployment.environment))
    of_job = cast("list[SearchAttributePair[str]]", job_search_attributes(spec).search_attributes)  # pyright: ignore[reportUnknownMemberType]
    return TypedSearchAttributes([*of_job, *own])
