"""When a deployment does not go well: stop, fail, roll back, shout.

A rollback takes no approval and no queue: a version that is in the last environment holds its lock already.
The base of ``StagePhases``.
"""

from typing import Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.deployment_commands import CancelDeployment, RollbackCommand
    from workflows.contracts.deployments import Deployment
    from workflows.contracts.environments import Hold, Leave, Leaving, Superseded
    from workflows.contracts.errors import ErrorCode
    from workflows.deployment import job_specs, record
    from workflows.deployment.job_specs import RollbackPlan
    from workflows.deployment.messages import DeploymentMessages
    from workflows.deployment.progress import Breach, Failed, Phase
    from workflows.deployment.steps import succeeded, why_failed
    from workflows.recorded_job import now_ms

_ONCE_COMMITTED: Final = "leave-once-committed"  # 2026-11: before, a local activity told the lock


class RollbackPhases(DeploymentMessages):
    """The phases ROLLBACK and STUCK, and the ways into them."""

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
        await self._end(Leave(deployment_id=self._deployment.deployment_id, how=Leaving.ENDED))

    async def _roll_back(self) -> None:
        rollback, target = self._deployment.rollback, None
        if rollback is not None:
            target = self._target(rollback.target_version)
        if self._progress.rollback_job_id is None and not self._environment.external:
            if target is None:
                raise ApplicationError("a rollback without a target", type=ErrorCode.INVALID_STATE, non_retryable=True)
            plan = await self._rollback_plan(target)
            try:
                job = await self._run_job(
                    lambda: job_specs.rollback_job(self._deployment, self._environment, plan, self._turn),
                    self._rollback_job_started,
                    stoppable=False,
                )
                if not succeeded(job):
                    raise Failed("rollback_failed", why_failed(job))
                await self._check_health(back_to=plan)
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
        short = self._deployment.cause if rollback is not None and rollback.automatic else reason
        hold = Hold(by=by, reason=f"rolled back from {self._deployment.version}: {short}"[:1000], at=now_ms())
        self._deployment = record.rolled_back(self._deployment, now_ms())
        version = target.version if target is not None else "nothing known"
        self._note("rolled_back", by=by, reason=reason, message=f"{version} is live again")
        identity = self._deployment.deployment_id
        await self._end(Leave(deployment_id=identity, how=Leaving.ROLLED_BACK, live=live, hold=hold))

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
        await self._end(Leave(deployment_id=self._deployment.deployment_id, how=Leaving.BROKEN, hold=hold))

    async def _end(self, leave: Leave | None = None) -> None:
        """Give the lock back, if it was not taken, and close. The lock hears of it only once it cannot be undone: a
        task that closes a workflow is refused, and forgotten, when a signal has come in meanwhile.
        """
        if leave is not None and self._progress.in_line:
            committed = workflow.patched(_ONCE_COMMITTED)
            if committed and leave.hold is None:  # a hold is best there before the end is seen
                await self._record()
            await self._leave(leave, committed=committed)
        self._move(Phase.END)
        await self._record()

    def _rollback_job_started(self, deployment: Deployment, job_id: str) -> Deployment:
        job_ids = [*deployment.rollback.job_ids, job_id] if deployment.rollback is not None else [job_id]
        return record.rollback_changed(deployment, job_ids=job_ids)

    async def _check_health(self, *, percent: int = 100, back_to: RollbackPlan | None = None) -> None:
        """The environment's health check, if it has one; a rollback's is not stopped by anything. Raises Failed."""
        environment, check = self._environment, self._environment.health_check
        if check is None:
            return
        job = await self._run_job(
            lambda: job_specs.health_job(
                self._deployment, environment, check, self._turn, percent=percent, back_to=back_to
            ),
            self._stage_job_started if back_to is None else self._rollback_job_started,
            stoppable=back_to is None,
        )
        if not succeeded(job):
            raise Failed("health_check_failed", why_failed(job))
