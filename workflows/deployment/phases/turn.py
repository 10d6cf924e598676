"""Wait until the environment grants the turn; ask again now and then, should a message have been lost. Then look once
more who is there by now, before anything is rolled out over it.
"""

from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.deployments.environments import Ahead, Granted
    from workflows.deployment import ordering, record
    from workflows.deployment.context import Context
    from workflows.deployment.endings import stand_back
    from workflows.deployment.phases import order
    from workflows.deployment.progress import Interrupted, Phase
    from workflows.deployment.rules.relations import CommitStanding, mark, warning
    from workflows.job.recorded import now_ms

_ASK_AGAIN_SECONDS: Final = 60
_ASK_AGAIN_AT_MOST: Final = 3600


async def run(context: Context) -> None:
    """Ends in ROLL_OUT, or in RECHECK after a freeze; in JOIN, ORDER or END where another one came before it meanwhile
    that is no ancestor of it.
    """
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
    if ordering.looks(context, "at-the-turn-in"):
        standing = await ordering.look(context, _there(grant))
        if context.state.interrupt is not None:
            raise Interrupted
        if await _stopped(context, standing):
            return
        grant = context.state.progress.granted or grant
    context.journal.change(record.granted, grant, final=context.state.final, now=now_ms())
    following = Phase.RECHECK if grant.frozen else Phase.ROLL_OUT
    context.journal.move(following, step=0, recorded_stage=None, baking_since=None)


def _there(grant: Granted) -> list[Ahead]:
    """What is live, and who came before it and still waits."""
    live = grant.previous
    if live is None:
        return list(grant.ahead)
    where = f"is live in {grant.environment}"
    return [
        Ahead(deployment_id=live.deployment_id, version=live.version, git_commit_sha=live.git_commit_sha, place=where),
        *grant.ahead,
    ]


async def _stopped(context: Context, standing: CommitStanding) -> bool:
    """True when it gives its turn back: it is older, or whoever let it in was not told of what is there now."""
    deployment, environment, progress = context.state.deployment, context.state.environment, context.state.progress
    if (newer := standing.outdated(deployment, environment)) is not None:
        await stand_back(context, newer)
        return True
    if environment.approval is None:
        if standing.asks(deployment, environment, progress.accepted) is None:
            return False
        await order.ask(context, standing)
        return True
    news = [each for each in standing.doubts if mark(each) not in progress.seen]
    if not news:
        return False
    why = f"It was approved before this was known. {warning(news)}"
    context.journal.change(record.asked_again, environment.name, why)
    await context.lock.give_back()
    context.journal.move(Phase.JOIN)
    return True
