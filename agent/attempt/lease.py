"""The lease of a running attempt: renewed once a second, and the first to know when the attempt is no longer ours.

The server gives an attempt to somebody else when it has heard nothing for the lease's length. The agent counts that
time from before each renewal was sent, so that its own idea of the end is never later than the server's, and ends the
processes before it (self-fencing). Should the agent itself stand still, its guardian does: it hears of every renewal.
Inside the lease nothing changes, however long Temporal is away.
Deliberately not here: what stopping means (``run``).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from enum import StrEnum
from typing import Final

from temporalio import activity
from temporalio.api.workflowservice.v1 import RecordActivityTaskHeartbeatRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from agent.safety.guardian_main import boot_clock
from workflows.contracts.statuses import OnPartition

RENEW_SECONDS: Final = 1.0
FENCE_SECONDS: Final = 3.0
"""So long before its end an unrenewed lease begins to stop the attempt."""
FENCE_GRACE_SECONDS: Final = 2.0
GRACE_ENDS_SECONDS: Final = FENCE_SECONDS - FENCE_GRACE_SECONDS
GUARDIAN_SECONDS: Final = 2.5
"""So long before its end the guardian asks the processes to end, when the agent has not begun to stop the attempt."""
_RPC_TIMEOUT: Final = timedelta(seconds=5)

logger = logging.getLogger(__name__)


class LeaseEvent(StrEnum):
    """What a lease tells its attempt; each at most once."""

    CANCEL_REQUESTED = "cancel_requested"
    LOST = "lost"  # the server says that the attempt is not ours (any more)
    FENCED = "fenced"  # nobody answered and the end is near


class LeaseLost(Exception):
    """The server knows no such attempt in our hands."""


class RenewalFailed(Exception):
    """The server did not answer."""


Renew = Callable[[], Awaitable[bool]]
"""Renew once; True when the attempt shall be cancelled. Raises LeaseLost or RenewalFailed."""
Notify = Callable[[LeaseEvent, float | None], None]
"""The event, and the seconds until everything must be dead (None: as for any cancellation)."""
Fence = Callable[[float, float], None]
"""When the guardian asks the processes to end and when it kills them, by ``boot_clock``."""


def _no_guardian(ask_at: float, kill_at: float) -> None:
    return None


class Lease:
    """One attempt's lease, held from its creation on. ``keep`` runs until it is cancelled or the lease is lost."""

    def __init__(
        self,
        renew: Renew,
        *,
        seconds: float,
        on_partition: OnPartition,
        notify: Notify,
        fence: Fence = _no_guardian,
        clock: Callable[[], float] = boot_clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._renew, self._seconds, self._notify, self._fence = renew, seconds, notify, fence
        self._fences = on_partition is OnPartition.STOP
        self._clock, self._sleep = clock, sleep
        self._renewed_at = clock()
        self._told: set[LeaseEvent] = set()

    @property
    def remaining(self) -> float:
        """Seconds until the lease ends unless it is renewed; negative afterwards."""
        return self._renewed_at + self._seconds - self._clock()

    @property
    def lost(self) -> bool:
        """True when the server has said so."""
        return LeaseEvent.LOST in self._told

    def expires_at(self, now_ms: int) -> int:
        """The end of the lease as it stands, epoch ms."""
        return now_ms + round(self.remaining * 1000)

    def look(self) -> None:
        """Say now that the attempt is fenced, if it is time: an agent that stood still may not have said it yet."""
        if self._fences and self.remaining <= FENCE_SECONDS:
            self._tell_guardian(GRACE_ENDS_SECONDS)
            grace = max(0.0, min(FENCE_GRACE_SECONDS, self.remaining - GRACE_ENDS_SECONDS))
            self._tell(LeaseEvent.FENCED, grace)

    async def keep(self) -> None:
        """Renew and watch."""
        self._tell_guardian(GUARDIAN_SECONDS)
        watch = asyncio.create_task(self._watch()) if self._fences else None
        try:
            await self._keep_renewing()
        finally:
            if watch is not None:
                watch.cancel()

    async def _keep_renewing(self) -> None:
        next_at = self._renewed_at + RENEW_SECONDS
        failing = False
        while True:
            await self._sleep(max(next_at - self._clock(), 0))
            sent_at = self._clock()
            next_at = sent_at + RENEW_SECONDS
            try:
                cancel_requested = await self._renew()
            except LeaseLost:
                self._tell(LeaseEvent.LOST, 0.0)
                return
            except Exception as error:  # also one that nobody foresaw: the watch must go on, for nobody else fences
                if not failing:
                    self._say_failing(error)
                failing = True
                continue
            failing = False
            self.look()  # an answer that an agent finds when it wakes comes after the guardian has asked for the end
            self._renewed_at = sent_at
            self._tell_guardian(GUARDIAN_SECONDS)
            if cancel_requested:
                self._tell(LeaseEvent.CANCEL_REQUESTED)

    def _say_failing(self, error: Exception) -> None:
        then = "then the attempt is stopped" if self._fences else "the attempt goes on"
        unforeseen = None if isinstance(error, RenewalFailed) else error
        text = "A lease was not renewed (%s); it ends in %.0f s, %s"
        logger.warning(text, error, self.remaining, then, exc_info=unforeseen)

    async def _watch(self) -> None:
        while self.remaining > FENCE_SECONDS:
            await self._sleep(self.remaining - FENCE_SECONDS)
        self.look()

    def _tell_guardian(self, ask_seconds: float) -> None:
        """``ask_seconds`` before the end it asks, ``GRACE_ENDS_SECONDS`` before the end it kills."""
        if self._fences:
            ends_at = self._renewed_at + self._seconds
            self._fence(ends_at - ask_seconds, ends_at - GRACE_ENDS_SECONDS)

    def _tell(self, event: LeaseEvent, grace: float | None = None) -> None:
        if event not in self._told:
            self._told.add(event)
            self._notify(event, grace)


def temporal_renewal(client: Client, unauthenticated: Callable[[], None]) -> Renew:
    """Renewals of the activity that is running in this context. ``unauthenticated``: our token is not accepted.

    Raw, because the SDK's heartbeats are throttled to 0.8 of the lease and say nothing about what was acknowledged.
    """
    info = activity.info()
    request = RecordActivityTaskHeartbeatRequest(
        task_token=info.task_token, namespace=client.namespace, identity=client.identity
    )

    async def renew() -> bool:
        try:
            answer = await client.workflow_service.record_activity_task_heartbeat(
                request, retry=False, timeout=_RPC_TIMEOUT
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise LeaseLost from error
            if error.status is RPCStatusCode.UNAUTHENTICATED:
                unauthenticated()
            raise RenewalFailed(f"Temporal: {error.status.name.lower()}") from error
        activity.heartbeat()  # the SDK cancels an activity that it believes silent
        return answer.cancel_requested

    return renew
