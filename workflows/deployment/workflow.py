"""DeploymentWorkflow: one version of one service on its way. The phases, in the order of a good day:

definition → build → test → for each environment (join the line → approval → turn → roll out → verify → bake →
arrived) → live, until another version takes its place or it is rolled back.

Deliberately not here: the phases of an environment (``stages``), what happens when it does not go well
(``rollback``), what people may say (``messages``), an environment's lock (``environment``).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import load_definition
    from workflows.contracts.deployment_commands import (
        CancelDeployment,
        DeploymentInput,
        DeploymentResume,
    )
    from workflows.contracts.deployments import Deployment
    from workflows.contracts.jobs import Job
    from workflows.contracts.services import DefinitionRequest, StageJob
    from workflows.deployment import job_specs, record
    from workflows.deployment.progress import Failed, Interrupted, Phase, Renew
    from workflows.deployment.stages import StagePhases
    from workflows.deployment.steps import succeeded, why_failed

_READ_WITHIN: Final = timedelta(seconds=30)


@workflow.defn(name="DeploymentWorkflow")
class DeploymentWorkflow(StagePhases):
    """The one owner of a deployment's state."""

    @workflow.init
    def __init__(self, start: DeploymentInput) -> None:
        super().__init__(start)
        self._created = start.resume is not None
        self._rejected: ApplicationError | None = None
        self._phases: Mapping[Phase, Callable[[], Awaitable[None]]] = {
            Phase.DEFINITION: self._read_definition,
            Phase.BUILD: self._build,
            Phase.TEST: self._test,
            Phase.JOIN: self._join_line,
            Phase.APPROVAL: self._await_approval,
            Phase.TURN: self._await_turn,
            Phase.RECHECK: self._check_again,
            Phase.ROLL_OUT: self._roll_out,
            Phase.VERIFY: self._verify,
            Phase.BAKE: self._bake,
            Phase.PAUSED: self._pause,
            Phase.ARRIVED: self._arrive,
            Phase.LIVE: self._stay_live,
            Phase.ROLLBACK: self._roll_back,
            Phase.STUCK: self._await_operator,
        }

    @workflow.run
    async def run(self, start: DeploymentInput) -> Deployment:
        """Bring the version to its end: superseded, rolled back or failed. Returns its record."""
        body = asyncio.create_task(self._run())
        while True:
            try:
                again = await asyncio.shield(body)
                break
            except asyncio.CancelledError:  # a cancellation from the Temporal UI is a cancel like any other
                if body.done():
                    raise
                if self._interrupt is None and self._cancel_refused(_CANCELLED) is None:
                    self._interrupt = _CANCELLED
        if again:
            resume = DeploymentResume(deployment=self._deployment, progress=self._progress.model_dump_json())
            workflow.continue_as_new(start.model_copy(update={"resume": resume}))
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._deployment

    async def _run(self) -> bool:
        """True asks for continue-as-new, with no job and no handler under way."""
        if not self._created:
            await self._create()
        while self._progress.phase is not Phase.END:
            try:
                await self._phases[self._progress.phase]()
            except Failed as failure:
                await self._fail(failure.cause, failure.message)
            except Interrupted:
                await self._act_on_interrupt()
            except Renew:
                await self._record()
                await workflow.wait_condition(lambda: self._interrupt is not None or workflow.all_handlers_finished())
                if self._interrupt is None:  # nothing is awaited from here on: what is said now goes to the new run
                    return True
        return False

    async def _create(self) -> None:
        self._note(
            "created",
            by=self._start.created_by,
            via=self._start.via,
            address=self._start.address,
            role=self._start.role,
        )
        try:
            await self._record()
        except ApplicationError as error:
            self._rejected = error
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise self._rejected from None
        self._created = True

    @workflow.update(name="created")
    async def created(self) -> Deployment:
        """Answer once the record is readable."""
        await workflow.wait_condition(lambda: self._created or self._rejected is not None)
        if self._rejected is not None:
            raise self._rejected
        return self._deployment

    # --- before any environment -----------------------------------------------------------------------------------

    async def _read_definition(self) -> None:
        source = self._deployment.definition.definition
        if source is not None:
            job = await self._run_job(
                lambda: job_specs.definition_job(self._deployment, source),
                lambda deployment, job_id: deployment.model_copy(update={"definition_job_id": job_id}),
            )
            if not succeeded(job):
                raise Failed("definition_failed", why_failed(job))
            await self._load_definition(job, source.path)
        self._move(Phase.BUILD)

    async def _load_definition(self, job: Job, path: str) -> None:
        try:
            definition = await self._calls.call(
                load_definition,
                DefinitionRequest(job_id=job.job_id, attempt=job.attempts[-1].number, path=path),
                summary=f"read {path}",
                one_try=_READ_WITHIN,
            )
        except ApplicationError as error:
            raise Failed("definition_invalid", f"{path}: {error.message}") from error
        self._deployment = record.defined(self._deployment, definition)

    async def _build(self) -> None:
        await self._job_before("build", self._deployment.definition.build, job_specs.build_job)
        self._move(Phase.TEST)

    async def _test(self) -> None:
        await self._job_before("test", self._deployment.definition.test, job_specs.test_job)
        self._move(Phase.JOIN)

    async def _job_before(
        self, name: str, stage: StageJob | None, make: Callable[[Deployment, StageJob], "job_specs.JobSpec"]
    ) -> None:
        if stage is None:
            return
        job = await self._run_job(
            lambda: make(self._deployment, stage),
            lambda deployment, job_id: deployment.model_copy(update={f"{name}_job_id": job_id}),
        )
        if not succeeded(job):
            raise Failed(f"{name}_failed", why_failed(job))

    async def _stay_live(self) -> None:
        grant = self._progress.granted
        if grant is not None and grant.previous is not None:
            await self._rollback_plan(grant.previous)  # at hand, should it be needed in a hurry
        await self._wait(lambda: False)


_CANCELLED: Final = CancelDeployment(by="temporal", reason="Cancelled in Temporal.")
