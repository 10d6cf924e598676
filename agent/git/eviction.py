"""Keeping the agent's copies of repositories (``cache``) within bounds: at the agent's start and once a day.

A copy goes when nobody has used it for some days; then the least recently used go until the rest fits. A copy that an
attempt uses, of this agent or of another one in the same folder, is never touched (``copies``): when all are in use
the cache stays too large until the next look.
"""

import asyncio
import logging
import os
import shutil
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.git.copies import NAME, change_lock, discard, fresh, open_lock, trash, try_lock, use_lock

_DAY_SECONDS: Final = 24 * 3600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """How old and, in bytes on disk, how large the cache may become."""

    days: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class _Copy:
    """What lies on disk for one repository. ``used_at`` in epoch seconds."""

    path: Path
    used_at: float
    size: int


async def keep_within(folder: Path, limits: CacheLimits) -> None:
    """Evict now and every day, for ever. A failure is logged, and the next day is another try."""
    while True:
        try:
            await evict(folder, limits)
        except OSError as error:
            logger.error("The repository cache could not be tidied (%s): look at %s", error, folder)
        await asyncio.sleep(_DAY_SECONDS)


async def evict(folder: Path, limits: CacheLimits) -> list[Path]:
    """Remove what is too old or too much; the copies that went. Raises OSError.

    A thread works on one copy at a time, so that an agent that is told to end waits for one removal at most.
    """
    paths = await asyncio.to_thread(_paths, folder)
    copies = [await asyncio.to_thread(_look, path) for path in paths]
    copies.sort(key=lambda copy: copy.used_at)
    total = sum(copy.size for copy in copies)
    too_old = time.time() - limits.days * _DAY_SECONDS
    evicted: list[Path] = []
    for copy in copies:
        if copy.used_at >= too_old and total <= limits.max_bytes:
            break
        if await asyncio.to_thread(_remove, copy.path):
            total -= copy.size
            evicted.append(copy.path)
    if evicted:
        logger.info("Removed %d unused repositories from the cache; %d bytes are left", len(evicted), total)
    if total > limits.max_bytes:
        logger.warning(
            "The repository cache has %d bytes, %d are allowed (HYBRIDCI_AGENT_CACHE_BYTES): all the rest is in use",
            total,
            limits.max_bytes,
        )
    return evicted


def _paths(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted({folder / match[1] for name in os.listdir(folder) if (match := NAME.fullmatch(name))})


def _look(path: Path) -> _Copy:
    used_at = max(_modified_at(use_lock(path)), _modified_at(path))
    return _Copy(path, used_at, sum(_size(part) for part in (path, fresh(path), trash(path))))


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(folder: Path) -> int:
    """What it takes on disk; files come and go meanwhile."""
    size = 0
    for parent, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):
                size += os.lstat(os.path.join(parent, file)).st_blocks * 512
    return size


def _remove(path: Path) -> bool:
    """False when it is in use. Nobody is ever waited for, so that two agents cannot wait for each other."""
    with ExitStack() as stack:
        for lock in (change_lock(path), use_lock(path)):
            handle = open_lock(lock)
            stack.callback(os.close, handle)
            if not try_lock(handle):
                return False
        discard(path)
        shutil.rmtree(fresh(path), ignore_errors=True)
    return True
