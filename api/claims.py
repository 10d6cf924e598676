"""Claims of agents that speak HTTP: each is a poll of the pool's task queue, made on the agent's behalf.

No task is ever lost: a poll always runs to its end, and what it brings for a client that is gone, or beyond what was
asked for, is declined at once, so that it goes elsewhere. Should this process die in between, the lease lapses.
Deliberately not here: the calls to Temporal (``attempt_tasks``), who may claim (``routes.claims``).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from temporalio.client import Client

from activities.clock import Clock, epoch_millis
from api.attempt_tasks import SHORTEST_POLL_SECONDS, AttemptTask, AttemptTasks, LeaseLapsed
from api.leases import Lease, LeaseTokens
from api.quarantines import Quarantines
from api.queue_choice import QueueChoice
from api.task_queues import Backlog, TaskQueues
from workflows.contracts.attempts import AttemptResult
from workflows.contracts.claims import ClaimedJob, ClaimLease
from workflows.contracts.errors import Unavailable
from workflows.contracts.statuses import Outcome

T = TypeVar("T")
_LONGEST_POLL_SECONDS: Final = 3.0
"""Bounds how long a poll can outlive its client."""
_MORE_WITHIN_SECONDS: Final = 0.5
"""The first job waits so long at most for each further one that the queue has."""
_DECLINE_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
_CLOSE_SECONDS: Final = 6.0

logger = logging.getLogger(__name__)


class ClientGone(Exception):
    """The claimer left before it had an answer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A claim. ``queues``: the pool's own first, then those of demands that the agent meets.

    ``check`` is called again and again while the claim waits; it raises when the agent may take nothing any more.
    """

    agent_id: str
    pool: str
    queues: Sequence[str]
    max_jobs: int
    wait_seconds: float
    check: Callable[[], Awaitable[None]]


class Claims:
    """One API process's claims. Every method raises Unavailable when Temporal does not answer, or without a secret."""

    def __init__(
        self,
        client: Callable[[], Client],
        secret: bytes | None,
        *,
        clock: Clock = epoch_millis,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._tasks = AttemptTasks(client)
        self._client, self._clock, self._stopping = client, clock, stopping
        self._tokens = LeaseTokens(secret) if secret is not None else None
        self._choice = QueueChoice(self._backlog)
        self._under_way: set[asyncio.Task[Any]] = set()
        self.quarantines = Quarantines(clock)

    @classmethod
    def unconfigured(cls) -> "Claims":
        """Without a secret: every claim is refused."""
        return cls(_no_client, None)

    async def claim(self, wanted: Wanted, gone: asyncio.Event) -> list[ClaimedJob]:
        """Up to ``max_jobs`` attempts, as soon as there is one; none when nothing came in time.

        Raises ClientGone, and what ``wanted.check`` raises.
        """
        tokens = self._secret_tokens()
        tasks: list[AttemptTask] = []
        try:
            first = await self._first(wanted, gone)
            if first is not None:
                tasks.append(first)
                await self._more(wanted, tasks, gone)
            if gone.is_set():
                raise ClientGone
        except BaseException:
            for task in tasks:
                self._beside(self._decline(task))
            raise
        return [self._claimed(tokens, wanted.pool, task) for task in tasks]

    def lease(self, agent_id: str, token: str) -> Lease:
        """What a lease token stands for. Raises NotYoursError."""
        return self._secret_tokens().read(agent_id, token)

    async def renew(self, lease: Lease) -> ClaimLease:
        """Renew it. Raises LeaseLapsed."""
        sent_at = self._clock()
        cancel = await self._tasks.renew(lease.task_token, lease.agent_id)
        return ClaimLease(lease_expires_at=sent_at + lease.lease_seconds * 1000, cancel_requested=cancel)

    async def complete(self, lease: Lease, result: AttemptResult) -> None:
        """Report how the attempt ended. Raises LeaseLapsed."""
        await self._tasks.complete(lease.task_token, result)

    async def close(self) -> None:
        """Wait for the polls that are under way and for what they bring."""
        ends = time.monotonic() + _CLOSE_SECONDS
        while self._under_way and (left := ends - time.monotonic()) > 0:
            await asyncio.wait(self._under_way, timeout=left)

    async def _first(self, wanted: Wanted, gone: asyncio.Event) -> AttemptTask | None:
        """Poll in slices: between two it is seen whether the agent still may, and which queue is the busiest."""
        ends = time.monotonic() + wanted.wait_seconds
        several = len(wanted.queues) > 1
        disappointing: str | None = None
        while True:
            busiest = await self._choice.next_of([q for q in wanted.queues if q != disappointing]) if several else None
            longest = SHORTEST_POLL_SECONDS if several else _LONGEST_POLL_SECONDS
            slice_seconds = min(longest, max(ends - time.monotonic(), SHORTEST_POLL_SECONDS))
            task = await self._take(busiest or wanted.queues[0], wanted.agent_id, slice_seconds, gone)
            if task is not None and task.attempt.avoid_agent != wanted.agent_id:
                return task
            if task is not None:
                await self._decline(task)
            else:
                disappointing = busiest  # its tasks were cancelled, or others had them
            late = ends - time.monotonic() < SHORTEST_POLL_SECONDS / 2
            if gone.is_set() or self._stopping() or (late and task is None):
                return None
            await wanted.check()

    async def _more(self, wanted: Wanted, tasks: list[AttemptTask], gone: asyncio.Event) -> None:
        """Add to ``tasks`` what is there already."""
        while len(tasks) < wanted.max_jobs and not gone.is_set():
            busiest = await self._choice.next_of(wanted.queues)
            if busiest is None:
                return
            task = await self._take(
                busiest, wanted.agent_id, SHORTEST_POLL_SECONDS, gone, patience_seconds=_MORE_WITHIN_SECONDS
            )
            if task is None:
                return
            if task.attempt.avoid_agent == wanted.agent_id:
                self._beside(self._decline(task))
            else:
                tasks.append(task)

    async def _take(
        self, queue: str, agent_id: str, seconds: float, gone: asyncio.Event, *, patience_seconds: float | None = None
    ) -> AttemptTask | None:
        """One poll. Whoever stops waiting for it, for whatever reason, leaves it to ``_decline_late``."""
        poll = self._beside(self._tasks.poll(queue, agent_id, seconds))
        leaving = asyncio.create_task(gone.wait())
        try:
            await asyncio.wait({poll, leaving}, timeout=patience_seconds, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._beside(self._decline_late(poll))
            raise
        finally:
            leaving.cancel()
        if poll.done():
            return poll.result()
        self._beside(self._decline_late(poll))
        return None

    async def _decline_late(self, poll: "asyncio.Task[AttemptTask | None]") -> None:
        task = None
        with suppress(Unavailable):  # nobody waits for an answer any more
            task = await poll
        if task is not None:
            await self._decline(task)

    async def _decline(self, task: AttemptTask) -> None:
        """Give it back, asking again for some seconds; after that its lease lapses by itself."""
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

    def _claimed(self, tokens: LeaseTokens, pool: str, task: AttemptTask) -> ClaimedJob:
        now, attempt = self._clock(), task.attempt
        lease = Lease(task.agent_id, attempt.job_id, attempt.attempt, pool, attempt.lease_seconds, now, task.token)
        return ClaimedJob(
            job_id=attempt.job_id,
            attempt=attempt.attempt,
            lease_token=tokens.issue(lease),
            lease_seconds=attempt.lease_seconds,
            lease_expires_at=now + attempt.lease_seconds * 1000,
            job=attempt,
        )

    async def _backlog(self, queue: str) -> Backlog:
        return await TaskQueues(self._client()).backlog(queue)

    def _secret_tokens(self) -> LeaseTokens:
        if self._tokens is None:
            raise Unavailable(
                "This API has no signing key and so hands out no jobs over HTTP: set HYBRIDCI_SIGNING_KEY (or"
                " HYBRIDCI_SIGNING_KEY_FILE) to a secret of at least 32 characters, the same for all API processes."
            )
        return self._tokens

    def _beside(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run it to its end, whatever happens to who asked for it."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task


def _no_client() -> Client:
    raise Unavailable("There is no way to Temporal here.")
