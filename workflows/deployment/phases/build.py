"""Build the version, if its definition says how."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.types import EventType
    from workflows.deployment.context import Context
    from workflows.deployment.job_specs import build_job
    from workflows.deployment.jobs import succeeded, why_failed
    from workflows.deployment.progress import Failed, Phase


async def run(context: Context) -> None:
    """Ends in TEST."""
    stage = context.state.deployment.definition.build
    if stage is not None:
        job = await context.jobs.run_early(Phase.BUILD, lambda: build_job(context.state.deployment, stage))
        if not succeeded(job):
            raise Failed(EventType.DEPLOYMENT_BUILD_FAILED, why_failed(job))
    context.journal.move(Phase.TEST)
