"""Links of agents: what a chain does with an agent's record, one step each; the contexts first."""

from collections.abc import Mapping
from typing import Final, TypedDict, cast

from codeuchain import Context

from activities.agents.changes import (
    TRIES,
    AgentChange,
    Change,
    change_agent,
    deregistered,
    drained,
    made_events,
    paused,
    resumed,
    too_busy,
)
from activities.agents.heartbeats import Received, first_beat, is_late
from activities.agents.names import check_name, no_such_agent
from activities.bounded import gather_bounded
from activities.chaining.links import StoreLink, require
from activities.clock import Clock
from activities.events.signatures import Signature
from activities.stores.interfaces import AgentStore
from workflows.contracts.agents import (
    Agent,
    AgentPage,
    AgentQuery,
    AgentRegistration,
    AgentStatus,
)
from workflows.contracts.errors import FieldError, NotFound, ValidationFailed

REGISTERED: Final = "agent.registered"
_TOLD: Final = ("pool", "labels", "capacity", "hostname")
"""What the audit trail tells when it changes; an agent registers again twice a day, with nothing to tell."""
RELABELLED: Final = "agent.relabelled"
_CHANGES: Final[Mapping[AgentStatus, AgentChange]] = {
    AgentStatus.HEALTHY: resumed,
    AgentStatus.DRAINING: drained,
    AgentStatus.OFFLINE: deregistered,
}
DEREGISTERED_MILLIS: Final = 24 * 3600 * 1000
"""So long a deregistered agent is still shown."""
SILENT_MILLIS: Final = 7 * 24 * 3600 * 1000
"""So long a lost one is, whose host may come back."""
_AT_MOST: Final = 25
"""So many at once, that no reader waits long for it."""


class AgentRegistrationContext(TypedDict, total=False):
    """Chains AdmitAgent and RegisterAgent. ``credential_id`` is absent for an agent that has no token of its own."""

    registration: AgentRegistration
    credential_id: str
    signed: Signature
    admitted: list[Agent]
    agent: Agent


class AgentChangeContext(TypedDict, total=False):
    """The chains that change an agent's record. ``note`` and ``seconds`` are for a pause."""

    agent_id: str
    signed: Signature
    note: str
    seconds: int
    status: AgentStatus
    agent: Agent


class HeartbeatContext(TypedDict, total=False):
    """Chain RecordHeartbeats. ``recorded`` are the agents with what is known of them now."""

    received: list[Received]
    recorded: list[Agent]


class AgentReadContext(TypedDict, total=False):
    """The read chains of agents: each uses its question and its answer. ``pool`` is absent for all pools."""

    agent_id: str
    agent: Agent
    query: AgentQuery
    page: AgentPage
    pool: str
    agents: list[Agent]


class AdmitAgent(StoreLink[AgentStore]):
    """``registration`` → ``admitted``: the record of this name, none or one. Raises Conflict, Unavailable."""

    async def call(self, ctx: Context[AgentRegistrationContext]) -> Context[AgentRegistrationContext]:
        """Changes nothing; RegisterAgent looks again, since another host can be faster."""
        registration = require(ctx, "registration", AgentRegistration)
        present = await self._store.get(registration.agent_id)
        check_name(present, registration, self._clock())
        found: list[Agent] = [] if present is None else [present]
        return ctx.insert("admitted", found)


class RegisterAgent(StoreLink[AgentStore]):
    """``registration``, ``signed`` and, when it has one, ``credential_id`` → ``agent``. Raises Conflict while another
    host holds the name, Unavailable.
    """

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


class RecordHeartbeats(StoreLink[AgentStore]):
    """``received`` → ``recorded``: the agents as they are known now, without those whose record turned out to be gone.

    Of one agent's heartbeats the newest counts. One that came late changes nothing, and its agent is answered as it
    was. Raises Unavailable; then they may be given again.
    """

    async def call(self, ctx: Context[HeartbeatContext]) -> Context[HeartbeatContext]:
        """One write for all; a read and a write more for an agent that says something new of itself."""
        received = cast("list[Received]", require(ctx, "received", list))
        agents: dict[str, Agent] = {}
        said: dict[str, Received] = {}
        for each in received:
            known = agents.setdefault(each.agent.agent_id, each.agent)
            beat = each.beat()
            if not is_late(known.beat, beat):
                agents[known.agent_id] = known.model_copy(update={"beat": beat})
                said[known.agent_id] = each
        beats = [beat for agent_id in said if (beat := agents[agent_id].beat) is not None]
        if beats:
            await self._store.beat(beats)
        telling = [each for each in said.values() if each.facts()]
        for each, told in zip(telling, await gather_bounded(self._take_over, telling), strict=True):
            known = agents.pop(each.agent.agent_id)
            if isinstance(told, Agent):
                agents[told.agent_id] = told.model_copy(update={"beat": known.beat})
            elif not isinstance(told, NotFound):
                raise told
        return ctx.insert("recorded", list(agents.values()))

    async def _take_over(self, each: Received) -> Agent:
        """Labels decide which jobs an agent gets, so the audit trail tells when they change."""
        facts = each.facts()
        agent_id, labels = each.agent.agent_id, facts.get("labels")

        def change(agent: Agent, now: int) -> Change | None:
            new = {name: value for name, value in facts.items() if value != getattr(agent, name)}
            if not new or agent.instance != each.agent.instance or agent.deregistered_at is not None:
                return None
            told = agent.model_copy(update=new)
            if "labels" not in new:
                return Change(told, None)
            return Change(told, RELABELLED, f"{agent_id} has other labels", {"labels": labels, "before": agent.labels})

        signed = Signature(by=agent_id, role="agent", via="agent")
        return await change_agent(self._store, self._clock, agent_id, signed, change)


class UpdateAgentStatus(StoreLink[AgentStore]):
    """``agent_id``, ``status``, ``signed`` → ``agent``: HEALTHY resumes it, DRAINING drains it, OFFLINE deregisters it.

    Raises ValidationFailed for DEGRADED, which is only ever found out; NotFound, InvalidState, Unavailable.
    """

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


class DrainAgent(StoreLink[AgentStore]):
    """``agent_id``, ``signed`` → ``agent``. Raises NotFound, InvalidState, Unavailable."""

    async def call(self, ctx: Context[AgentChangeContext]) -> Context[AgentChangeContext]:
        """Repeating it changes nothing."""
        agent_id, signed = require(ctx, "agent_id", str), require(ctx, "signed", Signature)
        return ctx.insert("agent", await change_agent(self._store, self._clock, agent_id, signed, drained))


class PauseAgent(StoreLink[AgentStore]):
    """``agent_id``, ``signed``, ``note`` and, unless it is until somebody resumes it, ``seconds`` → ``agent``.

    Raises NotFound, InvalidState, Unavailable.
    """

    async def call(self, ctx: Context[AgentChangeContext]) -> Context[AgentChangeContext]:
        """A second pause replaces the first one."""
        agent_id, signed = require(ctx, "agent_id", str), require(ctx, "signed", Signature)
        note, seconds = require(ctx, "note", str), ctx.get("seconds")

        def change(agent: Agent, now: int) -> Change:
            return paused(agent, now, note=note, seconds=seconds)

        return ctx.insert("agent", await change_agent(self._store, self._clock, agent_id, signed, change))


class ResumeAgent(StoreLink[AgentStore]):
    """``agent_id``, ``signed`` → ``agent``. Raises NotFound, InvalidState, Unavailable."""

    async def call(self, ctx: Context[AgentChangeContext]) -> Context[AgentChangeContext]:
        """Repeating it changes nothing."""
        agent_id, signed = require(ctx, "agent_id", str), require(ctx, "signed", Signature)
        return ctx.insert("agent", await change_agent(self._store, self._clock, agent_id, signed, resumed))


class DeregisterAgent(StoreLink[AgentStore]):
    """``agent_id``, ``signed`` → ``agent``. Raises NotFound, Unavailable."""

    async def call(self, ctx: Context[AgentChangeContext]) -> Context[AgentChangeContext]:
        """Repeating it changes nothing."""
        agent_id, signed = require(ctx, "agent_id", str), require(ctx, "signed", Signature)
        return ctx.insert("agent", await change_agent(self._store, self._clock, agent_id, signed, deregistered))


class RetrieveAgent(StoreLink[AgentStore]):
    """``agent_id`` → ``agent``, also one that is deregistered. Raises NotFound, Unavailable."""

    async def call(self, ctx: Context[AgentReadContext]) -> Context[AgentReadContext]:
        """A consistent read."""
        agent_id = require(ctx, "agent_id", str)
        agent = await self._store.get(agent_id)
        if agent is None:
            raise no_such_agent(agent_id)
        return ctx.insert("agent", agent)


class ListAgents(StoreLink[AgentStore]):
    """``query`` → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable."""

    async def call(self, ctx: Context[AgentReadContext]) -> Context[AgentReadContext]:
        """With heartbeats."""
        return ctx.insert("page", await self._store.list(require(ctx, "query", AgentQuery)))


class ListPoolAgents(StoreLink[AgentStore]):
    """``pool``, or nothing for every pool → ``agents``, by id. Raises Unavailable."""

    async def call(self, ctx: Context[AgentReadContext]) -> Context[AgentReadContext]:
        """With heartbeats. An agent that changes pools at this moment is there once."""
        asked = ctx.get("pool")
        pools = [pool.name for pool in await self._store.pools()] if asked is None else [asked]
        agents: dict[str, Agent] = {}
        for found in await gather_bounded(self._store.of_pool, pools):
            if isinstance(found, Exception):
                raise found
            agents.update((agent.agent_id, agent) for agent in found)
        return ctx.insert("agents", [agents[agent_id] for agent_id in sorted(agents)])


class ListHealthyAgents:
    """``agents`` → ``agents`` whose status is HEALTHY now."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def call(self, ctx: Context[AgentReadContext]) -> Context[AgentReadContext]:
        """Without I/O: how an agent is follows from its last heartbeat."""
        now = self._clock()
        agents = cast("list[Agent]", require(ctx, "agents", list))
        return ctx.insert("agents", [agent for agent in agents if agent.status(now) is AgentStatus.HEALTHY])


class ForgetGoneAgents(StoreLink[AgentStore]):
    """``agents`` → ``agents`` without those that are gone for good. Raises Unavailable."""

    async def call(self, ctx: Context[AgentReadContext]) -> Context[AgentReadContext]:
        """A record that changed since it was read is left alone."""
        agents, now = cast("list[Agent]", require(ctx, "agents", list)), self._clock()
        gone = [agent for agent in agents if _is_gone(agent, now)]
        if not gone:
            return ctx
        for failure in await gather_bounded(self._forget, gone[:_AT_MOST]):
            if failure is not None:
                raise failure
        return ctx.insert("agents", [agent for agent in agents if not _is_gone(agent, now)])

    async def _forget(self, agent: Agent) -> None:
        await self._store.forget(agent.agent_id, agent.revision)


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


def _is_gone(agent: Agent, now: int) -> bool:
    """A pause is kept: whoever set it wants it to hold when the host comes back."""
    if agent.paused(now):
        return False
    if agent.deregistered_at is not None:
        return now - agent.deregistered_at > DEREGISTERED_MILLIS
    return now - agent.seen_at > SILENT_MILLIS
