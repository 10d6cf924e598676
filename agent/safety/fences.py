"""Whose turn it is: the highest fence number this agent has seen for each name, kept through restarts and kill -9.

A job that was thought dead (a partition, a paused host) must not act after its successor has begun, so an attempt with
a lower number is refused before its checkout and before each of its steps. Each agent knows only what it has seen
itself: what must be safe against all of them hands HYBRIDCI_FENCE on to the target. Deliberately not here: the verdict
(``attempt.verdict``).
"""

import asyncio
import logging
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, TypeAdapter, ValidationError

from agent.state_file import remove_torn, replace_file
from workflows.contracts.jobs import Fence

MAX_NAMES: Final = 10_000
"""Of those, the ones whose turn passed on longest ago are forgotten first."""
_FILE: Final = "fences.json"
_NUMBERS: Final = TypeAdapter(dict[str, Annotated[int, Field(ge=0)]])

logger = logging.getLogger(__name__)


class Fenced(Exception):
    """A newer turn of the same name has begun on this agent."""

    def __init__(self, fence: Fence, newest: int) -> None:
        super().__init__(
            f"This is turn {fence.number} of {fence.name}, but the agent has seen the newer turn {newest}: it refused "
            "the older one, which must not act after its successor. The newer deployment goes on; nothing is to be "
            "done about this one."
        )


class Fences:
    """The numbers of one agent. Used from one event loop; the state folder's lock keeps other agents out."""

    def __init__(self, path: Path, highest: dict[str, int], *, max_names: int = MAX_NAMES) -> None:
        self._path, self._highest, self._max_names = path, highest, max_names
        self._saving = asyncio.Lock()
        self._unsaved = False

    @classmethod
    def load(cls, state_dir: Path, *, max_names: int = MAX_NAMES) -> Self:
        """What an earlier agent in this folder has seen; nothing, with a warning, when its file cannot be read."""
        path = state_dir / _FILE
        remove_torn(path)
        try:
            return cls(path, _NUMBERS.validate_json(path.read_bytes(), strict=True), max_names=max_names)
        except FileNotFoundError:
            pass
        except (OSError, ValidationError) as error:
            logger.warning(
                "%s cannot be read (%s): the agent starts without it and refuses only what is older than what it sees "
                "from now on", path, str(error).splitlines()[0],
            )  # fmt: skip
        return cls(path, {}, max_names=max_names)

    async def enter(self, fence: Fence | None) -> None:
        """Begin a turn; a higher number is on disk when this returns. None changes nothing. Raises Fenced, OSError."""
        overtaken = self.overtaken(fence)
        if overtaken is not None:
            raise overtaken
        if fence is None:
            return
        if fence.number > self._highest.get(fence.name, -1):
            self._highest.pop(fence.name, None)  # the newest is the last, the first is forgotten first
            self._highest[fence.name] = fence.number
            while len(self._highest) > self._max_names:
                del self._highest[next(iter(self._highest))]
            self._unsaved = True
        async with self._saving:
            if self._unsaved:
                self._unsaved = False
                try:
                    await asyncio.to_thread(replace_file, self._path, _NUMBERS.dump_json(self._highest))
                except OSError:
                    self._unsaved = True  # the next attempt tries again
                    raise

    def overtaken(self, fence: Fence | None) -> Fenced | None:
        """Why it is over, when a newer turn has begun."""
        newest = -1 if fence is None else self._highest.get(fence.name, -1)
        return Fenced(fence, newest) if fence is not None and fence.number < newest else None
