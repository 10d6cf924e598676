"""What a heartbeat becomes, and which ones come too late to count. Pure.

Deliberately not here: collecting them (``api.agents.heartbeats``) and what the agent is answered.
"""

from dataclasses import dataclass

from workflows.contracts.agents import LATE_SECONDS, MOST_AHEAD, Agent, AgentBeat, Heartbeat


@dataclass(frozen=True, slots=True)
class ReceivedHeartbeat:
    """A heartbeat, from an agent as it was known then, and when it came by the server's clock (epoch ms)."""

    agent: Agent
    heartbeat: Heartbeat
    at: int

    def beat(self) -> AgentBeat:
        """What is kept of it. The agent's clock decides nothing: it only shows how far it is off."""
        agent, heartbeat = self.agent, self.heartbeat
        return AgentBeat(
            agent_id=agent.agent_id,
            pool=agent.pool,
            instance=agent.instance,
            sequence=heartbeat.sequence,
            received_at=self.at,
            skew_ms=None if heartbeat.at is None else heartbeat.at - self.at,
            cpu_percent=heartbeat.cpu_percent,
            memory_percent=heartbeat.memory_percent,
            disk_percent=heartbeat.disk_percent,
            load=heartbeat.load,
            running=heartbeat.running,
            accepting=heartbeat.accepting,
            draining=heartbeat.draining,
            quarantined_until=heartbeat.quarantined_until,
            quarantine_failures=heartbeat.quarantine_failures,
            quarantine_reason=heartbeat.quarantine_reason,
        )

    def facts(self) -> dict[str, object]:
        """What it says of its agent that the record says otherwise."""
        heartbeat, agent = self.heartbeat, self.agent
        said = {"labels": heartbeat.labels, "region": heartbeat.region, "version": heartbeat.version}
        return {name: value for name, value in said.items() if value not in (None, getattr(agent, name))}


def first_beat(agent: Agent, now: int) -> AgentBeat:
    """What is kept of an agent that has just registered, until its first heartbeat, which is newer in any case."""
    return AgentBeat(agent_id=agent.agent_id, pool=agent.pool, instance=agent.instance, sequence=-1, received_at=now)


def is_late(known: AgentBeat | None, heartbeat: AgentBeat) -> bool:
    """True for a heartbeat that a newer one of the same instance has overtaken: it changes nothing.

    An agent that was started anew may count from 0 again. What overtakes does so within seconds, so a lower number
    after a long silence is a new count; otherwise such an agent would be taken for lost until it caught up.
    """
    return known is not None and _recent(known, heartbeat) and heartbeat.sequence <= known.sequence


def is_too_far_ahead(known: AgentBeat | None, heartbeat: AgentBeat) -> bool:
    """True for a number that would make all that the agent sends next late."""
    if known is None or known.sequence < 0:  # the first of a registration may begin anywhere
        return False
    return _recent(known, heartbeat) and heartbeat.sequence > known.sequence + MOST_AHEAD


def _recent(known: AgentBeat, heartbeat: AgentBeat) -> bool:
    """Of the same instance, and a moment ago."""
    silent = heartbeat.received_at - known.received_at
    return known.instance == heartbeat.instance and silent < LATE_SECONDS * 1000
