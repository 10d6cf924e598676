"""Links of agents: what a chain does with an agent's record, one step each; first what they hand on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, TypedDict, cast

from codeuchain import Context

from activities.agents.changes import (
    AgentChange,
    Change,
    change_agent,
    deregistered,
    drained,
    made_events,
    paused,
    registered,
    resumed,
    too_busy,
)
from activities.agents.heartbeats import ReceivedHeartbeat, first_beat, is_late
from activities.agents.names import check_name, no_such_agent
from activities.bounded import gather_bounded
from activities.chaining.links import StoreLink, require
from activities.pools.changes import TRIES
from activities.stores.interfaces.agents import AgentStore
from workflows.contracts.agents import Agent, AgentPage, AgentQuery, AgentRegistration, AgentStatus
from workflows.contracts.audit.details import AgentRelabelled, AgentUpdated
from workflows.contracts.errors import FieldError, NotFound, ValidationFailed
from workflows.contracts.who import WhoAndWhy

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


class AgentContext(TypedDict, total=False):
    """What the chains of agents hand on.

    ``credential_id`` is absent for an agent that has no token of its own, ``pool`` for all pools; ``note`` and
    ``seconds`` are for a pause; ``recorded`` are the agents with what is known of them now.
    """

    registration: AgentRegistration
    credential_id: str
    signed: WhoAndWhy
    admitted: list[Agent]
    agent: Agent
    agent_id: str
    note: str
    seconds: int
    status: AgentStatus
    received: list[ReceivedHeartbeat]
    recorded: list[Agent]
    query: AgentQuery
    page: AgentPage
    pool: str
    agents: list[Agent]


class AdmitAgent(StoreLink[AgentStore]):
    """``registration`` → ``admitted``: the record of this name, none or one. Raises Conflict, Unavailable."""

    async def call(self, ctx: Context[AgentContext]) -> Context[AgentContext]:
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

    async def call(self, ctx: Context[AgentContext]) -> Context[AgentContext]:
        """Optimistic: of two hosts that register a free name at once, the second one finds the first."""
        registration, signed = require(ctx, "registration", AgentRegistration), require(ctx, "signed", WhoAndWhy)
        for _ in range(TRIES):
            present = await self._store.get(registration.agent_id)
            now = self._clock()
            check_name(present, registration, now)
            made = registered(registration, present, signed, now, ctx.get("credential_id"))
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

    async def call(self, ctx: Context[AgentContext]) -> Context[AgentContext]:
        """One write for all; a read and a write more for an agent that says something new of itself."""
        received = cast("list[ReceivedHeartbeat]", require(ctx, "received", list))
        agents: dict[str, Agent] = {}
        said: dict[str, ReceivedHeartbeat] = {}
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

    async def _take_over(self, each: ReceivedHeartbeat) -> Agent:
        """Labels decide which jobs an agent gets, and a version what it can: the audit trail tells when they change."""
        facts = each.facts()
        agent_id = each.agent.agent_id

        def change(agent: Agent, now: int) -> Change | None:
            new = {name: value for name, value in facts.items() if value != getattr(agent, name)}
            if not new or agent.instance != each.agent.instance or agent.deregistered_at is not None:
                return None
            told = agent.model_copy(update=new)
            if "labels" not in new:
                before = {name: getattr(agent, name) for name in new}
                what = AgentUpdated(**cast("dict[str, Any]", {**new, "before": before}))
                return Change(told, what, f"{agent_id} has another {' and '.join(new)}")
            relabelled = AgentRelabelled(labels=told.labels, before=agent.labels)
            return Change(told, relabelled, f"{agent_id} has other labels")

        signed = WhoAndWhy(by=agent_id, role="agent", via="agent")
        return await change_agent(self._store, self._clock, agent_id, signed, change)


class _ChangeAgent(StoreLink[AgentStore], ABC):
    """``agent_id``, ``signed`` → ``agent``. Raises NotFound, Unavailable."""

    async def call(self, ctx: Context[AgentContext]) -> Context[AgentContext]:
        """Repeating it changes nothing."""
        agent_id, signed = require(ctx, "agent_id", str), require(ctx, "signed", WhoAndWhy)
        return ctx.insert("agent", await change_agent(self._store, self._clock, agent_id, signed, self._change(ctx)))

    @abstractmethod
    def _change(self, ctx: Context[AgentContext]) -> AgentChange: ...


class UpdateAgentStatus(_ChangeAgent):
    """Also ``status``: HEALTHY resumes it, DRAINING drains it, OFFLINE deregisters it.

    Raises ValidationFailed for DEGRADED, which is only ever found out; InvalidState.
    """

    def _change(self, ctx: Context[AgentContext]) -> AgentChange:
        change = _CHANGES.get(require(ctx, "status", AgentStatus))
        if change is None:
            problem = f"must be one of {', '.join(_CHANGES)}; whether an agent is DEGRADED its heartbeats tell"
            raise ValidationFailed(
                f"The status of agent {require(ctx, 'agent_id', str)} was not changed: it {problem}.",
                [FieldError(field="status", message=problem)],
            )
        return change


class PauseAgent(_ChangeAgent):
    """Also ``note`` and, unless it is until somebody resumes it, ``seconds``: an agent takes nothing new for a while,
    what it runs goes on. Raises InvalidState. A second pause replaces the first one.
    """

    def _change(self, ctx: Context[AgentContext]) -> AgentChange:
        return partial(paused, note=require(ctx, "note", str), seconds=ctx.get("seconds"))


class DrainAgent(_ChangeAgent):
    """An agent is told to finish what it runs and to end. Raises InvalidState."""

    def _change(self, ctx: Context[AgentContext]) -> AgentChange:
        return drained


class ResumeAgent(_ChangeAgent):
    """An agent takes jobs again, after a pause or a drain that has not ended yet. Raises InvalidState."""

    def _change(self, ctx: Context[AgentContext]) -> AgentChange:
        return resumed


class DeregisterAgent(_ChangeAgent):
    """An agent has ended, or is to be known no longer."""

    def _change(self, ctx: Context[AgentContext]) -> AgentChange:
        return deregistered


class RetrieveAgent(StoreLink[AgentStore]):
    """``agent_id`` → ``agent``, also one that is deregistered. Raises NotFound, Unavailable."""

    async def call(self, ctx: Context[AgentContext]) -> Context[AgentContext]:
        """A consistent read."""
        agent_id = require(ctx, "agent_id", str)
        agent = await self._store.get(agent_id)
        if agent is None:
            raise no_such_agent(agent_id)
        return ctx.insert("agent", agent)


class ListAgents(StoreLink[AgentStore]):
    """``query`` → ``page``. Raises ValidationFailed for a foreign cursor, Unavailable."""

    async def call(self, ctx: Context[AgentContext]) -> Context[AgentContext]:
        """With heartbeats."""
        return ctx.insert("page", await self._store.list(require(ctx, "query", AgentQuery)))


class ListPoolAgents(StoreLink[AgentStore]):
    """``pool``, or nothing for every pool → ``agents``, by id. Raises Unavailable."""

    async def call(self, ctx: Context[AgentContext]) -> Context[AgentContext]:
        """With heartbeats. An agent that changes pools at this moment is there once."""
        asked = ctx.get("pool")
        pools = [pool.name for pool in await self._store.pools()] if asked is None else [asked]
        agents: dict[str, Agent] = {}
        for found in await gather_bounded(self._store.of_pool, pools):
            if isinstance(found, Exception):
                raise found
            agents.update((agent.agent_id, agent) for agent in found)
        return ctx.insert("agents", [agents[agent_id] for agent_id in sorted(agents)])


class ForgetGoneAgents(StoreLink[AgentStore]):
    """``agents`` → ``agents`` without those that are gone for good. Raises Unavailable."""

    async def call(self, ctx: Context[AgentContext]) -> Context[AgentContext]:
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


def _is_gone(agent: Agent, now: int) -> bool:
    """A pause is kept: whoever set it wants it to hold when the host comes back."""
    if agent.paused(now):
        return False
    if agent.deregistered_at is not None:
        return now - agent.deregistered_at > DEREGISTERED_MILLIS
    return now - agent.seen_at > SILENT_MILLIS
