"""What is kept of attempts whose job may go on behind its last finished step (``resume: step``).

The place of such an attempt (workspace, HOME and TMPDIR) stays as it is, under the same paths, when the attempt is
lost: the agent was killed, ended, its host restarted, or its lease lapsed. Beside it a small file,
``resume/<name>.json``, says which steps are finished; it is written whole after each, once all that they wrote is on
the disk. What was running when the attempt was lost runs again, from its start.
Deliberately not here: when it is written (``bookmark``), and who gets the job next (``workflows.job``).
"""

import asyncio
import ctypes
import hashlib
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from pydantic import ValidationError

from agent.attempt.places import SlotPlace, SlotPlaces
from agent.attempt.removal import remove_all
from agent.state_file import remove_torn, replace_file
from workflows.contracts.attempts import NOT_SIGNED, AttemptInput
from workflows.contracts.base import Frozen
from workflows.contracts.identity.people import GitPeople
from workflows.contracts.jobs import StepResult
from workflows.contracts.workspace.resume import LostAttempts

_FOLDER: Final = "resume"
_LOOK_SECONDS: Final = 30.0
_MAY_DIFFER: Final = NOT_SIGNED | {"requires", "timeout_seconds", "lease_seconds"}
"""Of two attempts of which one goes on with the work of the other: what steps do does not depend on it."""

logger = logging.getLogger(__name__)


class SavedSteps(Frozen):
    """The state file. ``definition`` is a digest of all that steps depend on; ``home`` is where HOME lies;
    ``git_people``, of a deployment's job: whom the commit names.
    """

    job_id: str
    attempt: int
    slot: int
    home: str
    definition: str
    steps: list[StepResult]
    outputs: dict[str, str]
    summary: str | None
    git_people: GitPeople | None = None


@dataclass(frozen=True, slots=True)
class ResumeLimits:
    """How long, and how many bytes of all together, are kept. 0 seconds: nothing."""

    seconds: float
    bytes: int


@dataclass(slots=True)
class ResumeStore:
    """All that one agent keeps. Used from its event loop; ``waiting`` are those whose attempt was lost, by job.

    ``remove`` is given what is to be removed in the background, with a name for it.
    """

    folder: Path
    places: SlotPlaces
    limits: ResumeLimits
    waiting: dict[str, SavedSteps] = field(default_factory=dict[str, SavedSteps])
    on_change: Callable[[], None] = lambda: None
    remove: Callable[[str, Sequence[Path]], None] = lambda name, aside: remove_all(aside)
    _since: dict[str, float] = field(default_factory=dict[str, float])
    _sizes: dict[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def load(cls, state_dir: Path, limits: ResumeLimits, load_places: Callable[[set[int]], SlotPlaces]) -> Self:
        """What an earlier agent left, whose processes have ended: kept, or removed with its place. Blocking."""
        found = dict[str, SavedSteps]()
        if limits.seconds > 0:
            found = _of_own_slots(_read(state_dir / _FOLDER))
        places = load_places({saved.slot for saved in found.values()})
        store = cls(state_dir / _FOLDER, places, limits)
        for saved in found.values():
            place = places.kept(saved.slot)
            if place is not None and str(place.home) == saved.home:
                store._wait(saved)
                logger.info("Kept of job %s: %d finished steps", saved.job_id, len(saved.steps))
        files = {store.path(job_id) for job_id in store.waiting}
        for file in store.folder.glob("*.json") if store.folder.is_dir() else ():
            if file not in files:
                file.unlink(missing_ok=True)
        for number in places.reserved - {saved.slot for saved in store.waiting.values()}:
            remove_all(places.forget(number))
        return store

    def path(self, job_id: str) -> Path:
        """Whatever the id is made of."""
        return self.folder / f"{hashlib.sha256(job_id.encode()).hexdigest()[:32]}.json"

    def take(self, attempt: AttemptInput, agent_id: str) -> tuple[SavedSteps, SlotPlace] | str | None:
        """What this attempt goes on with; or why it begins at the beginning; None where there is nothing to say.

        What is kept of its job and does not fit is removed. Blocking, and short.
        """
        if attempt.job_id not in self.waiting:
            return None if attempt.lost is None else _not_here(attempt.lost, agent_id)
        saved = self._wait_no_more(attempt.job_id)
        why = _misfit(saved, attempt)
        if why is None and (place := self.places.retake(saved.slot)) is not None:
            return saved, place
        self.remove(f"kept of {saved.job_id}", self._let_go(saved))
        return why or "the workspace that was kept is gone"

    def put_aside(self, saved: SavedSteps) -> None:
        """Its attempt was lost: keep it, and its place, for the next one."""
        self.places.reserve(saved.slot)
        self._wait(saved)
        self.on_change()

    def _wait(self, saved: SavedSteps) -> None:
        """From now on, however long its last step ran."""
        self.waiting[saved.job_id] = saved
        self._sizes.pop(saved.job_id, None)
        self._since[saved.job_id] = time.monotonic()

    def _wait_no_more(self, job_id: str) -> SavedSteps:
        saved = self.waiting.pop(job_id)
        self._sizes.pop(job_id, None)
        self._since.pop(job_id, None)
        self.on_change()
        return saved

    def discard(self, job_id: str) -> None:
        """The attempt's end is not a loss. Its place is given back by itself."""
        try:
            self.path(job_id).unlink(missing_ok=True)
        except OSError as error:  # nothing goes on behind an attempt that has reported its end
            logger.error("What is kept of job %s cannot be removed: %s", job_id, error)

    async def write(self, saved: SavedSteps, places: Sequence[Path]) -> None:
        """Once what steps wrote in these folders is on the disk. Raises OSError."""
        await asyncio.to_thread(self._write, saved, places)

    def _write(self, saved: SavedSteps, places: Sequence[Path]) -> None:
        for folder in places:
            _sync(folder)
            with suppress(OSError):
                os.utime(folder.parent.parent)  # nobody takes the short folder for a forgotten one
        self.folder.mkdir(mode=0o700, exist_ok=True)
        replace_file(self.path(saved.job_id), saved.model_dump_json().encode())

    async def keep_within(self) -> None:
        """Remove, again and again, what is too old, and the oldest of what is too much."""
        while True:
            await self.tidy()
            await asyncio.sleep(_LOOK_SECONDS)

    async def tidy(self) -> None:
        """Once."""
        oldest = sorted(self.waiting.values(), key=lambda saved: self._since[saved.job_id])
        for each in oldest:
            if each.job_id not in self._sizes:
                size = await asyncio.to_thread(_size, self.places.folders(each.slot))
                if self.waiting.get(each.job_id) is each:
                    self._sizes[each.job_id] = size
        for saved in oldest:
            if self.waiting.get(saved.job_id) is not saved:  # taken meanwhile
                continue
            left = sum(self._sizes.get(job_id, 0) for job_id in self.waiting)
            old = time.monotonic() - self._since[saved.job_id] >= self.limits.seconds
            if old or left > self.limits.bytes:
                logger.info("No longer kept of job %s: %s", saved.job_id, "it is old" if old else f"{left} bytes")
                self._wait_no_more(saved.job_id)
                self.remove(f"kept of {saved.job_id}", self._let_go(saved))

    def _let_go(self, saved: SavedSteps) -> list[Path]:
        with suppress(OSError):
            self.path(saved.job_id).unlink(missing_ok=True)
        return self.places.forget(saved.slot)


def definition_of(attempt: AttemptInput) -> str:
    """A digest of all that the work of its steps depends on, as far as a job says it."""
    fields = attempt.model_dump(mode="json", exclude=set(_MAY_DIFFER), exclude_defaults=True)
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _misfit(saved: SavedSteps, attempt: AttemptInput) -> str | None:
    if attempt.lost is None or saved.attempt not in attempt.lost.numbers:
        return f"attempt {saved.attempt}, of which this agent has the workspace, was not the last that was lost"
    if saved.definition != definition_of(attempt):
        return "the job has been changed since then"
    if len(saved.steps) > len(attempt.steps):
        return "what was kept does not fit its steps"
    return None


def _not_here(lost: LostAttempts, agent_id: str) -> str:
    if lost.agent_id != agent_id:
        return f"agent {lost.agent_id} had begun it and did not take it again"
    return "nothing is kept of what had been done"


def _read(folder: Path) -> Iterable[SavedSteps]:
    """Whole ones only: what is torn or of another version is nothing."""
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    for torn in folder.glob(".*.json.*") if folder.is_dir() else ():
        remove_torn(folder / torn.name[1:].rpartition(".")[0])
    for file in files:
        try:
            yield SavedSteps.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            logger.warning("What is kept in %s cannot be read: its job begins at its beginning", file)


def _of_own_slots(read: Iterable[SavedSteps]) -> dict[str, SavedSteps]:
    """By job. Of two that name one slot, one is of an attempt that has ended: whose files they are, nobody can tell."""
    saved = list(read)
    claims = Counter(each.slot for each in saved)
    return {each.job_id: each for each in saved if claims[each.slot] == 1}


def _sync(folder: Path) -> None:
    """All that was written to this folder's file system is on the disk: else a host that loses its power would keep
    the word that steps are finished, and not their files.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if sys.platform == "linux" else None
        if syncfs is None:
            os.sync()
        elif syncfs(handle) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(handle)


def _size(folders: Iterable[Path]) -> int:
    """What they take on disk."""
    size = 0
    for folder in folders:
        for parent, _, files in os.walk(folder):
            for file in files:
                with suppress(OSError):
                    size += os.lstat(os.path.join(parent, file)).st_blocks * 512
    return size
