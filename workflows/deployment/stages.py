"""The phases of one environment: join its line, be approved, wait for the turn, roll out, verify, bake, arrive.

Deliberately not here: what happens when one fails (``rollback``).
"""

from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.deployments import Decision, StageStatus
    from workflows.contracts.environments import BecameLive, Leave, Leaving
    from workflows.contracts.services import ApprovalPolicy
    from workflows.deployment import job_specs, record
    from workflows.deployment.approvals import missing
    from workflows.deployment.presentation import moment
    from workflows.deployment.progress import Failed, Interrupted, Phase
    from workflows.deployment.rollback import RollbackPhases
    from workflows.deployment.steps import succeeded, why_failed
    from workflows.deployment.verification import INCONCLUSIVE_EXIT_CODE, unseen
    from workflows.recorded_job import now_ms

_ASK_AGAIN_SECONDS: Final = 60
_ASK_AGAIN_AT_MOST: Final = 3600


class StagePhases(RollbackPhases):
    """The phases from JOIN to ARRIVED."""

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
            before = len(self._deployment.approvals)  # whoever speaks while the record is written counts as well
            self._deployment = record.waiting(self._deployment, name, self._asks_for(policy, lacking, until))
            await self._record()
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
        self._move(Phase.RECHECK if grant.frozen else Phase.ROLL_OUT, step=0, recorded_stage=None, baking_since=None)

    async def _check_again(self) -> None:
        """A freeze is over: what was well before it need not be any more."""
        environments = self._deployment.definition.environments
        before = environments[self._progress.stage - 1] if self._progress.stage > 0 else self._environment
        if before.health_check is not None and not before.external:
            check = before.health_check
            job = await self._run_job(
                lambda: job_specs.health_job(self._deployment, before, check, self._turn), self._stage_job_started
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
            lambda: job_specs.roll_out_job(self._deployment, environment, self._turn, percent), self._stage_job_started
        )
        if not succeeded(job):
            raise Failed("deploy_failed", why_failed(job))
        await self._check_health(percent=percent)

    async def _await_other_ci(self) -> None:
        name, deployment = self._environment.name, self._deployment
        if self._progress.recorded_stage is None:
            words = (
                f"{deployment.version} is rolled out to {name} by another CI. Its result: "
                f"`hybridci deploy record {deployment.deployment_id} {name} --job-id …`"
            )
            self._deployment = record.waiting(deployment, name, words, status=StageStatus.DEPLOYING)
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
                lambda: job_specs.verification_job(self._deployment, environment, verification, run, self._turn),
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
        self._deployment = record.waiting(self._deployment, self._environment.name, words, status=StageStatus.PAUSED)
        self._note("paused", by="workflow", message=words)
        self._move(Phase.PAUSED, resumed=False)
        await self._record()

    async def _pause(self) -> None:
        await self._wait(lambda: self._progress.resumed)
        if self._progress.baking_since is None:  # its verification could not tell: the metrics can still
            self._deployment = record.working(self._deployment, self._environment.name, StageStatus.VERIFYING)
            self._move(Phase.BAKE, baking_since=now_ms())
            return
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
