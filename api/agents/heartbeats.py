"""Heartbeats on their way to the store: the newest of each agent is kept in memory and all are stored together.

So a heartbeat costs neither a read nor a write of its own. Several API processes may run: an agent that speaks to
another one is seen here within seconds, with the next reading of its pool (``roster``).
Deliberately not here: who may send one (the route) and what of it is kept (``activities.agents.heartbeats``).
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from activities.agents.heartbeats import ReceivedHeartbeat, is_late, is_too_far_ahead
from activities.agents.names import must_register
from activities.clock import Clock
from api.agents.roster import Roster
from workflows.contracts.agents import (
    HEARTBEAT_SECONDS,
    MOST_AHEAD,
    OFFLINE_SECONDS,
    STORE_WITHIN_SECONDS,
    Agent,
    AgentBeat,
    Heartbeat,
    HeartbeatAnswer,
)
from workflows.contracts.errors import FieldError, HybridCIError, NotFound, Unavailable, ValidationFailed

logger = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = STORE_WITHIN_SECONDS - 0.5
"""Between two writes; the rest is for the write itself."""
_SHORTEST_SECONDS: Final = 3
_HEARTBEATS_A_SECOND: Final = 50
"""What one process is asked to take before the interval grows to HEARTBEAT_SECONDS."""
_DRAIN_NOTE: Final = "it is to drain: it finishes what it runs and ends"


class Keeper(Protocol):
    """What is needed of ``AgentRegistry``."""

    async def heartbeats(self, received: Sequence[ReceivedHeartbeat]) -> object:
        """Keep these, many in one request. Raises Unavailable; then they may be given again."""
        ...


class Heartbeats:
    """For one event loop. ``run`` stores what was taken, until it is cancelled; ``flush`` at the end."""

    def __init__(self, keeper: Keeper, roster: Roster, *, clock: Clock, pause_seconds: float = _PAUSE_SECONDS) -> None:
        self._keeper, self._roster, self._clock, self._pause = keeper, roster, clock, pause_seconds
        self._latest: dict[str, AgentBeat] = {}
        self._pending: dict[str, ReceivedHeartbeat] = {}
        self._flushing = asyncio.Lock()

    async def agent(self, agent_id: str, credential_id: str | None) -> Agent:
        """The agent that a heartbeat with this credential is from, as it is known here.

        Raises NotFound when it has to register (again), Unavailable.
        """
        agent = await self._roster.agent(agent_id)
        if agent.deregistered_at is not None or agent.credential_id != credential_id:
            # Another process may have registered it since; a key of no agent's own says nothing about that.
            if agent.deregistered_at is not None or credential_id is not None:
                agent = await self._roster.reread(agent_id)
            if agent.deregistered_at is not None:
                raise must_register(agent_id)
        return agent

    async def take(self, agent: Agent, heartbeat: Heartbeat, credential_id: str | None) -> HeartbeatAnswer:
        """Keep it, unless it is late or comes with a token of an earlier registration; what the agent is to do.

        Raises ValidationFailed for a number too far ahead, Unavailable.
        """
        now = self._clock()
        received = ReceivedHeartbeat(agent, heartbeat, now)
        beat = received.beat()
        if is_too_far_ahead(self._latest.get(agent.agent_id), beat):
            raise _too_far_ahead(beat)
        earlier = credential_id is not None and agent.credential_id not in (None, credential_id)
        if not earlier and not is_late(self._latest.get(agent.agent_id), beat):
            self._latest[agent.agent_id] = beat
            self._pending[agent.agent_id] = received
        labels = agent.labels if heartbeat.labels is None else heartbeat.labels
        requirements = (await self._roster.demands(agent.pool)).met_by(labels)
        return _answer(self.seen(agent), requirements, now, seconds=self._interval())

    def _interval(self) -> int:
        """Few agents are asked often, so that orders and new demands reach them soon; many cost no more than before."""
        return max(_SHORTEST_SECONDS, min(HEARTBEAT_SECONDS, len(self._latest) // _HEARTBEATS_A_SECOND))

    def seen(self, agent: Agent) -> Agent:
        """The record with the newest heartbeat that is known here."""
        latest = self._latest.get(agent.agent_id)
        if latest is None or latest.instance != agent.instance or latest.pool != agent.pool:
            return agent
        if agent.beat is not None and agent.beat.received_at >= latest.received_at:
            return agent
        return agent.model_copy(update={"beat": latest})

    def registered(self, agent_id: str) -> None:
        """It registered: what it said before counts no more, and it may count from 0 again."""
        self._latest.pop(agent_id, None)
        self._pending.pop(agent_id, None)

    async def run(self) -> None:
        """Store what was taken, every few seconds. Ends only by being cancelled."""
        while True:
            await asyncio.sleep(self._pause)
            try:
                await self.flush()
            except Unavailable as error:
                logger.warning("heartbeats are not stored yet", extra={"error": error.message})
            except Exception:
                logger.exception("heartbeats could not be stored")

    async def flush(self) -> None:
        """Store what was taken. Raises Unavailable; then it is tried again with what came since."""
        async with self._flushing:
            self._drop_old()
            taken, self._pending = self._pending, {}
            if not taken:
                return
            try:
                await self._keeper.heartbeats(list(taken.values()))
            except NotFound as error:  # forgotten by somebody meanwhile; the others come again in 15 s
                logger.info("an agent was forgotten", extra={"error": error.message})
            except HybridCIError:
                self._pending = {**taken, **self._pending}
                raise
            for each in taken.values():
                if each.facts():
                    await self._told(each.agent.agent_id)

    async def _told(self, agent_id: str) -> None:
        """It said something new of itself, which is in its record now."""
        try:
            self._roster.changed(await self._roster.reread(agent_id))
        except HybridCIError as error:
            logger.info("an agent's record was not read again", extra={"agent_id": agent_id, "error": error.message})

    def _drop_old(self) -> None:
        """What was stored long ago is read from there."""
        oldest = self._clock() - 2 * OFFLINE_SECONDS * 1000
        for agent_id in [name for name, beat in self._latest.items() if beat.received_at < oldest]:
            del self._latest[agent_id]


def _answer(agent: Agent, requirements: list[list[str]], now: int, *, seconds: int) -> HeartbeatAnswer:
    paused = agent.paused(now)
    note = agent.note if paused else None
    if agent.draining:
        note = _DRAIN_NOTE
    return HeartbeatAnswer(
        status=agent.status(now),
        accepting=not paused and not agent.draining,
        drain=agent.draining,
        note=note or ("it is paused" if paused else None),
        requirements=requirements,
        heartbeat_seconds=seconds,
    )


def _too_far_ahead(beat: AgentBeat) -> ValidationFailed:
    problem = f"is {beat.sequence}, more than {MOST_AHEAD} beyond the last one; count up by one"
    return ValidationFailed(f"The heartbeat's sequence {problem}.", [FieldError(field="sequence", message=problem)])
