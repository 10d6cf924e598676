"""See that the commit is on the service's ref, if the service asks for it: before anything that the commit says counts.

Deliberately not here: how an agent finds it out (``agent.git.ancestry``).
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.attempts import NOT_ON_REF
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.deployment import Deployment
    from workflows.contracts.jobs import Job
    from workflows.deployment.context import Context
    from workflows.deployment.job_specs import source_job
    from workflows.deployment.jobs import succeeded, why_failed
    from workflows.deployment.progress import Failed, Phase


async def run(context: Context) -> None:
    """Ends in DEFINITION. A commit that is not on the ref waits; ``resume`` looks again."""
    spec = context.state.deployment.definition
    ref = spec.git_ref
    while spec.commit_on_ref and ref is not None:
        context.journal.state = context.state.noting(resumed=False)
        context.journal.change(_waits_for, None)
        job = await context.jobs.run_early(Phase.SOURCE, lambda: source_job(context.state.deployment, ref))
        if succeeded(job):
            break
        if job.cause != NOT_ON_REF:
            raise Failed(EventType.DEPLOYMENT_SOURCE_FAILED, why_failed(job))
        await _wait(context, job)
    context.journal.move(Phase.DEFINITION, resumed=False)


async def _wait(context: Context, job: Job) -> None:
    journal, deployment = context.journal, context.state.deployment
    identity, said = deployment.deployment_id, job.attempts[-1].message if job.attempts else job.error_message
    words = (
        f"{deployment.version} waits for its commit to be on {deployment.definition.git_ref}. {said} "
        f"When it is there: `hybridci deploy resume {identity} --reason …`; "
        f"to end it: `hybridci deploy cancel {identity}`"
    )
    journal.change(_waits_for, words)
    journal.note(EventType.DEPLOYMENT_COMMIT_MISSED, message=words)
    await journal.record()
    await context.wait(lambda: context.state.progress.resumed)


def _waits_for(deployment: Deployment, words: str | None) -> Deployment:
    return deployment.model_copy(update={"waits_for": words})
