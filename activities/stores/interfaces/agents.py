"""What a store of agents and pools does."""

from collections.abc import Sequence
from typing import Protocol

from workflows.contracts.agents import Agent, AgentBeat, AgentPage, AgentQuery, Pool, RequirementDemand
from workflows.contracts.audit.events import AuditEvent


class AgentStore(Protocol):
    """Agents, their last heartbeats, pools, and the demands for labels that jobs of a pool have made.

    Records carry a ``revision``; a heartbeat is kept beside its agent's record and never touches it.
    """

    async def put(self, agent: Agent, events: Sequence[AuditEvent]) -> bool:
        """Store the record (without ``beat``) and its events, all or nothing.

        Condition ``revision_follows``: the stored revision is ``agent.revision - 1``, or there is none and it is 1.
        False, and nothing changed, otherwise; the same record again at the same revision is True.
        """
        ...

    async def get(self, agent_id: str) -> Agent | None:
        """The record with its last heartbeat; consistent reads."""
        ...

    async def of_pool(self, pool: str) -> list[Agent]:
        """All agents of a pool with their heartbeats. Its cost grows with the pool only."""
        ...

    async def beat(self, beats: Sequence[AgentBeat]) -> None:
        """Keep these heartbeats, many in one request; each replaces the agent's last one. At most one for an agent."""
        ...

    async def forget(self, agent_id: str, revision: int | None = None) -> None:
        """Remove the record and its heartbeat; with ``revision``, only as long as the record is that one."""
        ...

    async def put_pool(self, pool: Pool, events: Sequence[AuditEvent]) -> bool:
        """As ``put``, for a pool."""
        ...

    async def pool(self, name: str) -> Pool | None:
        """The pool's record, or None: a pool of which nothing was ever said."""
        ...

    async def pools(self) -> list[Pool]:
        """All pools, by name; a few hundred at most."""
        ...

    async def demand(self, pool: str, requires: Sequence[str], at: int) -> None:
        """Keep that a job of the pool demands these labels (normalised). Repeated demands refresh ``last_used_at``."""
        ...

    async def demands(self, pool: str) -> list[RequirementDemand]:
        """The demands of the last 7 days, the latest first, at most 100."""
        ...

    async def list(self, query: AgentQuery) -> AgentPage:
        """By id, with heartbeats. Reads no other pool's agents. Raises ValidationFailed for a foreign cursor."""
        ...
