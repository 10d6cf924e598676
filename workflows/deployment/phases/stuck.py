"""A rollback has failed and nobody knows what runs: wait for an operator, who tries again or gives it up."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.deployment.context import Context


async def run(context: Context) -> None:
    """Ends by an interrupt only."""
    await context.wait_for_ever()
