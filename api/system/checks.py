"""What this process needs, and what the whole needs: each asked now and then, however often somebody wants to know.

What only the whole needs makes no process unready: an API without a control worker still shows what there is, and a
load balancer that took it away would help nobody. Asking costs a call and, of the store, a write; so an answer is kept
for a while: ``NEEDED_SECONDS`` and ``WHOLE_SECONDS``, at most twice as long (``http.cached``).
"""

import asyncio
import hashlib
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

from activities.clock import Clock
from activities.stores.interfaces.agents import AgentStore
from activities.stores.interfaces.artifacts import ArtifactStore
from activities.stores.interfaces.evidence import EvidenceStore
from api.http.cached import Cached
from api.temporal.task_queues import TaskQueues
from workflows.contracts.agents import AgentBeat
from workflows.contracts.audit.seals import SignedSeal
from workflows.contracts.errors import HybridCIError, Unavailable
from workflows.contracts.ids import CONTROL_QUEUE
from workflows.followed import troubles

logger = logging.getLogger(__name__)

Check = Callable[[], Awaitable[str | None]]
"""None when the part is well; else what is wrong and what to do, for those who may read."""
NEEDED_SECONDS: Final = 1.0
WHOLE_SECONDS: Final = 15.0
SILENT_SECONDS: Final = 90.0
"""A worker's poll lasts 60 s at most; whoever asked for nothing in this time is not there, or stands still."""
LATE_SECONDS: Final = 30.0
"""A workflow's task waits for milliseconds; one that a worker took and never answered comes back after 10 s."""
UNSEALED_MS: Final = 2 * 3_600_000
"""Twice the time after which a seal is made of nothing new."""
_CHECK_SECONDS: Final = 3.0
_SEAL: Final = "last"
_PROBE: Final = "!write-probe"
"""No agent, pool or job can have this name. Its record goes by itself, as every heartbeat's."""
_OF_NOTHING: Final = hashlib.sha256().hexdigest()


class Checks:
    """By name. ``needed``: without these this process can do nothing; ``whole``: what the others need besides."""

    def __init__(
        self,
        needed: Mapping[str, Check],
        whole: Mapping[str, Check],
        last_seal: Callable[[], Awaitable[SignedSeal | None]] | None = None,
    ) -> None:
        self._needed, self._whole = dict(needed), dict(whole)
        self._seal = Cached(lambda _: _nothing() if last_seal is None else last_seal(), WHOLE_SECONDS)
        self._of_needed = Cached(self._ask, NEEDED_SECONDS)
        self._of_whole = Cached(self._ask, WHOLE_SECONDS)

    @property
    def names_of_needed(self) -> list[str]:
        """What ``needed`` asks."""
        return list(self._needed)

    async def needed(self) -> dict[str, str]:
        """What does not answer, and why."""
        return await _wrong(self._of_needed, self._needed)

    async def whole(self) -> dict[str, str]:
        """What of the rest is not well, and what to do."""
        return await _wrong(self._of_whole, self._whole)

    async def last_seal(self) -> SignedSeal | None:
        """Of the audit trail, as old as ``whole`` may be; that there is none yet is never kept. Raises Unavailable,
        ValueError.
        """
        found = await self._seal.get(_SEAL)
        if found is None:
            self._seal.forget(_SEAL)
        return found

    def forget(self) -> None:
        """Ask anew."""
        self._seal.forget(_SEAL)
        for name in self._needed:
            self._of_needed.forget(name)
        for name in self._whole:
            self._of_whole.forget(name)

    async def _ask(self, name: str) -> str | None:
        """The whole story, with addresses, goes to the log: anybody may ask what this process needs."""
        try:
            return await asyncio.wait_for((self._needed.get(name) or self._whole[name])(), _CHECK_SECONDS)
        except HybridCIError as error:
            logger.warning("not ready", extra={"part": name, "reason": error.message})
        except TimeoutError:
            return f"did not answer within {_CHECK_SECONDS:.0f} s"
        except Exception:
            logger.exception("a check failed", extra={"part": name})
        return "does not answer; the API's log says more"


async def _nothing() -> None:
    return None


def answers(question: Callable[[], Awaitable[object]]) -> Check:
    """Well when the question is answered at all."""

    async def check() -> str | None:
        await question()
        return None

    return check


def worker_check(queues: Callable[[], TaskQueues], clock: Clock) -> Check:
    """Somebody asks for the work of the control queue, and keeps up with it."""

    async def check() -> str | None:
        try:
            found = await queues().attendance(CONTROL_QUEUE, now=clock())
        except Unavailable:
            return None  # Temporal is named itself
        start = "jobs and deployments stand still until one does: start `hybridci worker`, or see its log"
        if found.silent_seconds is None:
            return f"no control worker asks for work; {start}"
        if found.silent_seconds > SILENT_SECONDS:
            return f"no control worker has asked for work for {found.silent_seconds:.0f} s; {start}"
        if found.oldest_wait_seconds > LATE_SECONDS:
            return (
                f"the control worker stands still or does not keep up: its oldest task has waited for"
                f" {found.oldest_wait_seconds:.0f} s; see its log, or start one more `hybridci worker`"
            )
        return None

    return check


def disk_check(folders: Sequence[Path], least_free_bytes: int) -> Check:
    """There is room where this process, and under `up` all of them, write."""

    async def check() -> str | None:
        full = [text for folder in folders if (text := await asyncio.to_thread(_too_full, folder, least_free_bytes))]
        return "; ".join(full) or None

    return check


def write_check(agents: AgentStore, clock: Clock) -> Check:
    """The store takes a write: a real one, since a store that is full or read-only still answers reads."""

    async def check() -> str | None:
        beat = AgentBeat(agent_id=_PROBE, pool=_PROBE, sequence=0, received_at=clock())
        try:
            await agents.beat([beat])
        except HybridCIError as error:
            logger.warning("the store takes no writes", extra={"reason": error.message})
            return "takes no writes, so records fall behind what workflows do; see its log, its disk and its limits"
        return None

    return check


def files_check(artifacts: ArtifactStore) -> Check:
    """The bucket of logs and artifacts takes a write: one empty object, the same each time."""

    async def check() -> str | None:
        try:
            await artifacts.put(_PROBE, 0, _PROBE, BytesIO(), sha256=_OF_NOTHING)
        except HybridCIError as error:
            logger.warning("the bucket takes no writes", extra={"reason": error.message})
            return "takes no writes, so agents keep logs and artifacts to themselves; see its log and its policy"
        return None

    return check


def keys_check() -> Check:
    """Each file of keys that changed can be used; until it can, the keys of before hold."""

    async def check() -> str | None:
        return "; ".join(f"{setting}: {why}" for setting, why in sorted(troubles().items())) or None

    return check


def seals_check(evidence: EvidenceStore, clock: Clock) -> Check:
    """The audit trail was sealed once, so it is sealed still: at least every hour, by any worker with the key."""

    async def check() -> str | None:
        last = await evidence.last_seal()
        if last is None:
            return None
        try:
            age_ms = clock() - last.seal.sealed_at
        except ValueError:
            return f"seal {last.number} cannot be read; `hybridci audit verify` says more"
        if age_ms <= UNSEALED_MS:
            return None
        return (
            f"the audit trail was last sealed {age_ms // 60_000} minutes ago; does a worker with"
            " HYBRIDCI_SEAL_KEY_FILE run, and what does its log say?"
        )

    return check


async def _wrong(cached: Cached[str | None], checks: Mapping[str, Check]) -> dict[str, str]:
    found = await asyncio.gather(*(cached.get(name) for name in checks))
    return {name: wrong for name, wrong in zip(checks, found, strict=True) if wrong is not None}


def _too_full(folder: Path, least: int) -> str | None:
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return f"{folder} cannot be looked at ({error.strerror}); is it there?"
    if usage.free >= least:
        return None
    return (
        f"{folder} has {usage.free >> 20} MiB left of {usage.total >> 20}, and {least >> 20} are needed:"
        " delete what is not needed there (`hybridci storage` says what takes how much), or make it larger"
    )
