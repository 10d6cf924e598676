"""AgentStore in memory, for unit tests. No ``await`` stands between a read and the write that follows from it."""

import builtins
from collections.abc import Sequence

from activities.clock import Clock, epoch_millis
from activities.stores.demands import kept_demands
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.pages import by_name
from workflows.contracts.agents import Agent, AgentBeat, AgentPage, AgentQuery, Pool, RequirementDemand
from workflows.contracts.audit.events import AuditEvent


class MemoryAgentStore:
    """AgentStore in dicts. Records are kept as text, as everywhere. ``clock``: which demands are too old."""

    def __init__(self, events: MemoryEventStore, clock: Clock = epoch_millis) -> None:
        self._events, self._clock = events, clock
        self._agents: dict[str, str] = {}
        self._beats: dict[tuple[str, str], str] = {}
        self._pools: dict[str, str] = {}
        self._demands: dict[str, dict[tuple[str, ...], int]] = {}

    async def put(self, agent: Agent, events: Sequence[AuditEvent]) -> bool:
        """See AgentStore."""
        document = agent.model_copy(update={"beat": None}).model_dump_json()
        present = self._load(agent.agent_id)
        if agent.revision != (1 if present is None else present.revision + 1):
            return self._agents.get(agent.agent_id) == document
        self._events.keep(events)
        self._agents[agent.agent_id] = document
        if present is not None and present.pool != agent.pool:
            self._beats.pop((present.pool, agent.agent_id), None)
        return True

    async def get(self, agent_id: str) -> Agent | None:
        """See AgentStore."""
        return self._load(agent_id)

    async def of_pool(self, pool: str) -> builtins.list[Agent]:
        """See AgentStore."""
        return [agent for agent in self._all() if agent.pool == pool]

    async def beat(self, beats: Sequence[AgentBeat]) -> None:
        """See AgentStore."""
        for beat in beats:
            self._beats[beat.pool, beat.agent_id] = beat.model_dump_json()

    async def forget(self, agent_id: str, revision: int | None = None) -> None:
        """See AgentStore."""
        present = self._load(agent_id)
        if present is not None and revision in {None, present.revision}:
            del self._agents[agent_id]
            self._beats.pop((present.pool, agent_id), None)

    async def put_pool(self, pool: Pool, events: Sequence[AuditEvent]) -> bool:
        """See AgentStore."""
        present = await self.pool(pool.name)
        if pool.revision != (1 if present is None else present.revision + 1):
            return present == pool
        self._events.keep(events)
        self._pools[pool.name] = pool.model_dump_json()
        return True

    async def pool(self, name: str) -> Pool | None:
        """See AgentStore."""
        kept = self._pools.get(name)
        return None if kept is None else Pool.model_validate_json(kept)

    async def pools(self) -> builtins.list[Pool]:
        """See AgentStore."""
        return [Pool.model_validate_json(self._pools[name]) for name in sorted(self._pools)]

    async def demand(self, pool: str, requires: Sequence[str], at: int) -> None:
        """See AgentStore."""
        known = self._demands.setdefault(pool, {})
        known[tuple(requires)] = max(at, known.get(tuple(requires), 0))

    async def demands(self, pool: str) -> builtins.list[RequirementDemand]:
        """See AgentStore."""
        known = self._demands.get(pool, {})
        return kept_demands(((list(requires), at) for requires, at in known.items()), self._clock())

    async def list(self, query: AgentQuery) -> AgentPage:
        """See AgentStore."""
        agents = [agent for agent in self._all() if query.pool in {None, agent.pool}]
        page, cursor = by_name(query, agents, lambda agent: agent.agent_id)
        return AgentPage(items=page, next_cursor=cursor)

    def _all(self) -> builtins.list[Agent]:
        found = [self._load(agent_id) for agent_id in sorted(self._agents)]
        return [agent for agent in found if agent is not None]

    def _load(self, agent_id: str) -> Agent | None:
        document = self._agents.get(agent_id)
        if document is None:
            return None
        agent = Agent.model_validate_json(document)
        kept = self._beats.get((agent.pool, agent_id))
        return agent if kept is None else agent.model_copy(update={"beat": AgentBeat.model_validate_json(kept)})
