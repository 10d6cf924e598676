"""The registry of agents and pools, for the API: what is asked of it and what changes it, each by its chain.

The API's process writes these records itself: an agent repeats what it says every 15 s, so no workflow is needed for it
to last. Deliberately not here: collecting heartbeats and answering them (``api.agents.heartbeats``), tokens
(``api.auth``).
"""

import builtins
from collections.abc import Sequence
from typing import cast

from codeuchain import Middleware

from activities.agents.chains import (
    build_admit_agent_chain,
    build_deregister_agent_chain,
    build_drain_agent_chain,
    build_list_agents_chain,
    build_list_pool_agents_chain,
    build_pause_agent_chain,
    build_record_heartbeats_chain,
    build_register_agent_chain,
    build_resume_agent_chain,
    build_retrieve_agent_chain,
    build_update_agent_status_chain,
)
from activities.agents.heartbeats import ReceivedHeartbeat
from activities.chaining.chains import NamedChain, run_chain
from activities.clock import Clock, epoch_millis
from activities.pools.chains import (
    build_list_demands_chain,
    build_list_pools_chain,
    build_pin_sealing_keys_chain,
    build_retrieve_pool_chain,
    build_scale_pool_chain,
)
from activities.stores.interfaces.agents import AgentStore
from workflows.contracts.agents import (
    Agent,
    AgentPage,
    AgentQuery,
    AgentRegistration,
    AgentStatus,
    Pool,
    PoolBounds,
    RequirementDemand,
)
from workflows.contracts.who import WhoAndWhy

_AGENTS = cast("type[builtins.list[Agent]]", builtins.list)
_POOLS = cast("type[builtins.list[Pool]]", builtins.list)
_DEMANDS = cast("type[builtins.list[RequirementDemand]]", builtins.list)


class AgentRegistry:
    """Agents and pools. Safe for concurrent use. Every method raises Unavailable when the store does not answer.

    Whoever changes something signs for it; what changes nothing leaves no event. How an agent is, is worked out when
    somebody looks: ``agent.status(now)``.
    """

    def __init__(self, agents: AgentStore, clock: Clock = epoch_millis, middleware: Sequence[Middleware] = ()) -> None:
        self._admit = build_admit_agent_chain(agents, middleware, clock=clock)
        self._register = build_register_agent_chain(agents, middleware, clock=clock)
        self._heartbeats = build_record_heartbeats_chain(agents, middleware, clock=clock)
        self._set_status = build_update_agent_status_chain(agents, middleware, clock=clock)
        self._drain = build_drain_agent_chain(agents, middleware, clock=clock)
        self._pause = build_pause_agent_chain(agents, middleware, clock=clock)
        self._resume = build_resume_agent_chain(agents, middleware, clock=clock)
        self._deregister = build_deregister_agent_chain(agents, middleware, clock=clock)
        self._retrieve = build_retrieve_agent_chain(agents, middleware)
        self._list = build_list_agents_chain(agents, middleware)
        self._members = build_list_pool_agents_chain(agents, middleware, clock=clock)
        self._pool = build_retrieve_pool_chain(agents, middleware)
        self._pools = build_list_pools_chain(agents, middleware)
        self._scale = build_scale_pool_chain(agents, middleware, clock=clock)
        self._pin = build_pin_sealing_keys_chain(agents, middleware, clock=clock)
        self._demands = build_list_demands_chain(agents, middleware)

    async def admit(self, registration: AgentRegistration) -> Agent | None:
        """The record that ``register`` would replace, or None for a new name: to be asked before a token is made.

        Raises Conflict as ``register`` does. Changes nothing.
        """
        question = {"registration": registration}
        found = await run_chain(self._admit, question, result="admitted", kind=_AGENTS)
        return found[0] if found else None

    async def register(self, registration: AgentRegistration, *, credential_id: str | None, signed: WhoAndWhy) -> Agent:
        """Make the agent's record, or make it again, and make its pool known.

        Raises Conflict, with ``hostname``, ``seen_at`` and ``retry_after_seconds``, while the name belongs to an agent
        that is alive: one with another ``instance``, or with the same one on another host. A pause holds on; a drain
        is over when the run that was drained is. With another pool, the agent leaves the earlier one in the same
        write. ``agent.registered`` is told for a new agent and when pool, labels, capacity or host change.
        """
        asked = {"registration": registration, "signed": signed, "credential_id": credential_id}
        return await run_chain(self._register, asked, result="agent", kind=Agent)

    async def heartbeats(self, received: Sequence[ReceivedHeartbeat]) -> builtins.list[Agent]:
        """Keep many heartbeats in few requests; the agents as they are known now, to go on from.

        One that was overtaken changes nothing (see ``heartbeats.is_late``). The records are not read for it, unless an
        agent says something new of itself: one that turns out to be gone then is left out.
        """
        if not received:
            return []
        return await run_chain(self._heartbeats, {"received": [*received]}, result="recorded", kind=_AGENTS)

    async def set_status(self, agent_id: str, status: AgentStatus, *, signed: WhoAndWhy) -> Agent:
        """HEALTHY resumes it, DRAINING drains it, OFFLINE deregisters it.

        Raises ValidationFailed for DEGRADED, NotFound, InvalidState.
        """
        asked = {"agent_id": agent_id, "status": status, "signed": signed}
        return await run_chain(self._set_status, asked, result="agent", kind=Agent)

    async def drain(self, agent_id: str, *, signed: WhoAndWhy) -> Agent:
        """It finishes what it runs and ends. Raises NotFound, InvalidState for one that is deregistered."""
        return await self._change(self._drain, agent_id, signed)

    async def pause(self, agent_id: str, *, note: str, seconds: int | None, signed: WhoAndWhy) -> Agent:
        """It takes nothing new for so long, or until it is resumed. Raises as ``drain``."""
        asked = {"agent_id": agent_id, "note": note, "seconds": seconds, "signed": signed}
        return await run_chain(self._pause, asked, result="agent", kind=Agent)

    async def resume(self, agent_id: str, *, signed: WhoAndWhy) -> Agent:
        """It is neither paused nor to drain any more. Raises as ``drain``."""
        return await self._change(self._resume, agent_id, signed)

    async def deregister(self, agent_id: str, *, signed: WhoAndWhy) -> Agent:
        """It is OFFLINE at once and its name is free. Its record is shown for a day. Raises NotFound."""
        return await self._change(self._deregister, agent_id, signed)

    async def get(self, agent_id: str) -> Agent:
        """The record with its last heartbeat, also of a deregistered agent. Raises NotFound."""
        return await run_chain(self._retrieve, {"agent_id": agent_id}, result="agent", kind=Agent)

    async def list(self, query: AgentQuery) -> AgentPage:
        """One page, by id. Raises ValidationFailed for a cursor that this query did not hand out."""
        return await run_chain(self._list, {"query": query}, result="page", kind=AgentPage)

    async def members(self, pool: str | None = None) -> builtins.list[Agent]:
        """All agents of a pool, or of every pool, by id. Those that are gone for good are forgotten on the way."""
        return await run_chain(self._members, {"pool": pool}, result="agents", kind=_AGENTS)

    async def pool(self, name: str) -> Pool:
        """What is kept of a pool. Raises NotFound for one of which nothing was ever said."""
        return await run_chain(self._pool, {"name": name}, result="pool", kind=Pool)

    async def pools(self) -> builtins.list[Pool]:
        """All pools, by name."""
        return await run_chain(self._pools, {}, result="pools", kind=_POOLS)

    async def scale(self, name: str, bounds: PoolBounds, *, signed: WhoAndWhy) -> Pool:
        """Set a pool's bounds; the pool need not have an agent yet. Raises ValidationFailed."""
        asked = {"name": name, "bounds": bounds, "signed": signed}
        return await run_chain(self._scale, asked, result="pool", kind=Pool)

    async def pin_sealing_keys(self, name: str, keys: Sequence[str], *, signed: WhoAndWhy) -> Pool:
        """To which keys values for the pool are sealed, the one that is used first; none: to no key."""
        asked = {"name": name, "keys": list(keys), "signed": signed}
        return await run_chain(self._pin, asked, result="pool", kind=Pool)

    async def demands(self, pool: str) -> builtins.list[RequirementDemand]:
        """For which labels jobs of the pool wait, or waited in the last 7 days; the latest first, at most 100."""
        return await run_chain(self._demands, {"name": pool}, result="demands", kind=_DEMANDS)

    async def _change(self, chain: NamedChain, agent_id: str, signed: WhoAndWhy) -> Agent:
        return await run_chain(chain, {"agent_id": agent_id, "signed": signed}, result="agent", kind=Agent)
