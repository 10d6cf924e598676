"""Stay live, until another version takes its place or it is rolled back."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.deployment import rollback
    from workflows.deployment.context import Context
    from workflows.deployment.watched import watch


async def run(context: Context) -> None:
    """Ends by an interrupt only."""
    grant = context.state.progress.granted
    if grant is not None and grant.previous is not None:  # at hand, should it be needed in a hurry
        await rollback.plan(context.journal, context.calls, grant.previous)
    await watch(context)
    await context.wait_for_ever()
