"""A freeze is over: what was well before it need not be any more."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.types import EventType
    from workflows.deployment.context import Context
    from workflows.deployment.job_specs import health_job
    from workflows.deployment.jobs import succeeded, why_failed
    from workflows.deployment.progress import Failed, Phase


async def run(context: Context) -> None:
    """Ends in ROLL_OUT."""
    state = context.state
    environments = state.deployment.definition.environments
    before = environments[state.progress.stage - 1] if state.progress.stage > 0 else state.environment
    check = before.health_check
    if check is not None and not before.external:
        job = await context.jobs.run(
            lambda: health_job(context.state.deployment, before, check, context.state.turn), context.jobs.of_stage
        )
        if not succeeded(job):
            raise Failed(
                EventType.DEPLOYMENT_HEALTH_CHECK_FAILED,
                f"After the freeze, {before.name} is not well. {why_failed(job)}",
            )
    context.journal.move(Phase.ROLL_OUT)
