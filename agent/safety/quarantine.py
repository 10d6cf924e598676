"""An agent on which jobs fail for reasons of its own keeps away from work: 10 s, then twice as long each time, to 1 h.

An attempt that gets as far as its steps ends the row. Kept in the state directory, so that a restart is no way out.
Deliberately not here: what keeps work away meanwhile (``gate``).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from pydantic import Field, ValidationError

from agent.safety.gate import Gate, Reason
from agent.state_file import remove_torn, replace_file
from workflows.contracts.agents import QUARANTINE_FIRST_SECONDS, QUARANTINE_LONGEST_SECONDS
from workflows.contracts.attempts import AttemptResult
from workflows.contracts.base import Tolerant
from workflows.contracts.statuses import Outcome

_FILE: Final = "quarantine.json"
_REASON_CHARACTERS: Final = 500
_NOT_THE_HOST: Final = frozenset({"not_started", "artifact_upload"})
"""A step names a program that is not there; the API took no files for ten minutes."""

logger = logging.getLogger(__name__)


class Failing(Tolerant):
    """A row of ``failures``; nothing is taken from ``began`` to ``until`` (epoch ms)."""

    failures: int = Field(default=0, ge=0)
    began: int = 0
    until: int = 0
    reason: str | None = None


class Quarantine:
    """Used from one event loop; ``clock`` in epoch seconds."""

    def __init__(self, path: Path, gate: Gate, failing: Failing, *, clock: Callable[[], float] = time.time) -> None:
        self._path, self._gate, self._clock = path, gate, clock
        self.failing = failing
        self._timer: asyncio.TimerHandle | None = None
        self._saving: asyncio.Task[None] | None = None

    @classmethod
    def load(cls, state_dir: Path, gate: Gate, *, clock: Callable[[], float] = time.time) -> Self:
        """Go on where an earlier agent in this folder stood; a clock that was set back never makes it longer."""
        path = state_dir / _FILE
        remove_torn(path)
        failing = Failing()
        try:
            failing = Failing.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            pass
        except (OSError, ValidationError) as error:
            logger.warning("%s cannot be read (%s): the agent starts out of quarantine", path, type(error).__name__)
        now = _millis(clock)
        until = min(failing.until, now + _seconds(failing.failures) * 1000)
        began = min(failing.began, now)
        quarantine = cls(path, gate, failing.model_copy(update={"until": until, "began": began}), clock=clock)
        quarantine._enter()
        return quarantine

    def note(self, result: AttemptResult) -> None:
        """Draw the conclusion from an attempt's end. Those that ran beside the one that failed say nothing new."""
        failing = self.failing
        if failing.failures and result.claimed_at < failing.began:
            return
        if _is_the_hosts_fault(result):
            failures, now = failing.failures + 1, _millis(self._clock)
            reason = (result.message or result.cause or str(result.outcome))[:_REASON_CHARACTERS]
            until = now + _seconds(failures) * 1000
            self._become(Failing(failures=failures, began=now, until=until, reason=reason))
            self._enter()
        elif failing.failures and result.started_at is not None:
            self._become(Failing())
            self._leave()

    async def saved(self) -> None:
        """Wait until what was noted is on disk, or was tried to be."""
        while self._saving is not None:
            await asyncio.wait({self._saving})

    def _enter(self) -> None:
        seconds = (self.failing.until - _millis(self._clock)) / 1000
        if self._timer is not None:
            self._timer.cancel()
        if seconds <= 0:
            return
        self._timer = asyncio.get_running_loop().call_later(seconds, self._leave)
        self._gate.close(
            Reason.QUARANTINED,
            f"in quarantine for {seconds:.0f} s after {self.failing.failures} failures of this agent itself, "
            f"the last: {self.failing.reason}",
        )

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._gate.clear(Reason.QUARANTINED)

    def _become(self, failing: Failing) -> None:
        self.failing = failing
        if self._saving is None:
            self._saving = asyncio.create_task(self._save())

    async def _save(self) -> None:
        try:
            saved = None
            while saved is not self.failing:
                saved = self.failing
                await asyncio.to_thread(replace_file, self._path, saved.model_dump_json().encode())
        except OSError as error:
            logger.error("The quarantine could not be written to %s (%s): a restart would end it", self._path, error)
        finally:
            self._saving = None


def _is_the_hosts_fault(result: AttemptResult) -> bool:
    """``retryable`` False is the job's own fault: a secret nobody knows, an older turn, files that cannot be taken."""
    return result.outcome is Outcome.AGENT_ERROR and result.retryable and result.cause not in _NOT_THE_HOST


def _seconds(failures: int) -> int:
    if not failures:
        return 0
    return min(QUARANTINE_FIRST_SECONDS * 2 ** min(failures - 1, 20), QUARANTINE_LONGEST_SECONDS)


def _millis(clock: Callable[[], float]) -> int:
    return int(clock() * 1000)
