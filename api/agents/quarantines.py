"""Agents that claim over HTTP and could not run what they got: kept away from jobs for a while.

Agents with a Temporal worker keep themselves away and say so in their heartbeats; those that only speak HTTP need not
know of it. Each API process counts what was reported to it. Deliberately not here: whom it concerns
(``claims.claimers``).
"""

from dataclasses import dataclass
from typing import Final

from activities.clock import Clock
from workflows.contracts.agents import QUARANTINE_FIRST_SECONDS, QUARANTINE_LONGEST_SECONDS
from workflows.contracts.statuses import Outcome
from workflows.newest import Newest

_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """``until`` in epoch milliseconds; ``failures`` in a row."""

    failures: int
    until: int


class Quarantines:
    """Doubling from 10 s to 1 h, until the agent runs a job."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: Newest[str, QuarantineEntry] = Newest(_REMEMBERED)

    def of(self, agent_id: str) -> QuarantineEntry | None:
        """The one that holds now."""
        known = self._known.get(agent_id)
        return known if known is not None and known.until > self._clock() else None

    def reported(self, agent_id: str, outcome: Outcome) -> QuarantineEntry | None:
        """An attempt ended so: what follows of it. Only the agent's own failure counts; only a run clears it."""
        if outcome is Outcome.AGENT_ERROR:
            before = self._known.get(agent_id)
            failures = 1 if before is None else before.failures + 1
            seconds = min(QUARANTINE_FIRST_SECONDS * 2 ** min(failures - 1, 20), QUARANTINE_LONGEST_SECONDS)
            self._known[agent_id] = QuarantineEntry(failures, self._clock() + seconds * 1000)
        elif outcome in {Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT}:
            self._known.pop(agent_id, None)
        return self.of(agent_id)
