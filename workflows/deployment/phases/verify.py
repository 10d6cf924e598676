"""Run the environment's verification command, if it has one."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.deployment import StageStatus
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.job_specs import verification_job
    from workflows.deployment.jobs import succeeded, why_failed
    from workflows.deployment.phases.paused import pause
    from workflows.deployment.progress import Failed, Phase
    from workflows.deployment.rules.verification import INCONCLUSIVE_EXIT_CODE
    from workflows.job.recorded import now_ms


async def run(context: Context) -> None:
    """Ends in BAKE; in ARRIVED without a verification; in PAUSED when the command could not tell."""
    journal, environment = context.journal, context.state.environment
    verification = environment.verification
    if verification is None:
        journal.move(Phase.ARRIVED)
        return
    journal.change(record.working, environment.name, StageStatus.VERIFYING)
    command = verification.run
    if command is not None:
        job = await context.jobs.run(
            lambda: verification_job(context.state.deployment, environment, verification, command, context.state.turn),
            context.jobs.of_stage,
        )
        if not succeeded(job) and job.exit_code == INCONCLUSIVE_EXIT_CODE:
            await pause(
                journal, f"its verification could not tell (exit code {INCONCLUSIVE_EXIT_CODE}, job {job.job_id})"
            )
            return
        if not succeeded(job):
            raise Failed(EventType.DEPLOYMENT_VERIFICATION_FAILED, why_failed(job))
    journal.move(Phase.BAKE, baking_since=now_ms())
