"""Watch what monitoring reports for a while. A breach interrupts (``signals``); silence asks a person."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.deployment.context import Context
    from workflows.deployment.phases.paused import pause
    from workflows.deployment.progress import Phase
    from workflows.deployment.verification import unseen


async def run(context: Context) -> None:
    """Ends in ARRIVED, or in PAUSED."""
    journal = context.journal
    verification, since = context.state.environment.verification, context.state.progress.baking_since
    if verification is not None and since is not None and verification.bake_seconds:
        seconds = verification.bake_seconds
        await journal.record()
        await context.wait(lambda: False, until=since + seconds * 1000, summary=f"bake for {seconds} s")
        silent = unseen(context.state.deployment.metric_samples, verification, since)
        if silent:
            await pause(journal, f"nobody reported {', '.join(silent)} while it baked for {seconds} s")
            return
    journal.move(Phase.ARRIVED)
