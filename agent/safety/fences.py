"""Whose turn it is: the highest fence number this agent has seen for each name, kept through restarts and kill -9.

A job that was thought dead (a partition, a paused host) must not act after its successor has begun, so an attempt with
a lower number is refused before its checkout and before each of its steps. So is the same number from another holder:
a fence is good for the attempts of the deployment that was given it, no more. Each agent knows only what it has seen
itself: what must be safe against all of them hands HYBRIDCI_FENCE on to the target. Deliberately not here: the verdict
(``attempt.verdict``).
"""

import asyncio
import logging
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, TypeAdapter, ValidationError

from agent.state_file import remove_torn, replace_file
from workflows.contracts.base import Tolerant
from workflows.contracts.jobs import Fence

MAX_NAMES: Final = 10_000
"""Of those, the ones whose turn passed on longest ago are forgotten first."""
_FILE: Final = "fences.json"
_Number = Annotated[int, Field(ge=0)]


class _Seen(Tolerant):
    """A turn, and the id of the deployment whose it is."""

    number: _Number
    holder: str


_TURNS: Final = TypeAdapter(dict[str, _Number | _Seen])
"""A bare number: an earlier version saw it, or its holder is not known."""

logger = logging.getLogger(__name__)


class Fenced(Exception):
    """A newer turn of the same name has begun on this agent, or the turn is another deployment's."""

    def __init__(self, fence: Fence, newest: int, holder: str | None = None) -> None:
        if fence.number < newest:
            why = (
                f"the agent has seen the newer turn {newest}: it refused the older one, which must not act after its "
                "successor. The newer deployment goes on; nothing is to be done about this one."
            )
        else:
            why = (
                f"on this agent that turn is deployment {holder}'s: it refused the attempt, which is not of it. Start "
                "a deployment, which gets a turn of its own."
            )
        super().__init__(f"This is turn {fence.number} of {fence.name}, but {why}")


class Fences:
    """The numbers of one agent. Used from one event loop; the state folder's lock keeps other agents out."""

    def __init__(self, path: Path, turns: dict[str, int | _Seen], *, max_names: int = MAX_NAMES) -> None:
        self._path, self._turns, self._max_names = path, turns, max_names
        self._saving = asyncio.Lock()
        self._unsaved = False

    @classmethod
    def load(cls, state_dir: Path, *, max_names: int = MAX_NAMES) -> Self:
        """What an earlier agent in this folder has seen; nothing, with a warning, when its file cannot be read."""
        path = state_dir / _FILE
        remove_torn(path)
        try:
            return cls(path, _TURNS.validate_json(path.read_bytes(), strict=True), max_names=max_names)
        except FileNotFoundError:
            pass
        except (OSError, ValidationError) as error:
            logger.warning(
                "%s cannot be read (%s): the agent starts without it and refuses only what is older than what it sees "
                "from now on", path, str(error).splitlines()[0],
            )  # fmt: skip
        return cls(path, {}, max_names=max_names)

    async def enter(self, fence: Fence | None, holder: str | None = None) -> None:
        """Begin a turn, or go on with it; it is on disk when this returns. ``holder``: the id of the deployment that
        asks for it, None when nobody says. No fence changes nothing. Raises Fenced, OSError.
        """
        overtaken = self.overtaken(fence, holder)
        if overtaken is not None:
            raise overtaken
        if fence is None:
            return
        newest, known = self._seen(fence.name)
        if fence.number > newest or (known is None and holder is not None):
            self._turns.pop(fence.name, None)  # the newest is the last, the first is forgotten first
            self._turns[fence.name] = fence.number if holder is None else _Seen(number=fence.number, holder=holder)
            while len(self._turns) > self._max_names:
                del self._turns[next(iter(self._turns))]
            self._unsaved = True
        async with self._saving:
            if self._unsaved:
                self._unsaved = False
                try:
                    await asyncio.to_thread(replace_file, self._path, _TURNS.dump_json(self._turns))
                except OSError:
                    self._unsaved = True  # the next attempt tries again
                    raise

    def overtaken(self, fence: Fence | None, holder: str | None = None) -> Fenced | None:
        """Why it is over, when a newer turn has begun, or never was its own."""
        if fence is None:
            return None
        newest, known = self._seen(fence.name)
        if fence.number < newest:
            return Fenced(fence, newest)
        foreign = fence.number == newest and known is not None and known != holder
        return Fenced(fence, newest, known) if foreign else None

    def _seen(self, name: str) -> tuple[int, str | None]:
        """The newest turn of this name, -1 for none, and its holder."""
        turn = self._turns.get(name, -1)
        return (turn, None) if isinstance(turn, int) else (turn.number, turn.holder)
