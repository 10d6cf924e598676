"""The agents and the demands of each pool as this process knows them: read together, a few seconds old at most.

What this process changes or hears itself is in it at once. Deliberately not here: heartbeats on their way to the
store (``heartbeats``) and what is made of the numbers (``pool_views``).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from api.http.cached import Cached
from workflows.contracts.agents import Agent, RequirementDemand
from workflows.contracts.labels import unmet

READ_AGAIN_SECONDS: Final = 3.0
HEARD_SECONDS: Final = 10.0
"""So old may be what a heartbeat is answered from: an agent learns what another API process was told 15 s later anyway.
"""
_WRITTEN_SECONDS: Final = 60.0
"""Longer than a reading takes."""
_KEPT_MEETINGS: Final = 1000


class Registry(Protocol):
    """What is needed of ``AgentRegistry``. Every method raises Unavailable."""

    async def get(self, agent_id: str) -> Agent:
        """The record with its last heartbeat. Raises NotFound."""
        ...

    async def members(self, pool: str | None = None) -> Sequence[Agent]:
        """All agents of a pool."""
        ...

    async def demands(self, pool: str) -> Sequence[RequirementDemand]:
        """What the jobs of a pool demand of agents."""
        ...


@dataclass(slots=True)
class Demands:
    """The demands of a pool, and for each set of labels those that it meets: most agents of a pool look alike."""

    items: Sequence[RequirementDemand]
    _met: dict[frozenset[tuple[str, str]], list[list[str]]] = field(
        default_factory=dict[frozenset[tuple[str, str]], list[list[str]]]
    )

    def met_by(self, labels: dict[str, str]) -> list[list[str]]:
        """Those that an agent with these labels meets."""
        if not self.items:
            return []
        key = frozenset(labels.items())
        found = self._met.get(key)
        if found is None:
            found = [each.requires for each in self.items if not unmet(labels, each.requires)]
            if len(self._met) < _KEPT_MEETINGS:
                self._met[key] = found
        return found


class Roster:
    """For one event loop. Every method raises Unavailable when the store does not answer."""

    def __init__(
        self, registry: Registry, *, seconds: float = READ_AGAIN_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry, self._clock = registry, clock
        self._pools = Cached(self._read, seconds, clock=clock)
        self._demands = Cached(self._read_demands, seconds, clock=clock)
        self._pool_of: dict[str, str] = {}
        self._written: dict[str, tuple[Agent, float]] = {}

    async def agents(self, pool: str) -> Sequence[Agent]:
        """All agents of a pool, by id."""
        return list((await self._pools.get(pool)).values())

    async def demands(self, pool: str) -> Demands:
        """What its jobs demand."""
        return await self._demands.get(pool)

    async def agent(self, agent_id: str) -> Agent:
        """One agent's record, for its heartbeat. Raises NotFound."""
        pool = self._pool_of.get(agent_id)
        found = None if pool is None else (await self._pools.get(pool, seconds=HEARD_SECONDS)).get(agent_id)
        return found or await self.reread(agent_id)

    async def reread(self, agent_id: str) -> Agent:
        """One agent's record as it is now. Raises NotFound."""
        agent = await self._registry.get(agent_id)
        self._enter(agent)
        return agent

    def changed(self, agent: Agent) -> None:
        """This process wrote the record: whoever asks next finds it so. Nothing is read again for it: of ten thousand
        agents one or the other registers all the time.
        """
        now = self._clock()
        while self._written and next(iter(self._written.values()))[1] < now - _WRITTEN_SECONDS:
            del self._written[next(iter(self._written))]
        self._written.pop(agent.agent_id, None)
        self._written[agent.agent_id] = agent, now
        self._enter(agent)

    def _enter(self, agent: Agent) -> None:
        before = self._pools.known(self._pool_of.get(agent.agent_id, agent.pool))
        if before is not None:
            before.pop(agent.agent_id, None)
        known = self._pools.known(agent.pool)
        if known is not None:
            known[agent.agent_id] = agent
        self._pool_of[agent.agent_id] = agent.pool

    async def _read(self, pool: str) -> dict[str, Agent]:
        agents = {agent.agent_id: agent for agent in await self._registry.members(pool)}
        for agent, _ in self._written.values():  # the reading may have begun before
            read = agents.get(agent.agent_id)
            if read is not None and read.revision < agent.revision:
                del agents[agent.agent_id]
            if agent.pool == pool and (read is None or read.revision < agent.revision):
                agents[agent.agent_id] = agent
        self._pool_of.update(dict.fromkeys(agents, pool))
        return agents

    async def _read_demands(self, pool: str) -> Demands:
        return Demands(await self._registry.demands(pool))
