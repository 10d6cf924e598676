"""The agent's process: a Temporal worker on its pool's queue, from start to drained end.

The composition root of the agent. Deliberately not here: the activity itself (``attempts``) and its phases (``job``).
"""

import asyncio
import gc
import logging
import shutil
import signal
import sys
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.worker import Worker

from agent.attempts import Attempts
from agent.checkout import Checkout
from agent.control_plane import Backoff, ControlPlane
from agent.executors.shell import ShellExecutor
from agent.fences import Fences
from agent.git_eviction import CacheLimits, keep_within
from agent.guardian import Guardian
from agent.host import Host
from agent.identity import agent_id
from agent.leftovers import Leftover as DeadAttempt
from agent.leftovers import StateDirInUse, end_leftovers, lock_state_dir
from agent.logs import Leftover, LogShipper, Origin
from agent.orphans import adopt_orphans
from agent.settings import AgentSettings, SettingsError
from workflows.client import connect
from workflows.contracts.ids import pool_queue
from workflows.log_setup import setup_logging

_DRAIN_SECONDS: Final = 60.0
"""How long a drained agent waits for its logs to be taken and its workspaces to be removed."""
_FORCED_GRACE_SECONDS: Final = 3.0
_CACHE: Final = "git"
"""The folder of the repositories' copies."""
_NO_LIMIT: Final = timedelta(days=30)
"""How long a draining worker lets its attempts run: to their end, for each has a timeout of its own."""

logger = logging.getLogger(__name__)


def run(settings: AgentSettings) -> int:
    """Run an agent until it is told to end. Returns the process's exit code: 2 when it cannot work as it is set up.

    SIGTERM or SIGINT drains: nothing new is taken, what runs is finished. The second one ends what runs.
    """
    try:
        setup_logging(settings.log_level, "agent")
        key = settings.read_api_key()
        _require_tools()
        settings.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = lock_state_dir(settings.directory)
    except (SettingsError, StateDirInUse, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(
            f"The agent cannot use its directory {settings.directory} ({error.strerror}): give this user the right to, "
            "or set HYBRIDCI_AGENT_DIR to another one.\n"
        )
        return 2
    adopt_orphans(exclusive=True)
    with lock:
        try:
            return asyncio.run(_Agent(settings, key).serve())
        finally:
            # The SDK can crash the interpreter at exit with calls in flight (SDK issue 300).
            gc.collect()
            time.sleep(0.1)


def _require_tools() -> None:
    for tool in ("git", "bash"):
        if shutil.which(tool) is None:
            raise SettingsError(f"The agent needs {tool}, which is not on its PATH: install it and start again.")


class _Agent:
    """One process's run."""

    def __init__(self, settings: AgentSettings, key: str) -> None:
        self._settings, self._key = settings, key
        self._id = agent_id(settings)
        self._drain, self._force = asyncio.Event(), asyncio.Event()

    async def serve(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_end)
        async with AsyncExitStack() as stack:
            host = await self._host(stack)
            client = await self._connect()
            if client is None:
                return 0
            return await self._work(host, client)

    def _asked_to_end(self) -> None:
        if self._drain.is_set():
            logger.warning("Asked to end again: running attempts are ended and go on elsewhere")
            self._force.set()
        else:
            logger.info("Draining: nothing new is taken; asked again, the agent ends what still runs")
            self._drain.set()

    async def _host(self, stack: AsyncExitStack) -> Host:
        """Everything attempts need; what an earlier agent left is ended before anything new begins."""
        settings = self._settings
        left = await end_leftovers(settings.directory)
        guardian = Guardian()
        await guardian.start()
        stack.push_async_callback(guardian.close)
        plane = await stack.enter_async_context(
            ControlPlane(settings.url, self._key, connections=settings.capacity * 2 + 8)
        )
        shipper = LogShipper(plane)
        host = Host(
            agent_id=self._id,
            state_dir=settings.directory,
            max_log_bytes=settings.max_log_bytes,
            max_artifact_bytes=settings.max_artifact_bytes,
            control_plane=plane,
            shipper=shipper,
            checkout=Checkout(settings.directory / _CACHE),
            executor=ShellExecutor(),
            guardian=guardian,
            fences=Fences.load(settings.directory),
        )
        limits = CacheLimits(settings.cache_days, settings.cache_bytes)
        beside = [
            asyncio.create_task(shipper.ship_leftovers([_leftover(attempt) for attempt in left])),
            asyncio.create_task(keep_within(settings.directory / _CACHE, limits)),
        ]
        stack.push_async_callback(self._finish, host, beside)
        return host

    async def _connect(self) -> Client | None:
        """Wait until Temporal answers. None: asked to end before."""
        backoff = Backoff("Connecting to Temporal")
        while not self._drain.is_set():
            try:
                client = await connect(identity=self._id)
            except RuntimeError as error:
                delay = backoff.failed(error)
            else:
                backoff.succeeded()
                return client
            await _first_of(self._drain.wait(), asyncio.sleep(delay))
        return None

    async def _work(self, host: Host, client: Client) -> int:
        attempts = Attempts(host, client)
        worker = Worker(
            client,
            task_queue=pool_queue(self._settings.pool),
            activities=[attempts.run_attempt],
            max_concurrent_activities=self._settings.capacity,
            identity=self._id,
            graceful_shutdown_timeout=_NO_LIMIT,
        )
        logger.info("Agent %s works for pool %s, capacity %d", self._id, self._settings.pool, self._settings.capacity)
        working = asyncio.create_task(worker.run())
        await _first_of(asyncio.shield(working), self._drain.wait())
        if working.done():
            logger.error("The worker ended by itself", exc_info=working.exception())
            return 1
        shutdown = asyncio.create_task(worker.shutdown())
        await _first_of(asyncio.shield(shutdown), self._force.wait())
        if not shutdown.done():
            attempts.stop_all(grace_seconds=_FORCED_GRACE_SECONDS)
        await shutdown
        await working
        logger.info("Drained: %d attempts are left", attempts.running)
        return 0

    async def _finish(self, host: Host, beside: list[asyncio.Task[None]]) -> None:
        seconds = 2.0 if self._force.is_set() else _DRAIN_SECONDS
        left = await host.shipper.drain(seconds)
        if left:
            logger.warning("%d logs were not taken by the API; the next agent in this directory sends them", left)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await host.tidying.drain(seconds)


def _leftover(attempt: DeadAttempt) -> Leftover:
    job_id, _, number = attempt.directory.cookie.rpartition("-")
    return Leftover(Origin(job_id, int(number)), attempt.directory.spool, attempt.directory.remove)


async def _first_of(*waits: Awaitable[object]) -> None:
    """Return when one is done; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
