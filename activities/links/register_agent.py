"""Link RegisterAgent: an agent's record is made, or made again."""

from typing import Final

from codeuchain import Context

from activities.agents.changes import TRIES, Change, made_events, too_busy
from activities.agents.heartbeats import first_beat
from activities.agents.names import check_name
from activities.chaining.links import require
from activities.clock import Clock
from activities.events.signatures import Signature
from activities.links.agent_contexts import AgentRegistrationContext
from activities.stores.interfaces import AgentStore
from workflows.contracts.agents import Agent, AgentRegistration, AgentStatus

REGISTERED: Final = "agent.registered"
_TOLD: Final = ("pool", "labels", "capacity", "hostname")
"""What the audit trail tells when it changes; an agent registers again twice a day, with nothing to tell."""


class RegisterAgent:
    """``registration``, ``signed`` and, when it has one, ``credential_id`` → ``agent``. Raises Conflict while another
    host holds the name, Unavailable.
    """

    def __init__(self, store: AgentStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def call(self, ctx: Context[AgentRegistrationContext]) -> Context[AgentRegistrationContext]:
        """Optimistic: of two hosts that register a free name at once, the second one finds the first."""
        registration, signed = require(ctx, "registration", AgentRegistration), require(ctx, "signed", Signature)
        for _ in range(TRIES):
            present = await self._store.get(registration.agent_id)
            now = self._clock()
            check_name(present, registration, now)
            made = _registered(registration, present, signed, now, ctx.get("credential_id"))
            if await self._store.put(made.agent, made_events(made, signed, now)):
                await self._begin_anew(made.agent, present, now)
                return ctx.insert("agent", made.agent)
        raise too_busy(registration.agent_id)

    async def _begin_anew(self, agent: Agent, present: Agent | None, now: int) -> None:
        """What the last heartbeat of an earlier run said, ``draining`` above all, is not true of this one."""
        if present is not None and present.beat is not None and agent.beat is None and agent.pool == present.pool:
            await self._store.beat([first_beat(agent, now)])


def _registered(
    registration: AgentRegistration, present: Agent | None, signed: Signature, now: int, credential_id: str | None
) -> Change:
    """A pause is somebody's word about the host and stays; a drain is about the run that has ended."""
    gone = present is None or present.status(now) is AgentStatus.OFFLINE
    agent = Agent(
        **registration.model_dump(),
        registered_at=now,
        registered_by=signed.by,
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
    details = {**changed, **({"from_pool": before["pool"]} if moved else {})}
    return Change(agent, REGISTERED, f"{agent.agent_id} is in pool {agent.pool}{moved}", details)
