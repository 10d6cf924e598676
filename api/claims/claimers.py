"""What the registry says of agents that claim over HTTP: which queues they may poll, and why they may not at all.

An agent that never registered may claim too, if its key may: nobody sees it, and nobody can pause or drain it. One
that registered and sends no heartbeats of its own is known to be there by its claims and its leases.
Deliberately not here: the claim itself (``claims``), whose key may do what (``auth``).
"""

from typing import Final

from api.agents.quarantines import QuarantineEntry
from api.claims.ports import ClaimPorts
from workflows.contracts.agents import HEARTBEAT_SECONDS, MAX_SEQUENCE, Agent, Heartbeat
from workflows.contracts.claims import ClaimRequest
from workflows.contracts.errors import InvalidState, NotFound
from workflows.contracts.ids import pool_queue
from workflows.contracts.statuses import Outcome

_SILENT_MILLIS: Final = (HEARTBEAT_SECONDS + 4) * 1000
"""An agent that sends its own heartbeats is never silent for so long."""


async def queues_of(ports: ClaimPorts, request: ClaimRequest) -> list[str]:
    """The pool's queue and those of the demands that the agent meets. Raises InvalidState and Unavailable."""
    agent = await admit(ports, request)
    labels = {**agent.labels, **request.labels} if agent is not None else request.labels
    demands = (await ports.fleet.roster.demands(request.pool)).met_by(labels)
    return [pool_queue(request.pool), *(pool_queue(request.pool, requires) for requires in demands)]


async def admit(ports: ClaimPorts, request: ClaimRequest) -> Agent | None:
    """The agent, when it is registered. Raises InvalidState when it may take no job now, and Unavailable."""
    now = ports.clock()
    quarantine = ports.claims.quarantines.of(request.agent_id)
    if quarantine is not None:
        raise _quarantined(request.agent_id, quarantine.failures, quarantine.until - now)
    agent = await _known(ports, request.agent_id)
    if agent is None:
        return None
    _require_accepting(agent, request.pool, now)
    await _alive(ports, agent, [])
    return agent


async def seen_working(ports: ClaimPorts, agent_id: str, job_id: str) -> None:
    """It renewed a lease. Raises Unavailable."""
    agent = await _known(ports, agent_id)
    if agent is not None:
        await _alive(ports, agent, [job_id])


async def reported(ports: ClaimPorts, agent_id: str, outcome: Outcome, why: str | None) -> None:
    """An attempt of this agent's has ended; show the quarantine that follows, if one does. Raises Unavailable."""
    quarantine = ports.claims.quarantines.reported(agent_id, outcome)
    if quarantine is None:
        return
    agent = await _known(ports, agent_id)
    if agent is not None:
        await ports.fleet.heartbeats.take(agent, _beat(agent, [], quarantine, why), None)


async def _known(ports: ClaimPorts, agent_id: str) -> Agent | None:
    try:
        return ports.fleet.heartbeats.seen(await ports.fleet.roster.agent(agent_id))
    except NotFound:
        return None


async def _alive(ports: ClaimPorts, agent: Agent, running: list[str]) -> None:
    if ports.clock() - agent.seen_at > _SILENT_MILLIS:
        await ports.fleet.heartbeats.take(agent, _beat(agent, running), None)


def _beat(
    agent: Agent, running: list[str], quarantine: QuarantineEntry | None = None, why: str | None = None
) -> Heartbeat:
    """The next one of this agent, as far as we can say it."""
    return Heartbeat(
        sequence=min(agent.beat.sequence + 1, MAX_SEQUENCE) if agent.beat is not None else 0,
        running=running,
        quarantined_until=quarantine.until if quarantine is not None else None,
        quarantine_failures=quarantine.failures if quarantine is not None else 0,
        quarantine_reason=why,
    )


def _require_accepting(agent: Agent, pool: str, now: int) -> None:
    name = agent.agent_id
    if agent.deregistered_at is not None:
        raise InvalidState(f"Agent {name} was deregistered: register it again with POST /api/agents/register.")
    if agent.pool != pool:
        raise InvalidState(
            f"Agent {name} is registered in pool {agent.pool}, not in {pool}: claim from its own pool, or register it"
            " again with the other one."
        )
    if agent.draining or (agent.beat is not None and agent.beat.draining):
        raise InvalidState(f"Agent {name} is draining: it may finish what it has and gets nothing new.")
    if agent.paused(now):
        until = f"for {(agent.paused_until - now) // 1000 + 1} s more" if agent.paused_until else "until it is resumed"
        raise InvalidState(f"Agent {name} is paused {until}{f' ({agent.note})' if agent.note else ''}.")
    if agent.beat is not None and agent.quarantined(now):
        raise _quarantined(name, agent.beat.quarantine_failures, (agent.beat.quarantined_until or now) - now)


def _quarantined(name: str, failures: int, millis: int) -> InvalidState:
    times = "once" if failures == 1 else f"{failures} times in a row"
    return InvalidState(
        f"Agent {name} is in quarantine for {millis // 1000 + 1} s more: it could not run its job {times}. Look at its"
        " host; the first job that it runs clears this."
    )
