"""The queues this agent polls: its pool's, and one for each demand of labels that it meets.

While nothing new is to be taken no queue is polled at all. A worker that is not wanted any more polls no longer from
that moment and lives on until the attempts that came through it have ended; should its queue be wanted again meanwhile,
a new one polls beside it. Deliberately not here: how many attempts run at once (``slots``).
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client
from temporalio.worker import PollerBehaviorSimpleMaximum, Worker

from agent.control_plane import Backoff
from agent.gate import Gate
from agent.slots import Line, Slots
from workflows.contracts.ids import pool_queue
from workflows.contracts.labels import normalised, unmet

MAX_DEMANDS: Final = 16
_MAIN_POLLS: Final = 5
_DEMAND_POLLS: Final = 1
_NO_LIMIT: Final = timedelta(days=30)
"""How long a draining worker lets its attempts run: to their end, for each has a timeout of its own."""

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Poll:
    """One worker from its start until its last attempt has ended."""

    queue: str
    worker: Worker
    line: Line
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Poller:
    """Who polls, and what runs what comes. ``labels``: what this agent may be asked for."""

    client: Client
    identity: str
    pool: str
    labels: Mapping[str, str]
    activities: Sequence[Callable[..., Any]]
    capacity: int


@dataclass(slots=True, eq=False)
class Queues:
    """Used from one event loop. ``start`` it once; ``end`` it for good."""

    poller: Poller
    slots: Slots
    gate: Gate
    _demands: frozenset[str] = frozenset()
    _polls: dict[str, _Poll] = field(default_factory=dict[str, _Poll])
    _backoffs: dict[str, Backoff] = field(default_factory=dict[str, Backoff])
    _resting: set[str] = field(default_factory=set[str])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _started: bool = False

    def start(self) -> None:
        """Poll from now on whenever the gate is open."""
        self._started = True
        self.gate.on_change(self._adjust)
        self._adjust()

    def demand(self, requirements: Sequence[Sequence[str]]) -> None:
        """The demands for which jobs may wait. Those that this agent does not meet, whoever says so, are left out."""
        met = [normalised(each) for each in requirements if each and not unmet(self.poller.labels, each)]
        demands = frozenset(pool_queue(self.poller.pool, each) for each in met[:MAX_DEMANDS])
        if demands == self._demands:
            return
        self._demands = demands
        logger.info("Jobs that demand labels: %s", "; ".join(" ".join(each) for each in met[:MAX_DEMANDS]) or "none")
        self._adjust()

    @property
    def polled(self) -> frozenset[str]:
        """The names of the queues that are polled now."""
        return frozenset(self._polls)

    async def end(self) -> None:
        """Poll no more, and wait until every attempt that came through here has ended."""
        self._started = False
        self._adjust()
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _adjust(self) -> None:
        wanted = self._demands | {pool_queue(self.poller.pool)}
        if not self._started or self.gate.refusal is not None:
            wanted = frozenset[str]()
        for queue in set(self._polls) - wanted:
            self._spawn(self._polls.pop(queue).worker.shutdown())
        for queue in wanted - set(self._polls) - self._resting:
            self._poll(queue)

    def _poll(self, queue: str) -> None:
        poller = self.poller
        polls = min(_MAIN_POLLS, poller.capacity) if queue == pool_queue(poller.pool) else _DEMAND_POLLS
        line = self.slots.line(polls=polls)

        async def failed(error: BaseException) -> None:
            self._failed(poll, error)

        worker = Worker(
            poller.client,
            task_queue=queue,
            activities=poller.activities,
            tuner=line.tuner(),
            activity_task_poller_behavior=PollerBehaviorSimpleMaximum(polls),
            identity=poller.identity,
            graceful_shutdown_timeout=_NO_LIMIT,
            on_fatal_error=failed,
        )
        self._polls[queue] = poll = _Poll(queue, worker, line)
        self._spawn(self._run(poll))

    async def _run(self, poll: _Poll) -> None:
        try:
            await poll.worker.run()
        except Exception as error:  # said by ``_failed``; whatever it is, the queue must be polled again
            self._failed(poll, error)
        finally:
            poll.line.close()

    def _failed(self, poll: _Poll, error: BaseException) -> None:
        """Another worker takes its place after a while; what runs in this one goes on."""
        if poll.failed:
            return
        poll.failed = True
        if self._polls.get(poll.queue) is poll:
            del self._polls[poll.queue]
        backoff = self._backoffs.setdefault(poll.queue, Backoff(f"Polling {poll.queue}"))
        self._resting.add(poll.queue)
        self._spawn(self._rest(poll.queue, backoff.failed(RuntimeError(repr(error)))))

    async def _rest(self, queue: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._resting.discard(queue)
        self._adjust()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
