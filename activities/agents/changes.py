"""How an agent's record is changed: by a pure change, under its revision, tried again when another one came between.

Deliberately not here: the heartbeats, which never touch the record (``heartbeats``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from activities.agents.names import no_such_agent
from activities.clock import Clock
from activities.events.trail import noted
from activities.pools.changes import TRIES
from activities.stores.interfaces.agents import AgentStore
from workflows.contracts.agents import Agent, AgentRegistration, AgentStatus
from workflows.contracts.audit.details import AgentPaused, AgentRegistered, Details
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.types import EventType
from workflows.contracts.errors import InvalidState, Unavailable
from workflows.contracts.who import WhoAndWhy

_TOLD: Final = ("pool", "labels", "capacity", "hostname", "version", "region")
"""What the audit trail tells when it changes; an agent registers again twice a day, with nothing to tell."""


@dataclass(frozen=True, slots=True)
class Change:
    """The record as it will be, and what the audit trail says of it; ``what`` None is not worth an event."""

    agent: Agent
    what: EventType | Details | None
    message: str = ""


AgentChange = Callable[[Agent, int], Change | None]
"""From the record and the time (ms) to the change, or None when it is so already. Raises InvalidState."""


async def change_agent(store: AgentStore, clock: Clock, agent_id: str, signed: WhoAndWhy, change: AgentChange) -> Agent:
    """The record as it is afterwards. Raises NotFound, InvalidState, Unavailable."""
    for _ in range(TRIES):
        present = await store.get(agent_id)
        if present is None:
            raise no_such_agent(agent_id)
        now = clock()
        made = change(present, now)
        if made is None:
            return present
        agent = made.agent.model_copy(update={"revision": present.revision + 1})
        if await store.put(agent, made_events(made, signed, now)):
            return agent
    raise too_busy(agent_id)


def made_events(made: Change, signed: WhoAndWhy, now: int) -> list[AuditEvent]:
    """The event of a change, if it has one."""
    if made.what is None:
        return []
    agent = made.agent
    return [noted(made.what, signed, now, made.message, agent_id=agent.agent_id, pool=agent.pool)]


def too_busy(agent_id: str) -> Unavailable:
    """The error for a record that others change all the time."""
    return Unavailable(
        f"The record of agent {agent_id} changes faster than this change can be stored. Try again.", agent_id=agent_id
    )


def registered(
    registration: AgentRegistration, present: Agent | None, signed: WhoAndWhy, now: int, credential_id: str | None
) -> Change:
    """A pause is somebody's word about the host and stays; a drain is about the run that has ended."""
    gone = present is None or present.status(now) is AgentStatus.OFFLINE
    agent = Agent(
        **registration.model_dump(),
        registered_at=now,
        registered_by=signed.by or "",
        draining=present is not None and not gone and present.draining,
        paused_at=present.paused_at if present is not None else None,
        paused_until=present.paused_until if present is not None else None,
        note=present.note if present is not None else None,
        credential_id=credential_id,
        revision=present.revision + 1 if present is not None else 1,
        beat=present.beat if present is not None and not gone and present.pool == registration.pool else None,
    )
    before = present.model_dump() if present is not None and present.deregistered_at is None else {}
    changed = {name: value for name in _TOLD if (value := getattr(agent, name)) != before.get(name)}
    if not changed:
        return Change(agent, None)
    moved = f" instead of {before['pool']}" if before and "pool" in changed else ""
    what = AgentRegistered(**changed, **({"from_pool": before["pool"]} if moved else {}))
    return Change(agent, what, f"{agent.agent_id} is in pool {agent.pool}{moved}")


def drained(agent: Agent, now: int) -> Change | None:
    """It takes nothing new, finishes what it runs, and ends."""
    _check_registered(agent, "drained")
    if agent.draining:
        return None
    return Change(agent.model_copy(update={"draining": True}), EventType.AGENT_DRAINED, f"{agent.agent_id} is to drain")


def paused(agent: Agent, now: int, *, note: str, seconds: int | None) -> Change:
    """It takes nothing new for so long, or until somebody resumes it. A second pause replaces the first."""
    _check_registered(agent, "paused")
    until = 0 if seconds is None else now + seconds * 1000
    held = agent.model_copy(update={"paused_at": now, "paused_until": until, "note": note or None})
    how_long = "until it is resumed" if seconds is None else f"for {seconds} s"
    return Change(
        held,
        AgentPaused(seconds=seconds, note=note),
        f"{agent.agent_id} takes nothing new {how_long}{f': {note}' if note else ''}",
    )


def resumed(agent: Agent, now: int) -> Change | None:
    """Neither paused nor draining any more."""
    _check_registered(agent, "resumed")
    if not agent.draining and agent.paused_at is None:
        return None
    free = {"draining": False, "paused_at": None, "paused_until": None, "note": None}
    return Change(agent.model_copy(update=free), EventType.AGENT_RESUMED, f"{agent.agent_id} takes jobs again")


def deregistered(agent: Agent, now: int) -> Change | None:
    """It has ended, or is to be known no longer; its name is free."""
    if agent.deregistered_at is not None:
        return None
    gone = agent.model_copy(update={"deregistered_at": now})
    return Change(gone, EventType.AGENT_DEREGISTERED, f"{agent.agent_id} left pool {agent.pool}")


def _check_registered(agent: Agent, how: str) -> None:
    if agent.deregistered_at is not None:
        raise InvalidState(
            f"Agent {agent.agent_id} was not {how}: it is deregistered. It can be {how} when it has registered again.",
            agent_id=agent.agent_id,
        )
