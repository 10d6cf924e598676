"""Link RecordHeartbeats: many agents' heartbeats are kept together."""

from typing import Final, cast

from codeuchain import Context

from activities.agents.changes import Change, change_agent
from activities.agents.heartbeats import Received, is_late
from activities.bounded import gather_bounded
from activities.chaining.links import require
from activities.clock import Clock
from activities.events.signatures import Signature
from activities.links.agent_contexts import HeartbeatContext
from activities.stores.interfaces import AgentStore
from workflows.contracts.agents import Agent
from workflows.contracts.errors import NotFound

RELABELLED: Final = "agent.relabelled"


class RecordHeartbeats:
    """``received`` → ``recorded``: the agents as they are known now, without those whose record turned out to be gone.

    Of one agent's heartbeats the newest counts. One that came late changes nothing, and its agent is answered as it
    was. Raises Unavailable; then they may be given again.
    """

    def __init__(self, store: AgentStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def call(self, ctx: Context[HeartbeatContext]) -> Context[HeartbeatContext]:
        """One write for all; a read and a write more for an agent that says something new of itself."""
        received = cast("list[Received]", require(ctx, "received", list))
        agents: dict[str, Agent] = {}
        said: dict[str, Received] = {}
        for each in received:
            known = agents.setdefault(each.agent.agent_id, each.agent)
            beat = each.beat()
            if not is_late(known.beat, beat):
                agents[known.agent_id] = known.model_copy(update={"beat": beat})
                said[known.agent_id] = each
        beats = [beat for agent_id in said if (beat := agents[agent_id].beat) is not None]
        if beats:
            await self._store.beat(beats)
        telling = [each for each in said.values() if each.facts()]
        for each, told in zip(telling, await gather_bounded(self._take_over, telling), strict=True):
            known = agents.pop(each.agent.agent_id)
            if isinstance(told, Agent):
                agents[told.agent_id] = told.model_copy(update={"beat": known.beat})
            elif not isinstance(told, NotFound):
                raise told
        return ctx.insert("recorded", list(agents.values()))

    async def _take_over(self, each: Received) -> Agent:
        """Labels decide which jobs an agent gets, so the audit trail tells when they change."""
        facts = each.facts()
        agent_id, labels = each.agent.agent_id, facts.get("labels")

        def change(agent: Agent, now: int) -> Change | None:
            new = {name: value for name, value in facts.items() if value != getattr(agent, name)}
            if not new or agent.instance != each.agent.instance or agent.deregistered_at is not None:
                return None
            told = agent.model_copy(update=new)
            if "labels" not in new:
                return Change(told, None)
            return Change(told, RELABELLED, f"{agent_id} has other labels", {"labels": labels, "before": agent.labels})

        signed = Signature(by=agent_id, role="agent", via="agent")
        return await change_agent(self._store, self._clock, agent_id, signed, change)
