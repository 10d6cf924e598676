"""Read the definition that the deployed commit holds, by a job that checks it out, and hold it to the policy.

Deployments that began before there were policies go on without one.
"""

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import load_definition
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.services import DefinitionRequest
    from workflows.contracts.jobs import Job
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.job_specs import definition_job
    from workflows.deployment.jobs import succeeded, why_failed
    from workflows.deployment.progress import Failed, Phase
    from workflows.deployment.rules.policy import LooserThanPolicy, tightened
    from workflows.words import titled

_READ_WITHIN: Final = timedelta(seconds=30)


async def run(context: Context) -> None:
    """Ends in BUILD."""
    source = context.state.deployment.definition.definition
    if source is not None:
        job = await context.jobs.run_early(Phase.DEFINITION, lambda: definition_job(context.state.deployment, source))
        if not succeeded(job):
            raise Failed(EventType.DEPLOYMENT_DEFINITION_FAILED, why_failed(job))
        await _load(context, job, source.path)
    context.journal.move(Phase.BUILD)


async def _load(context: Context, job: Job, path: str) -> None:
    try:
        definition = await context.calls.call(
            load_definition,
            DefinitionRequest(job_id=job.job_id, attempt=job.attempts[-1].number, path=path),
            summary=titled(f"read {path}"),
            one_try=_READ_WITHIN,
        )
    except ApplicationError as error:
        raise Failed(EventType.DEPLOYMENT_DEFINITION_INVALID, f"{path}: {error.message}") from error
    policy = context.state.deployment.definition.policy
    try:
        kept = definition if policy is None else tightened(policy, definition)
    except LooserThanPolicy as looser:
        message = (
            f"{path} asks for what the policy of {context.state.deployment.service_name} does not allow: {looser}. "
            "Correct the file and deploy that commit, or have the policy changed: `hybridci service apply -f FILE`."
        )
        raise Failed(EventType.DEPLOYMENT_DEFINITION_INVALID, message) from looser
    context.journal.change(record.defined, kept)
