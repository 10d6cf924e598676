"""The agent's heartbeat: how it is, and what it is told to do in return. Obeying is here, and noticing that nobody
answers: an agent that reaches neither the API nor Temporal could not report what it took, so it takes nothing.

Deliberately not here: the lease of a running attempt, which is renewed with Temporal (``attempt.lease``).
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.control.api import ApiUnreachable, ControlPlane, RequestRefused
from agent.control.measures import Measures, measure
from agent.safety.gate import Gate, Reason
from agent.safety.quarantine import Quarantine
from workflows.contracts.agents import HEARTBEAT_SECONDS, AgentRegistration, Heartbeat, HeartbeatAnswer

_AWAY_SECONDS: Final = 3.0
"""An API that did not answer is asked again after this."""
_HURRY_SECONDS: Final = 0.5
"""Between two heartbeats at least, whatever there is to tell."""
_MEASURE_SECONDS: Final = 2.0
_PROBE_SECONDS: Final = 3.0
_STARTS: Final = 1 << 32
"""Sequence numbers for each start of an agent: those of a later start are higher, whatever the clock says."""
_UNKNOWN: Final = 404

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeartbeatSubject:
    """What is told. ``running``: the ids of the jobs that run now."""

    registration: AgentRegistration
    starts: int
    directory: Path
    running: Callable[[], Sequence[str]]
    gate: Gate
    quarantine: Quarantine


@dataclass(frozen=True, slots=True)
class Orders:
    """Who obeys. ``temporal_answers`` is asked when the API does not."""

    demand: Callable[[Sequence[Sequence[str]]], None]
    drain: Callable[[], None]
    register: Callable[[], None]
    temporal_answers: Callable[[float], Awaitable[bool]]


@dataclass(slots=True, eq=False)
class HeartbeatLoop:
    """``keep`` sends them until it is cancelled. ``answered_at``: when the control plane last did, by the monotonic
    clock.
    """

    plane: ControlPlane
    subject: HeartbeatSubject
    orders: Orders
    seconds: float = HEARTBEAT_SECONDS
    answered_at: float | None = field(default=None, init=False)
    _sequence: int = field(default=0, init=False)
    _soon: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _failing: bool = field(default=False, init=False)
    _told: HeartbeatAnswer | None = field(default=None, init=False)

    def soon(self) -> None:
        """There is something to tell."""
        self._soon.set()

    async def keep(self) -> None:
        """The first at once."""
        while True:
            self._soon.clear()
            try:
                delay = await self._beat()
            except Exception:  # whatever it is: without heartbeats the agent would be taken for lost
                logger.exception("A heartbeat failed in the agent itself")
                delay = self.seconds
            earliest = asyncio.create_task(asyncio.sleep(_HURRY_SECONDS))
            try:
                async with asyncio.timeout(delay * random.uniform(0.9, 1)):  # noqa: S311 -- jitter
                    await self._soon.wait()
            except TimeoutError:
                pass  # it is time
            await earliest

    async def _beat(self) -> float:
        """Seconds until the next."""
        subject = self.subject
        try:
            answer = await self.plane.heartbeat(subject.registration.agent_id, await self._heartbeat())
        except ApiUnreachable as error:
            await self._unanswered(error)
            return min(_AWAY_SECONDS, self.seconds)
        except RequestRefused as error:
            subject.gate.clear(Reason.CUT_OFF)
            if error.status == _UNKNOWN:
                self.orders.register()
            elif not self._failing:
                logger.error("The API refuses this agent's heartbeats: %s", error)
            self._failing = True
            return self.seconds
        if self._failing:
            logger.info("Heartbeats are answered again")
        self._failing, self.answered_at = False, time.monotonic()
        subject.gate.clear(Reason.CUT_OFF)
        self._obey(answer)
        return self.seconds

    async def _heartbeat(self) -> Heartbeat:
        subject = self.subject
        measures = await self._measured()
        self._sequence += 1
        failing = subject.quarantine.failing
        return Heartbeat(
            sequence=subject.starts * _STARTS + self._sequence,
            at=int(time.time() * 1000),
            cpu_percent=measures.cpu if measures else None,
            memory_percent=measures.memory if measures else None,
            disk_percent=measures.disk if measures else None,
            load=measures.load if measures else None,
            running=list(subject.running())[:1000],
            accepting=not subject.gate.closed_by_agent,
            draining=subject.gate.holds(Reason.DRAINING),
            quarantined_until=failing.until if subject.gate.holds(Reason.QUARANTINED) else None,
            quarantine_failures=failing.failures,
            quarantine_reason=failing.reason,
            version=subject.registration.version,
            labels=subject.registration.labels,
            region=subject.registration.region,
        )

    async def _measured(self) -> Measures | None:
        try:
            return await asyncio.wait_for(asyncio.to_thread(measure, self.subject.directory), _MEASURE_SECONDS)
        except (TimeoutError, OSError) as error:
            logger.warning("The host's load cannot be measured: %s", error or "its disk does not answer")
            return None

    async def _unanswered(self, error: ApiUnreachable) -> None:
        if not self._failing:
            logger.warning("A heartbeat was not answered: %s; what runs goes on", error)
        self._failing = True
        if await self.orders.temporal_answers(_PROBE_SECONDS):
            self.subject.gate.clear(Reason.CUT_OFF)
        else:
            self.subject.gate.close(
                Reason.CUT_OFF, "neither the API nor Temporal answers, so nothing could be reported"
            )

    def _obey(self, answer: HeartbeatAnswer) -> None:
        told, self._told = self._told, answer
        if told is None or told.status is not answer.status:
            logger.info("The control plane sees this agent as %s", answer.status)
        self.seconds = max(1, answer.heartbeat_seconds)
        gate = self.subject.gate
        if answer.drain:
            if told is None or not told.drain:
                logger.info("The control plane asks this agent to drain")
            self.orders.drain()
        elif answer.accepting:
            gate.clear(Reason.PAUSED)
        else:
            gate.close(Reason.PAUSED, f"the control plane says so: {answer.note or 'no reason was given'}")
        self.orders.demand(answer.requirements)
