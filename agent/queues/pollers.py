"""The queues this agent polls: its pool's, one for each demand of labels that it meets, and its own at times.

While nothing new is to be taken no queue is polled at all. A worker that is not wanted any more polls no longer from
that moment and lives on until the attempts that came through it have ended; should its queue be wanted again meanwhile,
a new one polls beside it. A worker that could not begin, because Temporal did not answer, can never be told to leave,
and the SDK lets no other poll its queue over the same client: the next one gets a new client.
Deliberately not here: how many attempts run at once (``slots``).
"""

import asyncio
import logging
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client
from temporalio.worker import PollerBehaviorSimpleMaximum, Worker

from agent.control.api import Backoff
from agent.queues.slots import Line, Slots
from agent.safety.gate import Gate
from workflows.contracts.ids import pool_queue
from workflows.contracts.labels import normalised, unmet
from workflows.version import product_version

MAX_DEMANDS: Final = 16
MAIN_POLLS: Final = 5
"""At most, of the pool's queue."""
_DEMAND_POLLS: Final = 1
_NO_LIMIT: Final = timedelta(days=30)
"""How long a draining worker lets its attempts run: to their end, for each has a timeout of its own."""
_BEGIN_SECONDS: Final = 2.0
_SILENT_SECONDS: Final = 5.0
"""An end that takes longer is said."""
_APART_SECONDS: Final = 0.1
"""The SDK allows one polling worker for a queue; one that was told to leave has done so by then."""

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Poll:
    """One worker from its start until its last attempt has ended."""

    queue: str
    client: Client
    worker: Worker
    line: Line
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Poller:
    """Who polls which queue, with how many polls, and what runs what comes. ``labels``: what this agent may be asked
    for; those demands have queues of their own.

    ``reconnect`` makes another client; it raises RuntimeError when Temporal does not answer.
    """

    client: Client
    reconnect: Callable[[], Awaitable[Client]]
    identity: str
    pool: str
    labels: Mapping[str, str]
    activities: Sequence[Callable[..., Any]]
    queue: str
    polls: int


@dataclass(slots=True, eq=False)
class Queues:
    """Used from one event loop. ``start`` it once; ``end`` it for good."""

    poller: Poller
    slots: Slots
    gate: Gate
    _client: Client = field(init=False)
    _demands: frozenset[str] = field(default=frozenset(), init=False)
    _own: frozenset[str] = field(default=frozenset(), init=False)
    _polls: dict[str, _Poll] = field(default_factory=dict[str, _Poll], init=False)
    _backoffs: dict[str, Backoff] = field(default_factory=dict[str, Backoff], init=False)
    _living: dict[_Poll, asyncio.Task[None]] = field(default_factory=dict[_Poll, asyncio.Task[None]], init=False)
    _resting: dict[str, int] = field(default_factory=dict[str, int], init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]], init=False)
    _reconnecting: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _started: bool = field(default=False, init=False)

    def start(self) -> None:
        """Poll from now on whenever the gate is open."""
        self._started, self._client = True, self.poller.client
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

    def own(self, queues: Iterable[str]) -> None:
        """The queues that no other agent polls, while there may be something for it."""
        self._own = frozenset(queues)
        self._adjust()

    @property
    def polled(self) -> frozenset[str]:
        """The names of the queues that are polled now."""
        return frozenset(self._polls)

    async def end(self) -> None:
        """Poll no more, and wait until every attempt that came through here has ended.

        A worker that still asks Temporal for leave to begin has none, and may never be answered. A poll that went out
        in the moment in which Temporal was told to end them is answered with the others or only when its time is up
        (70 s; temporalio/sdk-rust#1197): it may bring a task, so it is waited for.
        """
        self._started = False
        self._adjust()
        began, told = asyncio.get_running_loop().time(), False
        while self._living:
            beginning = not any(poll.worker.is_running for poll in self._living)
            if beginning and asyncio.get_running_loop().time() > began + _BEGIN_SECONDS:
                break
            await asyncio.wait(set(self._living.values()), timeout=_BEGIN_SECONDS, return_when=FIRST_COMPLETED)
            now = asyncio.get_running_loop().time()
            if self._living and not told and not self.slots.used and now > began + _SILENT_SECONDS:
                told = True
                logger.info("Nothing runs; Temporal has yet to answer the last poll of %s", self.poller.queue)
        for task in self._tasks:
            task.cancel()

    def _adjust(self) -> None:
        wanted = self._demands | self._own | {self.poller.queue}
        if not self._started or self.gate.refusal is not None:
            wanted = frozenset[str]()
        for queue in set(self._polls) - wanted:
            self._spawn(self._polls.pop(queue).worker.shutdown())
            self._spawn(self._rest(queue))
        for queue in wanted - set(self._polls) - set(self._resting):
            self._poll(queue)

    def _poll(self, queue: str) -> None:
        poller = self.poller
        polls = poller.polls if queue == poller.queue else _DEMAND_POLLS
        line = self.slots.line(polls=polls)

        async def failed(error: BaseException) -> None:
            self._failed(poll, error)

        try:
            worker = Worker(
                self._client,
                task_queue=queue,
                activities=poller.activities,
                tuner=line.tuner(),
                activity_task_poller_behavior=PollerBehaviorSimpleMaximum(polls),
                identity=poller.identity,
                build_id=product_version(),  # else the SDK hashes the code of all loaded modules
                graceful_shutdown_timeout=_NO_LIMIT,
                on_fatal_error=failed,
            )
        except RuntimeError as error:  # an earlier one has not left
            line.close()
            self._spawn(self._again(queue, self._client, error))
            return
        self._polls[queue] = poll = _Poll(queue, self._client, worker, line)
        self._living[poll] = task = asyncio.create_task(self._run(poll))
        task.add_done_callback(lambda _: self._ended(poll))

    async def _run(self, poll: _Poll) -> None:
        try:
            await poll.worker.run()
        except Exception as error:  # said by ``_again``: whatever it is, the queue must be polled again
            self._failed(poll, error)

    def _failed(self, poll: _Poll, error: BaseException) -> None:
        """Another worker takes its place after a while; what runs in this one goes on."""
        if not poll.failed:
            poll.failed = True
            if self._polls.get(poll.queue) is poll:
                del self._polls[poll.queue]
            self._spawn(self._again(poll.queue, poll.client, error))

    def _ended(self, poll: _Poll) -> None:
        del self._living[poll]
        poll.line.close()

    async def _again(self, queue: str, client: Client, error: BaseException) -> None:
        """Poll it once more, with another client than this one."""
        backoff = self._backoffs.setdefault(queue, Backoff(f"Polling {queue}"))
        with self._left_alone(queue):
            while True:
                await asyncio.sleep(backoff.failed(RuntimeError(_first_line(error))))
                try:
                    async with self._reconnecting:
                        if self._client is client:
                            self._client = await self.poller.reconnect()
                    break
                except RuntimeError as still:
                    error = still
        self._adjust()

    async def _rest(self, queue: str) -> None:
        with self._left_alone(queue):
            await asyncio.sleep(_APART_SECONDS)
        self._adjust()

    @contextmanager
    def _left_alone(self, queue: str) -> Generator[None]:
        self._resting[queue] = self._resting.get(queue, 0) + 1
        try:
            yield
        finally:
            self._resting[queue] -= 1
            if not self._resting[queue]:
                del self._resting[queue]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _first_line(error: BaseException) -> str:
    """The SDK's own failures go on with a stack backtrace."""
    return (str(error) or repr(error)).partition("\n")[0]
