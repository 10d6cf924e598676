"""What must be known before a deployment goes on: who is ahead of it, what is banned, what forges said of its commit.

Deliberately not here: asking agents, and what follows, which is ``workflows.deployment.rules.relations``.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from activities.clock import Clock, epoch_millis
from workflows.contracts.deployments.bans import BanList
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import Ahead, EnvironmentState, Holder, LiveVersion, Ticket
from workflows.contracts.deployments.order import (
    MAX_ASKED,
    PUSH_BEFORE,
    PUSH_FORCED,
    OrderFacts,
    OrderQuestion,
    Push,
    Pushes,
    PushQuestion,
)
from workflows.contracts.errors import NotFound

_KIND: Final = "ancestry"
_WEBHOOK: Final = "webhook:"


@dataclass(frozen=True, slots=True)
class CommitOrder:
    """``environment``, ``bans`` and ``deployment`` read records; ``answering`` counts the agents of a pool that answer
    a kind of question now. All raise Unavailable, the first and the third NotFound.
    """

    environment: Callable[[str, str], Awaitable[EnvironmentState]]
    bans: Callable[[str], Awaitable[BanList]]
    deployment: Callable[[str], Awaitable[Deployment]]
    answering: Callable[[str, str], Awaitable[int]]
    clock: Clock = epoch_millis

    async def facts(self, question: OrderQuestion) -> OrderFacts:
        """See ``order_facts``."""
        others: list[Ahead] = []
        with suppress(NotFound):  # nothing was ever there
            state = await self.environment(question.service_name, question.environment)
            others = [each for each in ahead_in(state) if each.deployment_id != question.deployment_id]
        bans, now = await self.bans(question.service_name), self.clock()
        own = LiveVersion(
            version=question.version,
            deployment_id=question.deployment_id,
            workflow_id="",
            git_commit_sha=question.git_commit_sha,
            since=now,
        )
        asked = [own, *question.versions]
        about = [ban for ban in bans.items if any(ban.covers(each.version, each.git_commit_sha) for each in asked)]
        return OrderFacts(others=others, bans=about, agents=await self.answering(question.pool, _KIND))

    async def pushes(self, question: PushQuestion) -> Pushes:
        """See ``find_pushes``."""
        found: list[Push] = []
        for deployment_id in question.deployment_ids[: MAX_ASKED + 1]:
            with suppress(NotFound):
                found += _pushed(await self.deployment(deployment_id))
        return Pushes(items=found)


def ahead_in(state: EnvironmentState) -> Iterator[Ahead]:
    """What is live, what is being rolled out, and who waits, the newest in line first."""
    where = state.environment
    if state.live is not None:
        yield _ahead(state.live, f"is live in {where}")
    holder = state.holder
    if holder is not None and (state.live is None or holder.deployment_id != state.live.deployment_id):
        yield _ahead(holder, f"is being rolled out in {where}")
    for ticket in reversed(state.queue):
        yield _ahead(ticket, f"is in line for {where}")


def _ahead(version: LiveVersion | Holder | Ticket, place: str) -> Ahead:
    return Ahead(
        deployment_id=version.deployment_id,
        version=version.version,
        git_commit_sha=version.git_commit_sha,
        place=place,
    )


def _pushed(deployment: Deployment) -> Iterator[Push]:
    """Only what a webhook told: its signature is a forge's, and what others write beside a start is their own word."""
    before, said = deployment.metadata.get(PUSH_BEFORE), deployment.metadata.get(PUSH_FORCED)
    genuine = deployment.created_by.startswith(_WEBHOOK) and deployment.start_doubt is None
    if genuine and before and said == "false":
        yield Push(before=before, after=deployment.git_commit_sha)
