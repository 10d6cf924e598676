"""Agents and pools as callers send and see them. The command line reads these models too.

Deliberately not here: how the numbers of a pool come about (``pool_views``, ``capacity``).
"""

from typing import Any, Final, Self

from pydantic import Field, model_validator

from api.wording import counted
from workflows.contracts.agents import (
    Agent,
    AgentName,
    AgentStatus,
    LabelKey,
    LabelValue,
    Note,
    PoolBounds,
    PoolView,
    PublicKey,
)
from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.commands import Reason
from workflows.contracts.fields import Millis

SKEW_TOLD_SECONDS: Final = 5
"""A clock that is further off is told in words: nothing here depends on it, but times in logs look wrong."""
MAX_PAUSE_SECONDS: Final = 30 * 86_400


class AgentView(Tolerant):
    """An agent and how it is now. ``words``: why it is not simply healthy and working, for people.

    ``seconds_since_heard`` is by the server's clock; ``skew_ms`` is how far the agent's clock is ahead of it.
    """

    agent_id: AgentName
    pool: str
    status: AgentStatus
    accepting: bool = Field(description="It takes new jobs now.")
    words: list[str] = Field(default_factory=list[str])
    seconds_since_heard: float
    skew_ms: int | None = None
    capacity: int
    busy: int = 0
    running: list[str] = Field(default_factory=list[str])
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict[str, str])
    region: str = ""
    hostname: str = ""
    version: str = ""
    via: str = "temporal"
    instance: str = ""
    public_keys: list[str] = Field(default_factory=list[str])
    tasks: list[str] = Field(default_factory=list[str], description="Kinds of questions that it answers besides jobs.")
    cpu_percent: float | None = None
    memory_percent: float | None = None
    disk_percent: float | None = None
    load: float | None = None
    draining: bool = False
    paused: bool = False
    paused_until: Millis | None = Field(default=None, description="0: until somebody resumes it.")
    note: str | None = None
    quarantined_until: Millis | None = None
    quarantine_failures: int = 0
    quarantine_reason: str | None = None
    jobs_completed: int = Field(default=0, description="Jobs that this name has completed with success.")
    last_heartbeat: Millis | None = Field(default=None, description="When it came; null before the first.")
    registered_at: Millis
    registered_by: str = ""
    deregistered_at: Millis | None = None


class AgentViews(Tolerant):
    """One page of agents, by id."""

    items: list[AgentView]
    next_cursor: str | None = None


class PoolViews(Tolerant):
    """All pools, by name."""

    items: list[PoolView]


class GatewayAddress(Frozen):
    """Where an agent that cannot reach Temporal itself connects, and the certificate authority to trust there."""

    address: str
    ca_pem: str | None = None


class Registered(Frozen):
    """The answer to a registration. ``token`` is told this once; it opens the API and the gateway for this agent."""

    agent: AgentView
    token: str
    token_expires_at: Millis | None = None
    heartbeat_seconds: int
    gateway: GatewayAddress | None = None


class ReasonRequest(Frozen):
    """Why; kept in the audit trail."""

    reason: Reason | None = None


class PauseRequest(Frozen):
    """Take nothing new, for a time or until somebody resumes it; the note is shown beside the agent."""

    note: Note | None = None
    seconds: int | None = Field(default=None, ge=1, le=MAX_PAUSE_SECONDS)


class StatusRequest(Frozen):
    """HEALTHY: work again, after a drain or a pause. DRAINING: finish and end. OFFLINE: deregister."""

    status: AgentStatus
    reason: Reason | None = None


class SealingKeysRequest(Frozen):
    """The public keys (base64) to which values for the pool are sealed, the one to use first; none: to no key."""

    keys: list[PublicKey] = Field(max_length=8)
    reason: Reason | None = None


class ScaleRequest(PoolBounds):
    """The bounds of a pool, as a whole: what is left out gets its default."""

    min_agents: int = Field(ge=0, le=10_000)
    max_agents: int = Field(ge=0, le=10_000)
    reason: Reason | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_agents > self.max_agents:
            raise ValueError("min_agents must not be above max_agents")
        return self

    def bounds(self) -> PoolBounds:
        """Without the reason."""
        return PoolBounds(**self.model_dump(exclude={"reason"}))


def agent_view(agent: Agent, now: int, jobs_completed: int) -> AgentView:
    """How the agent is at ``now``, in epoch milliseconds."""
    beat = agent.beat
    fields: dict[str, Any] = agent.model_dump(include=_OF_AGENT)
    if beat is not None:
        fields |= {**beat.model_dump(include=_OF_BEAT), "last_heartbeat": beat.received_at}
    fields |= {
        "status": agent.status(now),
        "jobs_completed": jobs_completed,
        "accepting": agent.accepts(now),
        "words": words(agent, now),
        "seconds_since_heard": round(max(0, now - agent.seen_at) / 1000, 1),
        "busy": len(beat.running) if beat is not None else 0,
        "draining": agent.draining or (beat is not None and beat.draining),
        "paused": agent.paused(now),
    }
    return AgentView.model_validate(fields)


def words(agent: Agent, now: int) -> list[str]:
    """Why the agent is not simply healthy and working."""
    silent = max(0, now - agent.seen_at) // 1000
    status, beat, said = agent.status(now), agent.beat, list[str]()
    if agent.deregistered_at is not None:
        said.append("deregistered")
    elif status is AgentStatus.OFFLINE:
        said.append(f"not heard of for {silent} s")
    elif status is AgentStatus.DRAINING:
        said.append(f"drains: {counted(len(beat.running) if beat is not None else 0, 'job')} to finish")
    elif status is AgentStatus.DEGRADED:
        said += [f"its heartbeat is late: not heard of for {silent} s"] if agent.late(now) else []
        said += agent.over_limits()
    if agent.paused(now):
        until = f"for {_seconds(agent.paused_until - now)} s more" if agent.paused_until else "until resumed"
        said.append(f"paused {until}" + (f": {agent.note}" if agent.note else ""))
    if beat is not None and agent.quarantined(now):
        why = f": {beat.quarantine_reason}" if beat.quarantine_reason else ""
        rest = _seconds((beat.quarantined_until or 0) - now)
        said.append(f"quarantined for {rest} s more after {beat.quarantine_failures} failures of its own{why}")
    if beat is not None and abs(beat.skew_ms or 0) >= SKEW_TOLD_SECONDS * 1000:
        side = "ahead" if (beat.skew_ms or 0) > 0 else "behind"
        said.append(f"its clock is {abs(beat.skew_ms or 0) / 1000:.0f} s {side}")
    return said


def _seconds(millis: int) -> int:
    """Rounded up."""
    return -(-millis // 1000)


_OF_BEAT: Final = {
    "skew_ms", "running", "cpu_percent", "memory_percent", "disk_percent", "load",
    "quarantined_until", "quarantine_failures", "quarantine_reason",
}  # fmt: skip
_OF_AGENT: Final = set(AgentView.model_fields) & set(Agent.model_fields)
