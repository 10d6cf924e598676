"""Link ForgetGoneAgents: records of agents that are gone for good are removed by whoever comes across them.

Hosts come and go under new names; without this a pool would be full of them, and nothing else needs to run for it.
"""

from typing import Final, cast

from codeuchain import Context

from activities.bounded import gather_bounded
from activities.chaining.links import require
from activities.clock import Clock
from activities.links.agent_contexts import AgentReadContext
from activities.stores.interfaces import AgentStore
from workflows.contracts.agents import Agent

DEREGISTERED_MILLIS: Final = 24 * 3600 * 1000
"""So long a deregistered agent is still shown."""
SILENT_MILLIS: Final = 7 * 24 * 3600 * 1000
"""So long a lost one is, whose host may come back."""
_AT_MOST: Final = 25
"""So many at once, that no reader waits long for it."""


class ForgetGoneAgents:
    """``agents`` → ``agents`` without those that are gone for good. Raises Unavailable."""

    def __init__(self, store: AgentStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def call(self, ctx: Context[AgentReadContext]) -> Context[AgentReadContext]:
        """A record that changed since it was read is left alone."""
        agents, now = cast("list[Agent]", require(ctx, "agents", list)), self._clock()
        gone = [agent for agent in agents if _is_gone(agent, now)]
        if not gone:
            return ctx
        for failure in await gather_bounded(self._forget, gone[:_AT_MOST]):
            if failure is not None:
                raise failure
        return ctx.insert("agents", [agent for agent in agents if not _is_gone(agent, now)])

    async def _forget(self, agent: Agent) -> None:
        await self._store.forget(agent.agent_id, agent.revision)


def _is_gone(agent: Agent, now: int) -> bool:
    """A pause is kept: whoever set it wants it to hold when the host comes back."""
    if agent.paused(now):
        return False
    if agent.deregistered_at is not None:
        return now - agent.deregistered_at > DEREGISTERED_MILLIS
    return now - agent.seen_at > SILENT_MILLIS
