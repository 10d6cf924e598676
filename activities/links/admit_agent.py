"""Link AdmitAgent: whether an agent could register now, before a token is made for it."""

from codeuchain import Context

from activities.agents.names import check_name
from activities.chaining.links import require
from activities.clock import Clock
from activities.links.agent_contexts import AgentRegistrationContext
from activities.stores.interfaces import AgentStore
from workflows.contracts.agents import Agent, AgentRegistration


class AdmitAgent:
    """``registration`` → ``admitted``: the record of this name, none or one. Raises Conflict, Unavailable."""

    def __init__(self, store: AgentStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def call(self, ctx: Context[AgentRegistrationContext]) -> Context[AgentRegistrationContext]:
        """Changes nothing; RegisterAgent looks again, since another host can be faster."""
        registration = require(ctx, "registration", AgentRegistration)
        present = await self._store.get(registration.agent_id)
        check_name(present, registration, self._clock())
        found: list[Agent] = [] if present is None else [present]
        return ctx.insert("admitted", found)
