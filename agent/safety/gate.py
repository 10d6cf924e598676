"""Whether this agent takes new work now, and if not, why. Several reasons can hold at once.

Who keeps work away reads it: ``queues.pollers`` stop polling, ``attempt.activity`` decline what comes all the same.
"""

import logging
from collections.abc import Callable
from enum import StrEnum

logger = logging.getLogger(__name__)


class Reason(StrEnum):
    """Also the cause of a declined attempt."""

    DRAINING = "draining"  # it finishes what it runs and ends
    PAUSED = "paused"  # the control plane says so
    QUARANTINED = "quarantined"  # jobs failed on it for reasons of its own
    CUT_OFF = "cut_off"  # it could not report: neither the API nor Temporal answers


class Gate:
    """Open when no reason holds. Used from one event loop."""

    def __init__(self) -> None:
        self._why: dict[Reason, str] = {}
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever a reason has come, gone or changed its words."""
        self._listeners.append(listener)

    def close(self, reason: Reason, why: str) -> None:
        """``why``: a sentence for people."""
        if self._why.get(reason) == why:
            return
        self._why[reason] = why
        logger.info("Nothing new is taken: %s", why)
        self._changed()

    def clear(self, reason: Reason) -> None:
        """The reason holds no more."""
        if self._why.pop(reason, None) is None:
            return
        if self._why:
            logger.info("No longer %s, but nothing new is taken yet: %s", reason, self.refusal)
        else:
            logger.info("No longer %s: new work is taken again", reason)
        self._changed()

    @property
    def refusal(self) -> tuple[Reason, str] | None:
        """A reason and its sentence, or None when it is open."""
        return next(iter(self._why.items()), None)

    def holds(self, reason: Reason) -> bool:
        """True while this one keeps it closed."""
        return reason in self._why

    @property
    def closed_by_agent(self) -> bool:
        """True when the agent itself has a reason, whatever the control plane says."""
        return any(reason is not Reason.PAUSED for reason in self._why)

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()
