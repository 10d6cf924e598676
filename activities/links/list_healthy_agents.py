"""Link ListHealthyAgents: those of the agents that are well."""

from typing import cast

from codeuchain import Context

from activities.chaining.links import require
from activities.clock import Clock
from activities.links.agent_contexts import AgentReadContext
from workflows.contracts.agents import Agent, AgentStatus


class ListHealthyAgents:
    """``agents`` → ``agents`` whose status is HEALTHY now."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def call(self, ctx: Context[AgentReadContext]) -> Context[AgentReadContext]:
        """Without I/O: how an agent is follows from its last heartbeat."""
        now = self._clock()
        agents = cast("list[Agent]", require(ctx, "agents", list))
        return ctx.insert("agents", [agent for agent in agents if agent.status(now) is AgentStatus.HEALTHY])
