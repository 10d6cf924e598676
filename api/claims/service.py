"""Claims of agents that speak HTTP: each is a poll of the pool's task queue, made on the agent's behalf.

Deliberately not here: the polls (``polls``), the calls to Temporal (``attempt_tasks``), who may claim
(``routes``, ``claimers``).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from temporalio.client import Client

from activities.clock import Clock, epoch_millis
from api.agents.quarantines import Quarantines
from api.claims.attempt_tasks import AttemptTask, AttemptTasks
from api.claims.leases import LeaseToken, LeaseTokens
from api.claims.polls import Polls, Waiter
from api.claims.queue_choice import QueueChoice
from api.temporal.task_queues import Backlog
from workflows.contracts.attempts import AttemptResult
from workflows.contracts.claims import ClaimedJob, ClaimLease
from workflows.contracts.errors import Unavailable
from workflows.contracts.identity.secrets import Secret

_SHORTEST_WAIT_SECONDS: Final = 1.0
"""A task that is there already needs some milliseconds to come, on a busy machine more."""
_CHECK_SECONDS: Final = 3.0
"""How often a claim that waits looks whether its agent still may."""
_AHEAD_SECONDS: Final = 0.3
"""So long the busiest of several queues is asked alone."""
_MAX_QUEUES: Final = 8
"""So many are waited for at the same time; of the others, whose demands are older, only one that has something."""
_MORE_WITHIN_SECONDS: Final = 0.2
"""The first job waits so long at most for each further one that the queue has."""


class ClientGone(Exception):
    """The claimer left before it had an answer."""


@dataclass(frozen=True, slots=True)
class WantedAttempt:
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
        secret: Secret | None,
        *,
        clock: Clock = epoch_millis,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._tasks = AttemptTasks(client, clock)
        self._clock, self._stopping = clock, stopping
        self._tokens = LeaseTokens(secret) if secret is not None else None
        self._choice = QueueChoice(self.backlog)
        self.polls = Polls(self._tasks, clock)
        self.quarantines = Quarantines(clock)

    @classmethod
    def unconfigured(cls) -> "Claims":
        """Without a secret: every claim is refused."""
        return cls(_no_client, None)

    async def claim(self, wanted: WantedAttempt, gone: asyncio.Event) -> list[ClaimedJob]:
        """Up to ``max_jobs`` attempts, as soon as there is one; none when nothing came in time.

        Raises ClientGone, and what ``wanted.check`` raises. Then, and only then, nothing was handed out.
        """
        tokens = self._secret_tokens()
        tasks: list[AttemptTask] = []
        leaving = asyncio.create_task(gone.wait())
        try:
            await self._first(wanted, tasks, leaving)
            if tasks:
                await self._more(wanted, tasks, leaving)
            if gone.is_set():
                raise ClientGone
        except BaseException:
            for task in tasks:
                self.polls.decline(task)
            raise
        finally:
            leaving.cancel()
        return [self._claimed(tokens, wanted, task) for task in tasks]

    def lease(self, agent_id: str, token: str) -> LeaseToken:
        """What a lease token stands for. Raises NotYoursError."""
        return self._secret_tokens().read(agent_id, token)

    async def renew(self, lease: LeaseToken) -> ClaimLease:
        """Renew it. Raises LeaseLapsed."""
        sent_at = self._clock()
        cancel = await self._tasks.renew(lease.task_token, lease.agent_id)
        return ClaimLease(lease_expires_at=sent_at + lease.lease_seconds * 1000, cancel_requested=cancel)

    async def complete(self, lease: LeaseToken, result: AttemptResult) -> None:
        """Report how the attempt ended. Raises LeaseLapsed."""
        await self._tasks.complete(lease.task_token, result)

    async def backlog(self, queue: str) -> Backlog:
        """What waits in a queue now."""
        return await self._tasks.backlog(queue)

    async def close(self) -> None:
        """When the process ends: see ``Polls.close``."""
        await self.polls.close()

    async def _first(self, wanted: WantedAttempt, tasks: list[AttemptTask], leaving: asyncio.Task[bool]) -> None:
        """Add the first task that comes. The busiest of several queues is asked alone at first."""
        ends = time.monotonic() + max(wanted.wait_seconds, _SHORTEST_WAIT_SECONDS)
        lines: dict[str, Waiter] = {}
        try:
            busiest = await self._choice.next_of(wanted.queues) if len(wanted.queues) > 1 else None
            if busiest is not None:
                lines[busiest] = self.polls.ask(wanted.agent_id, busiest)
                await self._wait(lines, tasks, leaving, _AHEAD_SECONDS)
            while not tasks and not leaving.done() and not self._stopping():
                for queue in wanted.queues[:_MAX_QUEUES]:
                    if queue not in lines:
                        lines[queue] = self.polls.ask(wanted.agent_id, queue)
                left = ends - time.monotonic()
                await self._wait(lines, tasks, leaving, min(left, _CHECK_SECONDS))
                if tasks or left <= _CHECK_SECONDS:
                    return
                await wanted.check()
        finally:
            for waiter in lines.values():
                self.polls.withdraw(waiter)

    async def _wait(
        self, lines: dict[str, Waiter], tasks: list[AttemptTask], leaving: asyncio.Task[bool], seconds: float
    ) -> None:
        """Add the first task to come in these lines within the time, and leave its line."""
        done = await _first_of([*(waiter.found for waiter in lines.values()), leaving], seconds)
        for queue, waiter in list(lines.items()):
            if waiter.found in done:
                del lines[queue]
                tasks.append(self.polls.take(waiter))
                return

    async def _more(self, wanted: WantedAttempt, tasks: list[AttemptTask], leaving: asyncio.Task[bool]) -> None:
        """Add what is there already."""
        while len(tasks) < wanted.max_jobs and not leaving.done():
            queue = await self._choice.next_of(wanted.queues)
            if queue is None:
                return None
            waiter = self.polls.ask(wanted.agent_id, queue)
            try:
                done = await _first_of([waiter.found, leaving], _MORE_WITHIN_SECONDS)
            except asyncio.CancelledError:
                self.polls.withdraw(waiter)
                raise
            if waiter.found not in done:
                return self.polls.withdraw(waiter)
            tasks.append(self.polls.take(waiter))
        return None

    def _claimed(self, tokens: LeaseTokens, wanted: WantedAttempt, task: AttemptTask) -> ClaimedJob:
        attempt = task.attempt
        lease = LeaseToken(
            agent_id=wanted.agent_id,
            job_id=attempt.job_id,
            attempt=attempt.attempt,
            pool=wanted.pool,
            lease_seconds=attempt.lease_seconds,
            claimed_at=task.polled_at,
            task_token=task.token,
        )
        return ClaimedJob(
            job_id=attempt.job_id,
            attempt=attempt.attempt,
            lease_token=tokens.issue(lease),
            lease_seconds=attempt.lease_seconds,
            lease_expires_at=task.polled_at + attempt.lease_seconds * 1000,
            job=attempt,
        )

    def _secret_tokens(self) -> LeaseTokens:
        if self._tokens is None:
            raise Unavailable(
                "This API has no signing key and so hands out no jobs over HTTP: set HYBRIDCI_SIGNING_KEY (or"
                " HYBRIDCI_SIGNING_KEY_FILE) to a secret of at least 32 characters, the same for all API processes."
            )
        return self._tokens


async def _first_of(waits: Sequence[asyncio.Future[Any]], seconds: float) -> set[asyncio.Future[Any]]:
    done, _ = await asyncio.wait(waits, timeout=max(seconds, 0), return_when=asyncio.FIRST_COMPLETED)
    return done


def _no_client() -> Client:
    raise Unavailable("There is no way to Temporal here.")
