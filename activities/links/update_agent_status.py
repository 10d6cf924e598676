"""Link UpdateAgentStatus: an agent, or somebody for it, says how it is to be seen."""

from collections.abc import Mapping
from typing import Final

from codeuchain import Context

from activities.agents.changes import AgentChange, change_agent, deregistered, drained, resumed
from activities.chaining.links import require
from activities.clock import Clock
from activities.events.signatures import Signature
from activities.links.agent_contexts import AgentChangeContext
from activities.stores.interfaces import AgentStore
from workflows.contracts.agents import AgentStatus
from workflows.contracts.errors import FieldError, ValidationFailed

_CHANGES: Final[Mapping[AgentStatus, AgentChange]] = {
    AgentStatus.HEALTHY: resumed,
    AgentStatus.DRAINING: drained,
    AgentStatus.OFFLINE: deregistered,
}


class UpdateAgentStatus:
    """``agent_id``, ``status``, ``signed`` → ``agent``: HEALTHY resumes it, DRAINING drains it, OFFLINE deregisters it.

    Raises ValidationFailed for DEGRADED, which is only ever found out; NotFound, InvalidState, Unavailable.
    """

    def __init__(self, store: AgentStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def call(self, ctx: Context[AgentChangeContext]) -> Context[AgentChangeContext]:
        """Repeating it changes nothing."""
        agent_id, signed = require(ctx, "agent_id", str), require(ctx, "signed", Signature)
        change = _CHANGES.get(require(ctx, "status", AgentStatus))
        if change is None:
            problem = f"must be one of {', '.join(_CHANGES)}; whether an agent is DEGRADED its heartbeats tell"
            raise ValidationFailed(
                f"The status of agent {agent_id} was not changed: it {problem}.",
                [FieldError(field="status", message=problem)],
            )
        return ctx.insert("agent", await change_agent(self._store, self._clock, agent_id, signed, change))
