"""Polls of task queues on agents' behalf. None is ever cancelled: a task that is on its way would be lost.

A poll lasts a minute, as an SDK's worker's does: the shorter it is, the nearer is its deadline to the moment at which
the server still hands out a task. So a poll can outlast the claim for which it was begun. What it brings goes to
whoever asks for the same queue in this process, now or in a moment, and is declined when nobody does, so that it goes
elsewhere. Temporal's history names the agent for which the poll was begun; the job's record names who got the attempt.
Deliberately not here: which queue is polled (``service``).
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from activities.clock import Clock
from api.claims.attempt_tasks import AttemptTask, AttemptTasks, LeaseLapsed
from workflows.contracts.attempts import AttemptResult
from workflows.contracts.errors import Unavailable
from workflows.contracts.statuses import Outcome

HOLD_SECONDS: Final = 0.2
"""How long a task for which nobody asks is kept: an agent without a job claims again at once."""
MAX_POLLS: Final = 1000
"""Temporal's own limit for a namespace is 1,200 by default, and workers poll too."""
_DECLINE_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
_CLOSE_SECONDS: Final = 2.0

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Waiter:
    """Somebody's place in the line for a queue's next task. ``found`` is done when there is one, or polling failed."""

    agent_id: str
    queue: str
    found: asyncio.Future[AttemptTask] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def may_have(self, task: AttemptTask) -> bool:
        """False for an attempt that this agent lost before."""
        return not self.found.done() and task.attempt.avoid_agent != self.agent_id


class Polls:
    """One API process's polls: for each queue as many as there are waiters, or were."""

    def __init__(self, tasks: AttemptTasks, clock: Clock) -> None:
        self._tasks, self._clock = tasks, clock
        self._polls: Counter[str] = Counter()
        self._waiters: dict[str, dict[Waiter, None]] = {}
        self._held: dict[str, dict[AttemptTask, None]] = {}
        self._polling: set[asyncio.Task[None]] = set()
        self._beside: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> int:
        """How many polls have brought nothing yet."""
        return len(self._polling)

    def ask(self, agent_id: str, queue: str) -> Waiter:
        """Stand in line. Every waiter must be given back by ``withdraw``, whatever happens.

        Raises Unavailable when there are too many.
        """
        waiter = Waiter(agent_id, queue)
        self._waiters.setdefault(queue, {})[waiter] = None
        for task in self._held.get(queue, ()):
            if waiter.may_have(task):
                self._release(queue, task)
                waiter.found.set_result(task)
                return waiter
        try:
            self._poll_enough(queue)
        except Unavailable:
            self.withdraw(waiter)
            raise
        return waiter

    def withdraw(self, waiter: Waiter) -> None:
        """Leave the line. A task that the waiter was given and did not take (``take``) goes to the next one."""
        self._unqueue(waiter)
        if waiter.found.done() and not waiter.found.cancelled() and waiter.found.exception() is None:
            self._offer(waiter.queue, waiter.found.result())
        waiter.found.cancel()

    def take(self, waiter: Waiter) -> AttemptTask:
        """What a waiter was given, which is the caller's from now on. Raises what polling raised."""
        self._unqueue(waiter)
        return waiter.found.result()

    def decline(self, task: AttemptTask) -> None:
        """Give a task back."""
        self._run(self._decline(task))

    async def close(self) -> None:
        """Decline what is still declined, then end the polls: a task that comes in this very moment lapses."""
        ends = time.monotonic() + _CLOSE_SECONDS
        while self._beside and (left := ends - time.monotonic()) > 0:
            await asyncio.wait(self._beside, timeout=left)
        for poll in list(self._polling):
            poll.cancel()
        await asyncio.gather(*self._polling, return_exceptions=True)

    def _poll_enough(self, queue: str) -> None:
        waiting = [waiter for waiter in self._waiters.get(queue, ()) if not waiter.found.done()]
        while self._polls[queue] < len(waiting):
            if len(self._polling) >= MAX_POLLS:
                raise Unavailable(
                    f"{MAX_POLLS} claims wait at this API already: ask again later, or start another API process."
                )
            poll = asyncio.create_task(self._poll(queue, waiting[self._polls[queue]].agent_id))
            self._polls[queue] += 1
            self._polling.add(poll)
            poll.add_done_callback(self._polling.discard)

    async def _poll(self, queue: str, agent_id: str) -> None:
        try:
            task = await self._tasks.poll(queue, agent_id)
        except Exception as error:  # whatever it is, somebody waits for it
            self._ended(queue)
            self._tell(queue, error)
            return
        self._ended(queue)
        if task is not None:
            self._offer(queue, task)
        with suppress(Unavailable):  # others have come in between: the waiter's time will run out
            self._poll_enough(queue)

    def _ended(self, queue: str) -> None:
        self._polls[queue] -= 1
        if not self._polls[queue]:
            del self._polls[queue]

    def _tell(self, queue: str, error: Exception) -> None:
        """The one who has waited longest hears of it; who has no poll now gets another one with the next claim."""
        if not isinstance(error, Unavailable):
            logger.error("A poll failed", exc_info=error)
        for waiter in self._waiters.get(queue, ()):
            if not waiter.found.done():
                return waiter.found.set_exception(error)
        return None

    def _offer(self, queue: str, task: AttemptTask) -> None:
        waiters = [waiter for waiter in self._waiters.get(queue, ()) if not waiter.found.done()]
        for waiter in waiters:
            if waiter.may_have(task):
                return waiter.found.set_result(task)
        if waiters or task.attempt.avoid_agent == task.agent_id:
            return self.decline(task)  # once, so that a pool of one agent still runs it
        self._held.setdefault(queue, {})[task] = None
        self._run(self._hold(queue, task))
        return None

    async def _hold(self, queue: str, task: AttemptTask) -> None:
        await asyncio.sleep(HOLD_SECONDS)
        if self._release(queue, task):
            await self._decline(task)

    def _release(self, queue: str, task: AttemptTask) -> bool:
        """False when somebody has it already."""
        held = self._held.get(queue, {})
        known = task in held
        held.pop(task, None)
        if not held:
            self._held.pop(queue, None)
        return known

    def _unqueue(self, waiter: Waiter) -> None:
        line = self._waiters.get(waiter.queue, {})
        line.pop(waiter, None)
        if not line:
            self._waiters.pop(waiter.queue, None)

    async def _decline(self, task: AttemptTask) -> None:
        """Asks again for some seconds; after that the task's lease lapses by itself."""
        now = self._clock()
        result = AttemptResult(
            attempt=task.attempt.attempt,
            agent_id=task.agent_id,
            outcome=Outcome.DECLINED,
            cause="declined",
            message="The agent leaves the attempt to another one.",
            claimed_at=now,
            finished_at=now,
        )
        with suppress(LeaseLapsed):
            for pause in _DECLINE_PAUSES:
                try:
                    return await self._tasks.complete(task.token, result)
                except Unavailable as error:
                    ids = {"job_id": task.attempt.job_id, "attempt": task.attempt.attempt}
                    logger.warning("an attempt is not given back yet: %s", error, extra=ids)
                await asyncio.sleep(pause)
        return None

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
