"""Build the version, if its definition says how."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.deployment import Deployment
    from workflows.deployment.context import Context
    from workflows.deployment.job_specs import build_job
    from workflows.deployment.jobs import succeeded, why_failed
    from workflows.deployment.progress import Failed, Phase


async def run(context: Context) -> None:
    """Ends in TEST."""
    stage = context.state.deployment.definition.build
    if stage is not None:
        job = await context.jobs.run(lambda: build_job(context.state.deployment, stage), _started)
        if not succeeded(job):
            raise Failed(EventType.DEPLOYMENT_BUILD_FAILED, why_failed(job))
    context.journal.move(Phase.TEST)


def _started(deployment: Deployment, job_id: str) -> Deployment:
    return deployment.model_copy(update={"build_job_id": job_id})
