"""Bring another version back, by a job or by another CI. No interrupt stops the job.

Deliberately not here: how a rollback begins (``workflows.deployment.rollback``).
"""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.details import RollbackFailed
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.deployment import Deployment
    from workflows.contracts.deployments.environments import Hold, Leave, Leaving, LiveVersion
    from workflows.contracts.errors import ErrorCode
    from workflows.contracts.who import Who
    from workflows.deployment import record
    from workflows.deployment.banning import ban_left, heeds
    from workflows.deployment.context import Context
    from workflows.deployment.endings import end
    from workflows.deployment.job_specs import rollback_job
    from workflows.deployment.jobs import succeeded, why_failed
    from workflows.deployment.journal import Journal
    from workflows.deployment.progress import Failed, Phase
    from workflows.deployment.rollback import plan
    from workflows.job.recorded import now_ms


async def run(context: Context) -> None:
    """Ends in END, or in STUCK when the rollback fails."""
    state = context.state
    rollback, done_by = state.deployment.rollback, state.progress.rollback_job_id
    if done_by is None and state.environment.external:
        await _await_other_ci(context)
        return
    if done_by is None:
        try:
            await _run_job(context, state.target_of(rollback))
        except Failed as failure:
            await _shout(context.journal, failure.message)
            return
    elif rollback is not None:
        context.journal.change(record.rollback_job_started, done_by)
    await _back(context, rollback.by if rollback else "", rollback.reason if rollback else "")


async def _run_job(context: Context, target: LiveVersion | None) -> None:
    if target is None:
        raise ApplicationError("a rollback without a target", type=ErrorCode.INVALID_STATE, non_retryable=True)
    chosen = await plan(context.journal, context.calls, target)
    job = await context.jobs.run(
        lambda: rollback_job(context.state.deployment, context.state.environment, chosen, context.state.turn),
        record.rollback_job_started,
        stoppable=False,
    )
    if not succeeded(job):
        raise Failed(EventType.DEPLOYMENT_ROLLBACK_FAILED, why_failed(job))
    await context.jobs.check_health(back_to=chosen)


async def _back(context: Context, by: str, reason: str) -> None:
    journal, state = context.journal, context.state
    rollback, deployment = state.deployment.rollback, state.deployment
    target = state.target_of(rollback) if rollback is not None else state.target()
    live = target.model_copy(update={"since": now_ms()}) if target is not None else None
    short = deployment.cause if rollback is not None and rollback.automatic else reason
    hold = Hold(by=by, reason=f"rolled back from {deployment.version}: {short}"[:1000], at=now_ms())
    journal.change(record.rolled_back, now_ms())
    if rollback is not None and heeds("once-back"):
        await ban_left(context, rollback, target)
    version = target.version if target is not None else "nothing known"
    how = "rolls forward: " if rollback is not None and rollback.forward else ""
    message = f"{how}{version} is live again"
    journal.note(EventType.DEPLOYMENT_ROLLED_BACK, Who.itself(by), reason=reason, message=message)
    await end(context, Leave(deployment_id=state.identity, how=Leaving.ROLLED_BACK, live=live, hold=hold))


async def _await_other_ci(context: Context) -> None:
    deployment, environment = context.state.deployment, context.state.environment
    words = (
        f"{deployment.version} is to be rolled back in {environment.name} by another CI. When it is done: "
        f"`hybridci deploy rollback {deployment.deployment_id} --reason … --job-id …`"
    )
    context.journal.change(Deployment.model_copy, update={"waits_for": words})
    await context.journal.record()
    await context.wait_for_ever()


async def _shout(journal: Journal, message: str) -> None:
    journal.change(record.rollback_failed, message, now_ms())
    journal.note(RollbackFailed(severity="critical"), message=message)
    workflow.logger.error("rollback failed: %s", message)
    journal.move(Phase.STUCK)
    await journal.record()
