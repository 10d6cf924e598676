"""It is well in this environment: live in the last one; before it, on to the next."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.environments import Leave, Leaving
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.progress import Interrupted, Phase
    from workflows.job.recorded import now_ms


async def run(context: Context) -> None:
    """Ends in LIVE, or in JOIN of the next environment."""
    journal, state = context.journal, context.state
    name, final = state.environment.name, state.final
    if state.interrupt is not None:
        raise Interrupted
    journal.change(record.stage_deployed, name, final=final, now=now_ms())
    journal.note(
        EventType.DEPLOYMENT_LIVE if final else EventType.DEPLOYMENT_STAGED,
        message=f"{state.deployment.version} is in {name}",
    )
    if final:
        journal.move(Phase.LIVE)
        await journal.record()
        await context.lock.became_live(name)
        return
    await journal.record()
    await context.lock.leave(Leave(deployment_id=state.identity, how=Leaving.DEPLOYED))
    following = context.state.progress.stage + 1
    journal.move(Phase.JOIN, stage=following, override_freeze=False, order=None, seen=[], accepted=[], left_fence=0)
