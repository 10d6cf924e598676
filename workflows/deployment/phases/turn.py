"""Wait until the environment grants the turn; ask again now and then, should a message have been lost."""

from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.progress import Interrupted, Phase
    from workflows.job.recorded import now_ms

_ASK_AGAIN_SECONDS: Final = 60
_ASK_AGAIN_AT_MOST: Final = 3600


async def run(context: Context) -> None:
    """Ends in ROLL_OUT, or in RECHECK after a freeze."""
    pause = _ASK_AGAIN_SECONDS
    while (grant := context.state.progress.granted) is None:
        until = now_ms() + pause * 1000
        if not await context.wait(
            lambda: context.state.progress.granted is not None, until=until, summary="ask again for the turn"
        ):
            await context.lock.join(ready=True)
            await context.journal.record()
            pause = min(pause * 2, _ASK_AGAIN_AT_MOST)
    if context.state.interrupt is not None:
        raise Interrupted
    context.journal.change(record.granted, grant, final=context.state.final, now=now_ms())
    following = Phase.RECHECK if grant.frozen else Phase.ROLL_OUT
    context.journal.move(following, step=0, recorded_stage=None, baking_since=None)
