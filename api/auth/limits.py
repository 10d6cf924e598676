"""How often somebody may ask, and how often an address may be wrong: counted in this process, minute by minute.

Not the ``limits`` package: its memory store walks through all keys in a thread every 10 ms, which with 10,000 agents
costs more than answering them. Of several API processes each counts for itself.
Deliberately not here: who is known.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from api.auth.principal import Principal
from api.http.addresses import network_of
from api.http.errors import ApiError, ProblemCode
from workflows.contracts.access import Role

WINDOW_SECONDS: Final = 60
_READS: Final = frozenset({"GET", "HEAD"})
_MAX_KEYS: Final = 100_000
"""Counted in one minute; from then on the rest of that minute's newcomers share one count."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """A minute's limits in one API process; 0 for none. The two keys of the configuration are not limited: they are the
    way back in. A CI that submits 20 jobs a second makes 1,200 changes a minute, and looks at each a few times.
    """

    changes: int = 3000
    reads: int = 6000
    agent_requests: int = 60_000
    failures: int = 30


class Minutes:
    """Counts by key in one minute after another."""

    def __init__(self, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._monotonic = limit, monotonic
        self._ends = 0.0
        self._counts: dict[str, int] = {}

    def count(self, key: str) -> bool:
        """Count one more; False when it is one too many."""
        self._turn()
        if key not in self._counts and len(self._counts) >= _MAX_KEYS:
            key = ""
        counted = self._counts.get(key, 0) + 1
        self._counts[key] = counted
        return not self._limit or counted <= self._limit

    def over(self, key: str) -> bool:
        """True when no more is allowed in this minute."""
        self._turn()
        return bool(self._limit) and self._counts.get(key, 0) >= self._limit

    def retry_after(self) -> int:
        """Seconds until the next minute begins, at least 1."""
        return max(1, round(self._ends - self._monotonic()))

    def _turn(self) -> None:
        now = self._monotonic()
        if now >= self._ends:
            self._ends = now + WINDOW_SECONDS
            self._counts.clear()


@dataclass(frozen=True, slots=True)
class _Counted:
    """What is counted, and what whoever goes beyond it is told."""

    minutes: Minutes
    told: str

    @classmethod
    def of(cls, minutes: Minutes, most: str) -> Self:
        return cls(minutes, f"One API process takes at most {most}")


class RequestLimits:
    """The limits of one API process."""

    def __init__(self, limits: RateLimits, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._changes = _Counted.of(
            Minutes(limits.changes, monotonic),
            f"{limits.changes} changes a minute with one credential (HYBRIDCI_RATE_LIMIT). "
            "POST /api/queue/jobs/batch submits 100 jobs at once.",
        )
        self._reads = _Counted.of(
            Minutes(limits.reads, monotonic),
            f"{limits.reads} reads a minute with one credential (HYBRIDCI_RATE_LIMIT_READS). "
            "Events and logs can be followed (`follow=true`) instead of being asked for again and again.",
        )
        self._agents = _Counted.of(
            Minutes(limits.agent_requests, monotonic),
            f"{limits.agent_requests} requests a minute of one agent (HYBRIDCI_RATE_LIMIT_AGENTS).",
        )
        self._failures = Minutes(limits.failures, monotonic)
        self._lookups = Minutes(limits.failures, monotonic)

    def count(self, principal: Principal, method: str) -> None:
        """Count a request of somebody who is known. Raises ApiError too_many_requests."""
        if principal.credential_id is None:
            return
        by_people = self._reads if method in _READS else self._changes
        counted = self._agents if principal.role is Role.AGENT else by_people
        if not counted.minutes.count(principal.credential_id):
            raise _too_many(counted.minutes, counted.told)

    def was_wrong_too_often(self, address: str | None) -> bool:
        """True when the next unknown credential from there is one too many."""
        return self._failures.over(network_of(address))

    def failed(self, address: str | None) -> None:
        """Count a credential that is not known. Raises ApiError too_many_requests when there were too many."""
        if not self._failures.count(network_of(address)):
            raise self.refusal()

    def refusal(self) -> ApiError:
        """For an address that was wrong too often."""
        return _too_many(self._failures, "Too many credentials from your address were not known.")

    def may_look_up(self, address: str | None) -> None:
        """Before the store is asked. Raises ApiError too_many_requests when it was asked in vain too often."""
        if self.has_looked_up_too_often(address):
            raise self.refusal()

    def has_looked_up_too_often(self, address: str | None) -> bool:
        """True when the store is asked no more for this address."""
        return self._lookups.over(network_of(address))

    def looked_up_in_vain(self, address: str | None) -> None:
        """Count a read that found nothing."""
        self._lookups.count(network_of(address))


def _too_many(minutes: Minutes, why: str) -> ApiError:
    seconds = minutes.retry_after()
    return ApiError(
        ProblemCode.TOO_MANY_REQUESTS, f"{why} Try again in {seconds} s.", headers={"Retry-After": str(seconds)}
    )
