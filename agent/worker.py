"""The agent's process: registered with the API, polling its pool's queues, from start to drained end.

The composition root of the agent. Deliberately not here: the activity itself (``attempt.activity``) and its phases
(``attempt.run``), nor what decides whether new work is taken (``safety.gate``, ``control.heartbeat``,
``safety.quarantine``).
"""

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

from temporalio.client import Client

from agent.attempt.activity import Admission, Attempts, Watchers
from agent.attempt.host import Host, Tidying
from agent.attempt.leftovers import Leftover as DeadAttempt
from agent.attempt.leftovers import StateDirInUse, end_leftovers, lock_state_dir
from agent.attempt.places import SlotPlaces
from agent.attempt.removal import remove_all
from agent.attempt.resume import ResumeLimits, ResumeStore
from agent.control.api import ApiUnreachable, ControlPlane, RequestRefused
from agent.control.heartbeat import HeartbeatLoop, HeartbeatSubject, Orders
from agent.control.identity import Instance, agent_id, start_instance
from agent.control.labels import agent_labels
from agent.control.registration import NameTaken, Registrar
from agent.control.temporal import Connection
from agent.git.checkout import Checkout
from agent.git.eviction import CacheLimits, keep_within
from agent.git.reading import Reading
from agent.hooks.folder import HookFolder
from agent.logs.sender import LogOrigin, LogShipper, UnsentLog
from agent.metrics.reading import MetricProviders
from agent.monitored import MonitoredAgent
from agent.own_environment import hide_process, take_out, taken_values
from agent.queues.pollers import MAIN_POLLS, Poller, Queues
from agent.queues.slots import Slots
from agent.safety.approvals import load_approvals
from agent.safety.fences import Fences
from agent.safety.gate import Gate, Reason
from agent.safety.guardian import Guardian
from agent.safety.quarantine import Quarantine
from agent.safety.specifications import load_specifications
from agent.secrets import Vault
from agent.secrets.sealed import public_keys
from agent.settings import AgentSettings, SettingsError
from agent.steps.executors import executor_named
from agent.steps.given import Given
from agent.steps.job_user import JobUser
from agent.steps.orphans import adopt_orphans
from agent.tasks.activity import Tasks
from agent.tasks.catalogue import Catalogue, offered_kinds
from agent.tasks.probes import Probes
from agent.waiting import first_of
from workflows.contracts.agents import AgentRegistration
from workflows.contracts.attempts import AttemptResult
from workflows.contracts.ids import pool_queue, resume_queue, tasks_queue
from workflows.log_setup import setup_logging
from workflows.monitoring.listener import ListenerError
from workflows.version import product_version

_DRAIN_SECONDS: Final = 60.0
"""How long a drained agent waits for its logs to be taken and its workspaces to be removed."""
_FORCED_GRACE_SECONDS: Final = 3.0
_CACHE: Final = "git"
"""The folder of the repositories' copies."""
_READING: Final = "tasks"
"""The folder of what agent tasks read in."""
_API_KEY: Final = "HYBRIDCI_API_KEY"
_TOKEN: Final = "the agent's token"  # noqa: S105 - what it is called
_READABLE: Final = 0o022
"""The umask of an agent whose steps run as another user: they read the objects of its copies."""
_GOOD_BYE_SECONDS: Final = 3.0
_UNUSABLE: Final = 2
"""The exit code of an agent that cannot work as it is set up."""

logger = logging.getLogger(__name__)


def run(settings: AgentSettings) -> int:
    """Run an agent until it is told to end. Returns the process's exit code: 2 when it cannot work as it is set up.

    SIGTERM or SIGINT drains: nothing new is taken, what runs is finished. The second one ends what runs.
    """
    hide_process()
    take_out()
    try:
        setup_logging(settings.log_level, "agent")
        settings.read_api_key()
        labels = agent_labels(settings)
        settings.protocols()
        _require_tools()
        settings.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = lock_state_dir(settings.directory)
        name, instance = agent_id(settings), start_instance(settings.directory)
    except (SettingsError, StateDirInUse, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return _UNUSABLE
    except OSError as error:
        sys.stderr.write(
            f"The agent cannot use its directory {settings.directory} ({error.strerror}): give this user the right to, "
            "or set HYBRIDCI_AGENT_DIR to another one.\n"
        )
        return _UNUSABLE
    adopt_orphans(exclusive=True)
    with lock:
        try:
            return asyncio.run(_Agent(settings, _registration(settings, name, instance, labels), instance).serve())
        except (SettingsError, NameTaken, ListenerError) as error:
            sys.stderr.write(f"{error}\n")
            return _UNUSABLE


def _resumable(settings: AgentSettings) -> ResumeStore:
    """What lost attempts have left, with the places in which attempts work."""
    folder, temp = settings.directory, settings.steps_temp_dir
    limits = ResumeLimits(settings.resume_seconds, settings.resume_bytes)
    return ResumeStore.load(folder, limits, lambda keep: SlotPlaces.load(folder, temp, keep=keep))


def _require_tools() -> None:
    for tool in ("git", "bash"):
        if shutil.which(tool) is None:
            raise SettingsError(f"The agent needs {tool}, which is not on its PATH: install it and start again.")


def _registration(settings: AgentSettings, name: str, instance: Instance, labels: dict[str, str]) -> AgentRegistration:
    return AgentRegistration(
        agent_id=name,
        instance=instance.word,
        pool=settings.pool,
        capacity=settings.capacity,
        labels=labels,
        region=settings.region,
        hostname=socket.gethostname()[:256],
        version=product_version(),
        public_keys=public_keys(settings),
        tasks=offered_kinds(settings, Probes.load(settings), MetricProviders.load(settings)),
    )


class _Agent:
    """One process's run."""

    def __init__(self, settings: AgentSettings, registration: AgentRegistration, instance: Instance) -> None:
        self._settings, self._registration, self._instance = settings, registration, instance
        self._id = registration.agent_id
        self._drain, self._force = asyncio.Event(), asyncio.Event()
        self._signalled = False
        self._exit_code = 0
        self._gate = Gate()
        self._connection = Connection(settings, self._id)
        self._monitored: MonitoredAgent

    async def serve(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_end)
        async with AsyncExitStack() as stack:
            host, left = await self._host(stack)
            monitored = self._monitored = MonitoredAgent(self._settings, self._gate, self._connection)
            stack.callback(monitored.close)
            monitored.shipper = host.shipper
            registrar = self._registrar(host.control_plane, host.vault)
            stack.push_async_callback(self._say_good_bye, host.control_plane, registrar)
            await registrar.first(self._drain)
            if self._drain.is_set():
                return 0
            beside = _Beside(stack)
            beside.run(registrar.keep())
            beside.run(host.shipper.ship_leftovers([_leftover(attempt) for attempt in left]))
            client = await self._connection.open(registrar.current, self._drain)
            if client is None:
                return 0
            stack.push_async_callback(self._finish, host)
            await self._work(host, client, registrar, beside)
        return self._exit_code

    def _asked_to_end(self) -> None:
        if self._signalled:
            logger.warning("Asked to end again: running attempts are ended and go on elsewhere")
            self._force.set()
        else:
            logger.info("Draining: nothing new is taken; asked again, the agent ends what still runs")
            self._signalled = True
            self._begin_to_drain()

    def _begin_to_drain(self) -> None:
        self._gate.close(Reason.DRAINING, "this agent finishes what it runs and ends")
        self._drain.set()

    def _name_taken(self, why: str) -> None:
        logger.error("What runs is finished, then this agent ends. %s", why)
        self._exit_code = _UNUSABLE
        self._begin_to_drain()

    async def _host(self, stack: AsyncExitStack) -> tuple[Host, list[DeadAttempt]]:
        """Everything attempts need; what an earlier agent left is ended before anything new begins."""
        settings = self._settings
        user = JobUser.load(settings.job_user)
        vault = Vault.load(settings, user)
        stack.callback(vault.close)
        take_out(vault.variables)
        vault.hold({**taken_values(), _API_KEY: settings.read_api_key().encode()})
        if user is not None:
            os.umask(_READABLE)
        elif os.geteuid() == 0:
            logger.warning("Steps run as root and can read all that this agent has: set HYBRIDCI_AGENT_JOB_USER")
        left = await end_leftovers(settings.directory)
        tidying, resume = Tidying(), await asyncio.to_thread(_resumable, settings)
        resume.remove = lambda name, aside: tidying.start(name, asyncio.to_thread(remove_all, aside))
        stack.push_async_callback(resume.places.close)
        _Beside(stack).run(resume.keep_within())
        guardian = Guardian()
        await guardian.start()
        stack.push_async_callback(guardian.close)
        plane = await stack.enter_async_context(
            ControlPlane(settings.url, settings.read_api_key(), connections=settings.capacity * 2 + 8)
        )
        limits = CacheLimits(settings.cache_days, settings.cache_bytes)
        _Beside(stack).run(keep_within(settings.directory / _CACHE, limits))
        host = Host(
            agent_id=self._id,
            state_dir=settings.directory,
            max_log_bytes=settings.max_log_bytes,
            max_artifact_bytes=settings.max_artifact_bytes,
            control_plane=plane,
            shipper=LogShipper(plane),
            checkout=Checkout(
                settings.directory / _CACHE, allowed_protocols=settings.protocols(), shared=user is not None
            ),
            executor=executor_named(settings.executor, user),
            guardian=guardian,
            fences=Fences.load(settings.directory),
            places=resume.places,
            vault=vault,
            job_user=user,
            given=Given.load(settings, user),
            git_proxy=settings.protocols() if settings.git_proxy == "read" else (),
            hooks=await asyncio.to_thread(HookFolder.load, settings, user),
            approvals=load_approvals(settings),
            specifications=load_specifications(settings),
            resume=resume,
            tidying=tidying,
        )
        return host, left

    def _registrar(self, plane: ControlPlane, vault: Vault) -> Registrar:
        registrar = Registrar(self._settings, plane, self._registration, on_taken=self._name_taken)
        registrar.on_registered(lambda answer: plane.use_token(answer.token.get_secret_value()))
        registrar.on_registered(self._connection.use)
        registrar.on_registered(lambda answer: vault.hold({_TOKEN: answer.token.get_secret_value().encode()}))
        registrar.on_registered(lambda _: vault.hold({_API_KEY: self._settings.read_api_key().encode()}))  # a newer one
        return registrar

    async def _work(self, host: Host, client: Client, registrar: Registrar, beside: "_Beside") -> None:
        settings, labels, gate = self._settings, self._registration.labels, self._gate
        quarantine = Quarantine.load(settings.directory, gate)
        monitored = self._monitored

        def ended(result: AttemptResult) -> None:
            quarantine.note(result)
            monitored.ended(result)

        watchers = Watchers(ended=ended, cut_off=lambda: heartbeats.soon(), unauthenticated=registrar.ask)
        attempts = Attempts(host, client, Admission(gate, labels, settings.capacity), watchers)
        connect = self._connection.another
        polls = min(MAIN_POLLS, settings.capacity)
        poller = Poller(
            client, connect, self._id, settings.pool, labels, [attempts.run_attempt], pool_queue(settings.pool), polls
        )
        queues = Queues(poller, Slots(settings.capacity), gate)
        tasks = self._tasks(host)
        asked = Queues(
            replace(poller, labels={}, activities=[tasks.run_task], queue=tasks_queue(settings.pool), polls=1),
            Slots(max(1, settings.tasks)),
            gate,
        )
        heartbeats = HeartbeatLoop(
            host.control_plane,
            HeartbeatSubject(
                self._registration,
                self._instance.starts,
                settings.directory,
                lambda: attempts.running,
                gate,
                quarantine,
            ),
            Orders(queues.demand, self._begin_to_drain, registrar.ask, self._connection.answers),
        )
        monitored.attempts, monitored.heartbeats = attempts, heartbeats
        if host.resume is not None:
            kept, own = host.resume, resume_queue(settings.pool, self._id)
            kept.on_change = lambda: queues.own({own} if kept.waiting else ())
            kept.on_change()
        gate.on_change(heartbeats.soon)
        registrar.on_registered(lambda _: heartbeats.soon())
        beside.run(_keep_once_registered(registrar, heartbeats))
        queues.start()
        beside.run(_start_once_known(registrar, asked))
        logger.info("Agent %s works for pool %s, capacity %d", self._id, settings.pool, settings.capacity)
        await self._drain.wait()
        ending = asyncio.ensure_future(asyncio.gather(queues.end(), asked.end()))
        await first_of(asyncio.shield(ending), self._force.wait())
        if not ending.done():
            attempts.stop_all(grace_seconds=_FORCED_GRACE_SECONDS)
            tasks.stop_all()
        await ending
        await quarantine.saved()
        logger.info("Drained: %d attempts are left", len(attempts.running))

    def _tasks(self, host: Host) -> Tasks:
        reading = Reading(host.checkout.source, self._settings.directory / _READING)
        catalogue = Catalogue(reading, Probes.load(self._settings), MetricProviders.load(self._settings))
        return Tasks(self._id, self._registration.tasks, catalogue, self._gate, host.specifications)

    async def _finish(self, host: Host) -> None:
        seconds = 2.0 if self._force.is_set() else _DRAIN_SECONDS
        left = await host.shipper.drain(seconds)
        if left:
            logger.warning("%d logs were not taken by the API; the next agent in this directory sends them", left)
        await host.tidying.drain(seconds)

    async def _say_good_bye(self, plane: ControlPlane, registrar: Registrar) -> None:
        """So that people see it as gone at once. Not when the name is another agent's by now."""
        if registrar.current is None or self._exit_code == _UNUSABLE:
            return
        try:
            async with asyncio.timeout(_GOOD_BYE_SECONDS):
                await plane.deregister(self._id)
        except (RequestRefused, ApiUnreachable, TimeoutError) as error:
            logger.warning("The API was not told that this agent ends, and will find out: %s", error or "no answer")


class _Beside:
    """What goes on beside the work until the stack unwinds to here."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        stack.push_async_callback(self._end)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(_log_failure)
        self._tasks.append(task)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("Something beside the agent's work ended unexpectedly", exc_info=task.exception())


async def _keep_once_registered(registrar: Registrar, heartbeats: HeartbeatLoop) -> None:
    """An API of an earlier version knows no heartbeats."""
    registered = await registrar.registered()
    heartbeats.seconds = registered.heartbeat_seconds
    await heartbeats.keep()


async def _start_once_known(registrar: Registrar, asked: Queues) -> None:
    """Nobody polls for agent tasks where the API does not know them: an older gateway would refuse it."""
    await registrar.tasks_known.wait()
    asked.start()


def _leftover(attempt: DeadAttempt) -> UnsentLog:
    job_id, _, number = attempt.directory.cookie.rpartition("-")
    return UnsentLog(LogOrigin(job_id, int(number)), attempt.directory.spool, attempt.directory.remove)
