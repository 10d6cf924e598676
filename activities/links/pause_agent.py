"""Link PauseAgent: an agent takes nothing new for a while; what it runs goes on."""

from codeuchain import Context

from activities.agents.changes import Change, change_agent, paused
from activities.chaining.links import require
from activities.clock import Clock
from activities.events.signatures import Signature
from activities.links.agent_contexts import AgentChangeContext
from activities.stores.interfaces import AgentStore
from workflows.contracts.agents import Agent


class PauseAgent:
    """``agent_id``, ``signed``, ``note`` and, unless it is until somebody resumes it, ``seconds`` → ``agent``.

    Raises NotFound, InvalidState, Unavailable.
    """

    def __init__(self, store: AgentStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def call(self, ctx: Context[AgentChangeContext]) -> Context[AgentChangeContext]:
        """A second pause replaces the first one."""
        agent_id, signed = require(ctx, "agent_id", str), require(ctx, "signed", Signature)
        note, seconds = require(ctx, "note", str), ctx.get("seconds")

        def change(agent: Agent, now: int) -> Change:
            return paused(agent, now, note=note, seconds=seconds)

        return ctx.insert("agent", await change_agent(self._store, self._clock, agent_id, signed, change))
