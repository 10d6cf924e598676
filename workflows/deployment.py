"""DeploymentWorkflow: one version of one service on its way. The phases, in the order of a good day:

definition → build → test → for each environment (join the line → approval → turn → roll out → verify → bake →
arrived) → live, until another version takes its place or it is rolled back.

Deliberately not here: what people may say (``deployment_messages``), how a phase does its work (``deployment_steps``),
the lock of an environment (``environment``), how a job runs (``job``).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from workflows import deployment_record as record
    from workflows import stage_jobs
    from workflows.approvals import missing
    from workflows.contracts.activities import load_definition
    from workflows.contracts.deployment_commands import (
        CancelDeployment,
        DeploymentInput,
        DeploymentResume,
        RollbackCommand,
    )
    from workflows.contracts.deployments import Decision, Deployment, StageStatus
    from workflows.contracts.environments import BecameLive, Hold, Leave, Leaving, Superseded
    from workflows.contracts.jobs import Job
    from workflows.contracts.services import ApprovalPolicy, DefinitionRequest, HealthCheck, StageJob
    from workflows.deployment_messages import DeploymentMessages
    from workflows.deployment_presentation import moment
    from workflows.deployment_progress import Breach, Failed, Interrupted, Phase, Renew
    from workflows.deployment_steps import succeeded, why_failed
    from workflows.recorded_job import now_ms
    from workflows.verification import INCONCLUSIVE_EXIT_CODE, unseen

_ASK_AGAIN_SECONDS: Final = 60
_ASK_AGAIN_AT_MOST: Final = 3600
_READ_WITHIN: Final = timedelta(seconds=30)


@workflow.defn(name="DeploymentWorkflow")
class DeploymentWorkflow(DeploymentMessages):
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
                await workflow.wait_condition(lambda: self._interrupt is not None or workflow.all_handlers_finished())
                if self._interrupt is None:
                    await self._record()
                    return True
        return False

    async def _create(self) -> None:
        self._note("created", by=self._start.created_by, via=self._start.via, address=self._start.address)
        try:
            await self._record()
        except FailureError as error:
            self._rejected = _copy_of(error)
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise self._rejected from None
        self._created = True

    @workflow.update
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
                lambda: stage_jobs.definition_job(self._deployment, source),
                lambda deployment, job_id: deployment.model_copy(update={"definition_job_id": job_id}),
            )
            if not succeeded(job):
                raise Failed("definition_failed", why_failed(job))
            await self._load_definition(job, source.path)
        self._move(Phase.BUILD)

    async def _load_definition(self, job: Job, path: str) -> None:
        try:
            definition = await workflow.execute_local_activity(
                load_definition,
                DefinitionRequest(job_id=job.job_id, attempt=job.attempts[-1].number, path=path),
                start_to_close_timeout=_READ_WITHIN,
                summary=f"read {path}",
            )
        except FailureError as error:
            raise Failed("definition_invalid", f"{path}: {_copy_of(error).message}") from error
        self._deployment = record.defined(self._deployment, definition)

    async def _build(self) -> None:
        await self._job_before("build", self._deployment.definition.build, stage_jobs.build_job)
        self._move(Phase.TEST)

    async def _test(self) -> None:
        await self._job_before("test", self._deployment.definition.test, stage_jobs.test_job)
        self._move(Phase.JOIN)

    async def _job_before(
        self, name: str, stage: StageJob | None, make: Callable[[Deployment, StageJob], "stage_jobs.JobSpec"]
    ) -> None:
        if stage is None:
            return
        job = await self._run_job(
            lambda: make(self._deployment, stage),
            lambda deployment, job_id: deployment.model_copy(update={f"{name}_job_id": job_id}),
        )
        if not succeeded(job):
            raise Failed(f"{name}_failed", why_failed(job))

    # --- the way into an environment ------------------------------------------------------------------------------

    async def _join_line(self) -> None:
        environment = self._environment
        policy = environment.approval
        await self._join(ready=policy is None)
        if policy is None:
            self._move(Phase.TURN)
            return
        until = now_ms() + policy.expires_seconds * 1000
        self._deployment = record.stage_changed(self._deployment, environment.name, approval_expires_at=until)
        self._move(Phase.APPROVAL, until=until)

    async def _await_approval(self) -> None:
        name, policy, until = self._environment.name, self._environment.approval, self._progress.until
        if policy is None or until is None:
            self._move(Phase.TURN)
            return
        while (lacking := missing(policy, self._deployment.approvals, name)) is not None:
            self._deployment = record.waiting(self._deployment, name, self._asks_for(policy, lacking, until))
            await self._record()
            before = len(self._deployment.approvals)
            said = await self._wait(
                lambda: len(self._deployment.approvals) != before,  # noqa: B023 - awaited within this round
                until=until,
                summary=f"approval for {name} expires after {policy.expires_seconds} s",
            )
            if not said:
                raise Failed(
                    "approval_expired", f"Nobody approved {name} in time ({lacking}). Deploy it again to ask again."
                )
            last = self._deployment.approvals[-1]
            if last.decision is Decision.REJECT:
                raise Failed("rejected", f"{last.by} rejected it for {name}: {last.comment}")
        self._deployment = record.stage_changed(self._deployment, name, approved_at=now_ms())
        await self._join(ready=True)
        self._move(Phase.TURN)

    def _asks_for(self, policy: ApprovalPolicy, lacking: str, until: int) -> str:
        deployment = self._deployment
        return (
            f"{deployment.version} waits for approval of {self._environment.name}: {lacking}, until {moment(until)}. "
            f"`hybridci deploy approve {deployment.deployment_id}`"
        )

    async def _await_turn(self) -> None:
        pause = _ASK_AGAIN_SECONDS
        while self._progress.granted is None:
            until = now_ms() + pause * 1000
            if not await self._wait(
                lambda: self._progress.granted is not None, until=until, summary="ask again for the turn"
            ):
                await self._join(ready=True)
                await self._record()
                pause = min(pause * 2, _ASK_AGAIN_AT_MOST)
        if self._interrupt is not None:
            raise Interrupted
        grant = self._progress.granted
        self._deployment = record.granted(self._deployment, grant, final=self._final, now=now_ms())
        self._move(Phase.RECHECK if grant.frozen else Phase.ROLL_OUT, step=0, recorded_stage=None)

    async def _check_again(self) -> None:
        """A freeze is over: what was well before it need not be any more."""
        environments = self._deployment.definition.environments
        before = environments[self._progress.stage - 1] if self._progress.stage > 0 else self._environment
        if before.health_check is not None and not before.external:
            check = before.health_check
            job = await self._run_job(
                lambda: stage_jobs.health_job(self._deployment, before, check, self._turn), self._stage_job_started
            )
            if not succeeded(job):
                raise Failed("health_check_failed", f"After the freeze, {before.name} is not well. {why_failed(job)}")
        self._move(Phase.ROLL_OUT)

    async def _roll_out(self) -> None:
        environment = self._environment
        if environment.external:
            await self._await_other_ci()
        while self._progress.step < len(environment.rollout.percent) and not environment.external:
            if self._progress.until is not None:
                await self._wait(lambda: False, until=self._progress.until, summary="pause between rollout steps")
                self._move(Phase.ROLL_OUT)
            await self._roll_out_step(environment.rollout.percent[self._progress.step])
            more = self._progress.step + 1 < len(environment.rollout.percent)
            self._move(Phase.ROLL_OUT, step=self._progress.step + 1)
            if more and environment.rollout.pause_seconds:
                until = now_ms() + environment.rollout.pause_seconds * 1000
                self._move(Phase.ROLL_OUT)
                self._progress = self._progress.model_copy(update={"until": until})
        self._move(Phase.VERIFY)

    async def _roll_out_step(self, percent: int) -> None:
        environment = self._environment
        self._progress = self._progress.model_copy(update={"touched": self._progress.touched or self._final})
        self._deployment = record.working(self._deployment, environment.name, StageStatus.DEPLOYING, percent=percent)
        job = await self._run_job(
            lambda: stage_jobs.roll_out_job(self._deployment, environment, self._turn, percent), self._stage_job_started
        )
        if not succeeded(job):
            raise Failed("deploy_failed", why_failed(job))
        await self._check_health(environment.health_check)

    async def _check_health(self, check: HealthCheck | None, *, stoppable: bool = True) -> None:
        if check is None:
            return
        environment = self._environment
        job = await self._run_job(
            lambda: stage_jobs.health_job(self._deployment, environment, check, self._turn),
            self._stage_job_started,
            stoppable=stoppable,
        )
        if not succeeded(job):
            raise Failed("health_check_failed", why_failed(job))

    async def _await_other_ci(self) -> None:
        name, deployment = self._environment.name, self._deployment
        if self._progress.recorded_stage is None:
            words = (
                f"{deployment.version} is rolled out to {name} by another CI. Its result: "
                f"`hybridci deploy record {deployment.deployment_id} {name} --job-id …`"
            )
            self._deployment = record.working(deployment, name, StageStatus.DEPLOYING, waits_for=words)
            self._deployment = self._deployment.model_copy(update={"waits_for": words})
            await self._record()
        await self._wait(lambda: self._progress.recorded_stage is not None)
        result = self._progress.recorded_stage
        self._deployment = record.working(self._deployment, name, StageStatus.DEPLOYING)
        if result is not None and not result.succeeded:
            raise Failed("deploy_failed", f"{result.by} recorded that job {result.job_id} failed. {result.message}")

    # --- verification ---------------------------------------------------------------------------------------------

    async def _verify(self) -> None:
        environment, verification = self._environment, self._environment.verification
        if verification is None:
            self._move(Phase.ARRIVED)
            return
        self._deployment = record.working(self._deployment, environment.name, StageStatus.VERIFYING)
        if verification.run is not None:
            run = verification.run
            job = await self._run_job(
                lambda: stage_jobs.verification_job(self._deployment, environment, verification, run, self._turn),
                self._stage_job_started,
            )
            if not succeeded(job) and job.exit_code == INCONCLUSIVE_EXIT_CODE:
                await self._ask(
                    f"its verification could not tell (exit code {INCONCLUSIVE_EXIT_CODE}, job {job.job_id})"
                )
                return
            if not succeeded(job):
                raise Failed("verification_failed", why_failed(job))
        self._move(Phase.BAKE, baking_since=now_ms())

    async def _bake(self) -> None:
        verification, since = self._environment.verification, self._progress.baking_since
        if verification is not None and since is not None and verification.bake_seconds:
            until = since + verification.bake_seconds * 1000
            await self._record()
            await self._wait(lambda: False, until=until, summary=f"bake for {verification.bake_seconds} s")
            silent = unseen(self._deployment.metric_samples, verification, since)
            if silent:
                await self._ask(f"nobody reported {', '.join(silent)} while it baked for {verification.bake_seconds} s")
                return
        self._move(Phase.ARRIVED)

    async def _ask(self, why: str) -> None:
        identity = self._deployment.deployment_id
        words = (
            f"{self._deployment.version} is paused in {self._environment.name}: {why}. Go on: `hybridci deploy resume "
            f"{identity} --reason …`; go back: `hybridci deploy rollback {identity} --reason …`"
        )
        self._deployment = record.paused(self._deployment, self._environment.name, words)
        self._note("paused", by="workflow", message=words)
        self._move(Phase.PAUSED, resumed=False)
        await self._record()

    async def _pause(self) -> None:
        await self._wait(lambda: self._progress.resumed)
        self._move(Phase.ARRIVED)

    # --- arrived ---------------------------------------------------------------------------------------------------

    async def _arrive(self) -> None:
        name, final, identity = self._environment.name, self._final, self._deployment.deployment_id
        if self._interrupt is not None:
            raise Interrupted
        self._deployment = record.stage_deployed(self._deployment, name, final=final, now=now_ms())
        self._note("live" if final else "staged", by="workflow", message=f"{self._deployment.version} is in {name}")
        if final:
            self._move(Phase.LIVE)
            await self._record()
            await self._tell_environment(name, became_live=BecameLive(deployment_id=identity))
            return
        await self._record()
        await self._leave(Leave(deployment_id=identity, how=Leaving.DEPLOYED))
        self._move(Phase.JOIN, stage=self._progress.stage + 1, override_freeze=False)

    async def _stay_live(self) -> None:
        grant = self._progress.granted
        if grant is not None and grant.previous is not None:
            await self._rollback_plan(grant.previous)  # at hand, should it be needed in a hurry
        await self._wait(lambda: False)

    # --- when it does not go well ---------------------------------------------------------------------------------

    async def _act_on_interrupt(self) -> None:
        interrupt, self._interrupt = self._interrupt, None
        if isinstance(interrupt, RollbackCommand):
            target = self._target(interrupt.to_version)
            self._begin_rollback(
                target, by=interrupt.by, reason=interrupt.reason, automatic=False, job_id=interrupt.job_id
            )
        elif isinstance(interrupt, Superseded):
            self._note("superseded", by="environment", message=f"by {interrupt.by_version}")
            self._deployment = record.superseded(
                self._deployment, interrupt.by_deployment_id, interrupt.by_version, now_ms()
            )
            await self._end()
        elif isinstance(interrupt, CancelDeployment):
            why = f"{interrupt.by} cancelled it{': ' + interrupt.reason if interrupt.reason else '.'}"
            await (self._give_up(why) if self._progress.phase is Phase.STUCK else self._fail("cancelled", why))
        elif isinstance(interrupt, Breach):
            await self._act_on_breach(interrupt)

    async def _act_on_breach(self, breach: Breach) -> None:
        if self._progress.phase is not Phase.LIVE or self._target(None) is not None:
            await self._fail("metrics_breached", breach.message)
            return
        message = f"{breach.message} It stays live: nothing was live before it."
        self._note("metrics_breached", by="workflow", message=message)
        self._deployment = self._deployment.model_copy(update={"error_message": message})
        await self._record()

    async def _fail(self, cause: str, message: str) -> None:
        """Roll back when something runs in the last environment and there is a version to go back to; else end."""
        target = self._target(None)
        if self._progress.touched and target is not None:
            self._deployment = self._deployment.model_copy(update={"cause": cause, "error_message": message})
            self._note(cause, by="workflow", message=message)
            self._begin_rollback(target, by="workflow", reason=message, automatic=True)
            return
        if self._progress.touched:
            message = f"{message} Nothing was live before it, so there is nothing to roll back to."
        self._note(cause, by="workflow", message=message)
        self._deployment = record.failed(self._deployment, cause, message, now_ms())
        await self._leave(Leave(deployment_id=self._deployment.deployment_id, how=Leaving.ENDED))
        await self._end()

    async def _roll_back(self) -> None:
        rollback, target = self._deployment.rollback, None
        if rollback is not None:
            target = self._target(rollback.target_version)
        if self._progress.rollback_job_id is None and not self._environment.external:
            if target is None:
                raise ApplicationError("a rollback without a target", non_retryable=True)
            plan = await self._rollback_plan(target)
            try:
                job = await self._run_job(
                    lambda: stage_jobs.rollback_job(self._deployment, self._environment, plan, self._turn),
                    self._rollback_job_started,
                    stoppable=False,
                )
                if not succeeded(job):
                    raise Failed("rollback_failed", why_failed(job))
                await self._check_health(self._environment.health_check, stoppable=False)
            except Failed as failure:
                await self._shout(failure.message)
                return
        elif self._progress.rollback_job_id is None:
            await self._await_other_rollback()
            return
        elif rollback is not None:
            self._deployment = self._rollback_job_started(self._deployment, self._progress.rollback_job_id)
        await self._back(rollback.by if rollback else "", rollback.reason if rollback else "")

    async def _back(self, by: str, reason: str) -> None:
        rollback = self._deployment.rollback
        target = self._target(rollback.target_version if rollback else None)
        live = target.model_copy(update={"since": now_ms()}) if target is not None else None
        hold = Hold(by=by, reason=f"rolled back from {self._deployment.version}: {reason}"[:1000], at=now_ms())
        self._deployment = record.rolled_back(self._deployment, now_ms())
        version = target.version if target is not None else "nothing known"
        self._note("rolled_back", by=by, reason=reason, message=f"{version} is live again")
        identity = self._deployment.deployment_id
        await self._leave(Leave(deployment_id=identity, how=Leaving.ROLLED_BACK, live=live, hold=hold))
        await self._end()

    async def _await_other_rollback(self) -> None:
        deployment = self._deployment
        words = (
            f"{deployment.version} is to be rolled back in {self._environment.name} by another CI. When it is done: "
            f"`hybridci deploy rollback {deployment.deployment_id} --reason … --job-id …`"
        )
        self._deployment = deployment.model_copy(update={"waits_for": words})
        await self._record()
        await self._wait(lambda: False)

    async def _shout(self, message: str) -> None:
        self._deployment = record.rollback_failed(self._deployment, message, now_ms())
        self._note("rollback_failed", by="workflow", message=message, severity="critical")
        workflow.logger.error("rollback failed: %s", message)
        self._move(Phase.STUCK)
        await self._record()

    async def _await_operator(self) -> None:
        await self._wait(lambda: False)

    async def _give_up(self, why: str) -> None:
        hold = Hold(
            by="workflow", reason=f"A rollback of {self._deployment.version} failed and was given up.", at=now_ms()
        )
        self._note("given_up", by="workflow", message=why)
        message = f"Its rollback failed and was given up. {why}"
        self._deployment = record.failed(self._deployment, "rollback_failed", message, now_ms())
        await self._leave(Leave(deployment_id=self._deployment.deployment_id, how=Leaving.BROKEN, hold=hold))
        await self._end()

    async def _end(self) -> None:
        self._move(Phase.END)
        await self._record()

    def _rollback_job_started(self, deployment: Deployment, job_id: str) -> Deployment:
        job_ids = [*deployment.rollback.job_ids, job_id] if deployment.rollback is not None else [job_id]
        return record.rollback_changed(deployment, job_ids=job_ids)


_CANCELLED: Final = CancelDeployment(by="temporal", reason="Cancelled in Temporal.")


def _copy_of(error: FailureError) -> ApplicationError:
    cause = error if isinstance(error, ApplicationError) else error.cause
    if isinstance(cause, ApplicationError):
        return ApplicationError(cause.message, *cause.details, type=cause.type, non_retryable=True)
    return ApplicationError(f"It could not be done: {cause or error}", non_retryable=True)
