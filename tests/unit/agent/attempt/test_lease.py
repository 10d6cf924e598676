"""The lease with a clock of its own: renewals, fencing before the end, cancellation, loss."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

import pytest

from agent.attempt.lease import Lease, LeaseEvent, LeaseLost, RenewalFailed
from workflows.contracts.statuses import OnPartition

LEASE = 30.0


class Clock:
    """Time that passes only when everybody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), future))
        await future

    async def run_until(self, when: float) -> None:
        while True:
            for _ in range(5):
                await asyncio.sleep(0)
            self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[2].done()]
            heapq.heapify(self._sleepers)
            if not self._sleepers or self._sleepers[0][0] > when:
                self.now = max(self.now, when)
                return
            at, _, future = heapq.heappop(self._sleepers)
            self.now = max(self.now, at)
            future.set_result(None)


class Server:
    """Answers renewals as it is told, after ``seconds``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.calls: list[float] = []
        self.seconds = 0.0
        self.answer: Callable[[], bool] = lambda: False
        self.inside = 0

    async def renew(self) -> bool:
        assert self.inside == 0, "renewals must not overlap"
        self.inside += 1
        self.calls.append(self._clock.now)
        try:
            if self.seconds:
                await self._clock.sleep(self.seconds)
            return self.answer()
        finally:
            self.inside -= 1


def failing() -> bool:
    raise RenewalFailed("unavailable")


def broken() -> bool:
    raise RuntimeError("a bug in the client")


def gone() -> bool:
    raise LeaseLost


class Held:
    """A lease being kept, and what it told."""

    def __init__(self, on_partition: OnPartition = OnPartition.STOP) -> None:
        self.clock = Clock()
        self.server = Server(self.clock)
        self.told: list[tuple[LeaseEvent, float | None, float]] = []
        self.fences: list[tuple[float, float]] = []
        self.lease = Lease(
            self.server.renew,
            seconds=LEASE,
            on_partition=on_partition,
            notify=lambda event, grace: self.told.append((event, grace, self.clock.now)),
            fence=lambda ask_at, kill_at: self.fences.append((ask_at, kill_at)),
            clock=self.clock,
            sleep=self.clock.sleep,
        )
        self.keeping = asyncio.create_task(self.lease.keep())

    async def __aenter__(self) -> "Held":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.keeping.cancel()
        await asyncio.gather(self.keeping, return_exceptions=True)


async def test_it_is_renewed_once_a_second_and_ends_30_s_after_the_last_one() -> None:
    async with Held() as held:
        await held.clock.run_until(110.5)
        assert held.server.calls == [100.0 + second for second in range(1, 11)]
        assert held.lease.remaining == pytest.approx(29.5)
        assert held.lease.expires_at(1_000_000) == 1_029_500
        assert held.told == []


async def test_the_time_counts_from_before_a_slow_renewal_was_sent() -> None:
    async with Held() as held:
        held.server.seconds = 4.0
        await held.clock.run_until(105.5)
        assert held.server.calls == [101.0, 105.0]
        assert held.lease.remaining == pytest.approx(101 + LEASE - 105.5)


async def test_inside_the_lease_nothing_changes() -> None:
    async with Held() as held:
        await held.clock.run_until(105)
        held.server.answer = failing
        await held.clock.run_until(130.5)
        held.server.answer = lambda: False
        await held.clock.run_until(200)
        assert held.told == []


async def test_a_partition_stops_the_attempt_before_the_lease_ends() -> None:
    async with Held() as held:
        await held.clock.run_until(105)
        held.server.answer = failing
        held.server.seconds = 5.0
        await held.clock.run_until(200)
        assert held.told == [(LeaseEvent.FENCED, 2.0, 132.0)], "3 s before the end at 135, all dead 1 s before it"


async def test_after_a_long_pause_of_the_agent_there_is_no_grace() -> None:
    async with Held() as held:
        held.server.answer = failing
        await held.clock.run_until(110)
        held.clock.now = 190
        await held.clock.run_until(191)
        assert [(event, grace) for event, grace, _ in held.told] == [(LeaseEvent.FENCED, 0.0)]


async def test_an_attempt_may_go_on_through_a_partition() -> None:
    async with Held(OnPartition.CONTINUE) as held:
        held.server.answer = failing
        await held.clock.run_until(500)
        assert held.told == []
        held.server.answer = gone
        await held.clock.run_until(502)
        assert [event for event, _, _ in held.told] == [LeaseEvent.LOST], "but not beside its successor"
        assert held.lease.lost


async def test_a_cancellation_is_told_once() -> None:
    async with Held() as held:
        held.server.answer = lambda: True
        await held.clock.run_until(103)
        assert held.told == [(LeaseEvent.CANCEL_REQUESTED, None, 101.0)]


async def test_a_lost_lease_ends_the_renewals() -> None:
    async with Held() as held:
        held.server.answer = gone
        await held.clock.run_until(110)
        assert held.keeping.done()
        assert held.told == [(LeaseEvent.LOST, 0.0, 101.0)]


async def test_an_error_that_nobody_foresaw_does_not_end_the_watch() -> None:
    """Otherwise the attempt would run on beside its successor, unrenewed and unfenced."""
    async with Held() as held:
        held.server.answer = broken
        await held.clock.run_until(140)
        assert held.told == [(LeaseEvent.FENCED, 2.0, 127.0)]
        assert not held.keeping.done()


async def test_the_guardian_hears_of_each_renewal_and_that_the_agent_stops_the_attempt_itself() -> None:
    async with Held() as held:
        await held.clock.run_until(102.5)
        held.server.answer = failing
        assert held.fences == [(127.5, 129.0), (128.5, 130.0), (129.5, 131.0)], "after the agent, before the end"
        await held.clock.run_until(140)
        assert held.told == [(LeaseEvent.FENCED, 2.0, 129.0)]
        assert held.fences[3:] == [(131.0, 131.0)], "no SIGTERM into the grace that the agent gives"


async def test_the_guardian_hears_nothing_of_an_attempt_that_may_go_on() -> None:
    async with Held(OnPartition.CONTINUE) as held:
        held.server.answer = failing
        await held.clock.run_until(200)
        held.lease.look()
        assert (held.fences, held.told) == ([], [])


async def test_a_look_after_a_long_pause_fences_before_anybody_else_says_it() -> None:
    async with Held() as held:
        held.server.answer = failing
        await held.clock.run_until(105)
        held.lease.look()
        assert held.told == []
        held.clock.now = 128
        held.lease.look()
        assert held.told == [(LeaseEvent.FENCED, 1.0, 128.0)]
        await held.clock.run_until(140)
        assert len(held.told) == 1


async def test_an_answer_found_after_a_long_pause_does_not_hide_that_the_guardian_has_asked() -> None:
    """The agent stands still with a renewal under way; of all that is due when it wakes, the answer comes first."""
    async with Held() as held:
        await held.clock.run_until(105.5)
        held.server.seconds = 1.0
        await held.clock.run_until(106.5)
        held.clock.now = 132.6  # the guardian has asked at 132.5, by the renewal of 105
        await held.clock.run_until(132.6)
        assert [event for event, _, _ in held.told] == [LeaseEvent.FENCED]
