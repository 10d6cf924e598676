"""Roll out into the environment, percentage by percentage; or wait until another CI has."""

from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.deployment import StageStatus
    from workflows.contracts.deployments.rollouts import legs_of
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.job_specs import roll_out_job
    from workflows.deployment.jobs import succeeded, why_failed
    from workflows.deployment.phases.roll_out import halts
    from workflows.deployment.progress import Failed, Phase
    from workflows.job.recorded import now_ms

_MEASURED: Final = "metrics-are-measured-from-the-first-step"  # 2026-11: before, from the beginning of its turn


async def run(context: Context) -> None:
    """Ends in VERIFY."""
    environment, journal = context.state.environment, context.journal
    if environment.external:
        await _await_other_ci(context)
    legs = legs_of(environment.rollout)
    while (number := context.state.progress.step) < len(legs) and not environment.external:
        if number > 0:
            await halts.pauses(context, legs[number - 1])
            if not await halts.may_go_on(context):
                journal.move(Phase.ROLL_OUT, step=number + 1, pause=len(legs[number].pauses))
                continue
            if context.state.progress.full:
                number = len(legs) - 1
        await _step(context, legs[number].percent)
        journal.move(Phase.ROLL_OUT, step=number + 1, pause=0)
    journal.move(Phase.VERIFY, full=False)


async def _step(context: Context, percent: int) -> None:
    journal, state = context.journal, context.state
    environment = state.environment
    journal.state = state.noting(touched=state.progress.touched or state.final)
    journal.change(record.working, environment.name, StageStatus.DEPLOYING, percent=percent)
    job = await context.jobs.run(
        lambda: roll_out_job(context.state.deployment, environment, context.state.turn, percent),
        context.jobs.of_stage,
    )
    if not succeeded(job):
        raise Failed(EventType.DEPLOYMENT_DEPLOY_FAILED, why_failed(job))
    await context.jobs.check_health(percent=percent)
    await _measure(context)


async def _measure(context: Context) -> None:
    """From now on metrics are this version's."""
    journal, environment = context.journal, context.state.environment
    stage = context.state.deployment.stage(environment.name)
    if environment.verification is None or stage is None or stage.measured_from is not None:
        return
    if workflow.patched(_MEASURED):
        journal.change(record.measured_from, environment.name, now_ms())
        await journal.record()


async def _await_other_ci(context: Context) -> None:
    journal, deployment, name = context.journal, context.state.deployment, context.state.environment.name
    if context.state.progress.recorded_stage is None:
        words = (
            f"{deployment.version} is rolled out to {name} by another CI. Its result: "
            f"`hybridci deploy record {deployment.deployment_id} {name} --job-id …`"
        )
        journal.change(record.waiting, name, words, status=StageStatus.DEPLOYING)
        await journal.record()
    await context.wait(lambda: context.state.progress.recorded_stage is not None)
    result = context.state.progress.recorded_stage
    journal.change(record.working, name, StageStatus.DEPLOYING)
    if result is not None and not result.succeeded:
        raise Failed(
            EventType.DEPLOYMENT_DEPLOY_FAILED,
            f"{result.by} recorded that job {result.job_id} failed. {result.message}",
        )
    await _measure(context)
