"""The agent's capacity, shared by the workers of all its queues.

A worker needs a permit for each poll, and keeps it while the task that the poll brought runs. With one queue this is a
fixed number of permits. With several, a queue must be polled although the polls of others could use up the capacity
just then, so each may have one poll out as long as anything is free. When several want that one, they take turns with a
pause between them: of two queues with work only one is served, instead of a task being fetched and declined each time.
What comes all the same from a poll that was out is declined by ``attempt.activity``.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final

from temporalio.worker import (
    CustomSlotSupplier,
    FixedSizeSlotSupplier,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
    WorkerTuner,
)

TURN_SECONDS: Final = 0.2
"""A poll of a queue with work is answered within this, so that the next queue need not be polled."""


class Slots:
    """Permits are asked for on the event loop, used and released on threads of the SDK: hence the lock."""

    def __init__(self, capacity: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity, self._clock = capacity, clock
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._lines: list[Line] = []
        self._waiters: set[asyncio.Future[None]] = set()
        self._granted_at = 0.0

    def line(self, *, polls: int) -> "Line":
        """A supplier for one worker that polls with so many at once; close it when the worker has ended."""
        line = Line(self, polls)
        with self._lock:
            self._lines.append(line)
        return line

    @property
    def used(self) -> int:
        """How many permits are held by tasks, not counting polls."""
        return sum(line.used for line in self._lines)

    async def reserve(self, line: "Line") -> SlotPermit:
        """Wait for a permit."""
        line.waiting += 1
        try:
            while True:
                with self._lock:
                    seconds = self._seconds_until(line)
                    if seconds == 0:
                        line.polling += 1
                        line.granted_at = self._granted_at = self._clock()
                        break
                await self._changed_within(seconds)
        finally:
            line.waiting -= 1
        self._wake_if_several()
        return _Permit()

    def mark_used(self, line: "Line", permit: SlotPermit) -> None:
        """The poll has brought a task."""
        if isinstance(permit, _Permit):
            with self._lock:
                permit.used = True
                line.polling -= 1
                line.used += 1
            self._wake_if_several()

    def release(self, line: "Line", permit: SlotPermit) -> None:
        """The task is over, or the poll brought none."""
        if isinstance(permit, _Permit):
            with self._lock:
                if permit.used:
                    line.used -= 1
                else:
                    line.polling -= 1
            self._wake_soon()

    def close(self, line: "Line") -> None:
        """Its worker has ended; permits that it never took notice of are gone with it."""
        with self._lock:
            if line in self._lines:
                self._lines.remove(line)
        self._wake_soon()

    def _seconds_until(self, line: "Line") -> float | None:
        """0: a permit now. None: not before something changes. Called with the lock."""
        free = self._capacity - sum(other.used for other in self._lines)
        if free <= 0 or line.polling >= line.polls:  # the SDK asks for one permit more than it polls with
            return None
        hungry = [other for other in self._lines if other.waiting and not other.polling]
        spare = free - sum(other.polling for other in self._lines)
        if line.polling:
            return 0 if spare > len(hungry) else None
        if line is not min(hungry, key=lambda other: other.granted_at):
            return 0 if spare >= len(hungry) else None
        return 0 if spare > 0 else max(0.0, self._granted_at + TURN_SECONDS - self._clock())

    async def _changed_within(self, seconds: float | None) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait({waiter}, timeout=seconds)
        finally:
            self._waiters.discard(waiter)

    def _wake_if_several(self) -> None:
        """Between permits and polls of one queue alone nothing has changed."""
        if len(self._lines) > 1:
            self._wake_soon()

    def _wake_soon(self) -> None:
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


class Line(CustomSlotSupplier):
    """One worker's part in the slots."""

    def __init__(self, slots: Slots, polls: int) -> None:
        self._slots, self.polls = slots, polls
        self.waiting = 0
        self.polling = 0
        self.used = 0
        self.granted_at = 0.0

    def tuner(self) -> WorkerTuner:
        """For a worker that runs activities only."""
        nothing = FixedSizeSlotSupplier(1)
        return WorkerTuner.create_composite(
            workflow_supplier=nothing,
            activity_supplier=self,
            local_activity_supplier=nothing,
            nexus_supplier=nothing,
        )

    def close(self) -> None:
        """Its worker has ended."""
        self._slots.close(self)

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        """See ``CustomSlotSupplier``."""
        return await self._slots.reserve(self)

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        """No task comes here but by a poll."""
        return None

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        """On a thread of the SDK."""
        self._slots.mark_used(self, ctx.permit)

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        """On a thread of the SDK."""
        self._slots.release(self, ctx.permit)


class _Permit(SlotPermit):
    """``used``: it belongs to a task, no longer to a poll."""

    def __init__(self) -> None:
        self.used = False
