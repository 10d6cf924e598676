"""Wait for a person, where verification could not tell."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.deployment import StageStatus
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.journal import Journal
    from workflows.deployment.progress import Phase
    from workflows.job.recorded import now_ms


async def pause(journal: Journal, why: str) -> None:
    """Come into this phase: say why, and which commands lead out of it."""
    deployment, name = journal.state.deployment, journal.state.environment.name
    identity = deployment.deployment_id
    words = (
        f"{deployment.version} is paused in {name}: {why}. Go on: `hybridci deploy resume "
        f"{identity} --reason …`; go back: `hybridci deploy rollback {identity} --reason …`"
    )
    journal.change(record.waiting, name, words, status=StageStatus.PAUSED)
    journal.note(EventType.DEPLOYMENT_PAUSED, message=words)
    journal.move(Phase.PAUSED, resumed=False)
    await journal.record()


async def run(context: Context) -> None:
    """Ends in ARRIVED, or in BAKE before the metrics were seen."""
    await context.wait(lambda: context.state.progress.resumed)
    if context.state.progress.baking_since is None:  # its verification could not tell: the metrics can still
        context.journal.change(record.working, context.state.environment.name, StageStatus.VERIFYING)
        context.journal.move(Phase.BAKE, baking_since=now_ms())
        return
    context.journal.move(Phase.ARRIVED)
