"""Link NotePool: an agent's registration makes its pool known, and the keys that its agents open sealed values with."""

from typing import Final

from codeuchain import Context

from activities.agents.pool_changes import change_pool
from activities.chaining.links import require
from activities.clock import Clock
from activities.links.agent_contexts import AgentRegistrationContext
from activities.stores.interfaces import AgentStore
from workflows.contracts.agents import Agent, Pool
from workflows.contracts.deployments import AuditEvent

_MAX_KEYS: Final = 8


class NotePool:
    """``agent`` → nothing new. Raises Unavailable; the agent then registers again, and it is done then."""

    def __init__(self, store: AgentStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def call(self, ctx: Context[AgentRegistrationContext]) -> Context[AgentRegistrationContext]:
        """One read, and a write only when there is something new."""
        agent = require(ctx, "agent", Agent)

        def change(present: Pool | None, now: int) -> tuple[Pool, list[AuditEvent]] | None:
            known = present.public_keys if present is not None else []
            keys = list(dict.fromkeys([*agent.public_keys, *known]))[:_MAX_KEYS]
            if present is not None and keys == known:
                return None
            pool = present or Pool(name=agent.pool, created_at=now, updated_at=now, updated_by=agent.registered_by)
            return pool.model_copy(update={"public_keys": keys}), []

        await change_pool(self._store, self._clock, agent.pool, change)
        return ctx
