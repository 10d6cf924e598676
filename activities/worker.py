"""The control worker's process: connect, set up, work until it is told to stop, stop in order.

Deliberately not here: which implementations it uses (``bootstrap``), what the workflows and activities do.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.bootstrap import ControlActivities, build_activities
from activities.clock import epoch_millis
from activities.deployments.signing import SpecSigner, UnusableSigningKeyError
from activities.evidence.elsewhere import check_seals_file
from activities.evidence.keys import SETTING, SealKey, SealKeys, UnusableSealKeyError
from activities.evidence.removal import remove_segments
from activities.evidence.sealer import Sealer
from activities.evidence.watch import NO_KEY, open_watch
from activities.monitored import MonitoredWorker
from activities.repairs.watch import Watch
from activities.retention.events import RemoveSegments
from activities.sandbox import LeanSandbox
from activities.settings import WorkerSettings
from activities.stores.configured import StoresNotConfigured, check_configured
from activities.stores.open import Stores, open_stores
from activities.temporal_setup import (
    register_search_attributes,
    schedule_live_versions,
    schedule_reconciliation,
    schedule_sweeps,
)
from workflows.client.jobs import connect
from workflows.client.proving import Prover
from workflows.client.repairs import RepairClient
from workflows.contracts.errors import Unavailable
from workflows.contracts.ids import CONTROL_QUEUE
from workflows.deployment.workflow import DeploymentWorkflow
from workflows.environment.workflow import EnvironmentWorkflow
from workflows.followed import Followed, troubles
from workflows.job.redrive import RedriveWorkflow
from workflows.job.workflow import JobWorkflow
from workflows.line.workflow import LineWorkflow
from workflows.log_setup import setup_logging
from workflows.monitoring.listener import ListenerError
from workflows.repair.live import LiveVersionsWorkflow
from workflows.repair.reconcile import ReconcileWorkflow
from workflows.repair.stuck import StuckWorkflows
from workflows.repair.workflow import RepairWorkflow
from workflows.retention.workflow import SweepWorkflow
from workflows.service.bans import BanWorkflow, LiftBanWorkflow
from workflows.service.workflow import PolicyDecisionWorkflow, ServiceWorkflow, StandingWorkflow
from workflows.task.workflow import AgentTaskWorkflow
from workflows.version import product_version
from workflows.watch.workflow import MetricsWatchWorkflow

logger = logging.getLogger(__name__)

T = TypeVar("T")

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_NOT_CONFIGURED: Final = 2
_BELIEVES_EVERYBODY: Final = (
    "without HYBRIDCI_SIGNING_KEY (or HYBRIDCI_SIGNING_KEY_FILE), the API's, this worker verifies nothing: whoever may "
    "write to Temporal can start deployments and change services under any name, and no approval counts"
)
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 5.0


def run(settings: WorkerSettings) -> int:
    """Work until SIGTERM or SIGINT. The exit code: 0 stopped, 1 failed (the log says why), 2 not configured."""
    try:
        check_configured(settings.stores)
        signer = SpecSigner.load(settings.spec_key_file)
        seal_key = _followed(settings.seal_key_file)
        check_seals_file(settings.seals_file)
    except (StoresNotConfigured, UnusableSigningKeyError, UnusableSealKeyError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_NOT_CONFIGURED
    setup_logging(settings.log_level, "worker")
    try:
        asyncio.run(_work(settings, signer, seal_key))
    except ListenerError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_NOT_CONFIGURED
    except Exception:
        logger.critical("the control worker failed; its supervisor should start it again", exc_info=True)
        return EXIT_FAILED
    return EXIT_OK


def build_worker(client: Client, activities: ControlActivities, settings: WorkerSettings) -> Worker:
    """The worker of the control queue, not yet running."""
    return Worker(
        client,
        task_queue=CONTROL_QUEUE,
        workflows=[
            JobWorkflow,
            RedriveWorkflow,
            ReconcileWorkflow,
            LiveVersionsWorkflow,
            DeploymentWorkflow,
            EnvironmentWorkflow,
            ServiceWorkflow,
            PolicyDecisionWorkflow,
            BanWorkflow,
            LiftBanWorkflow,
            StandingWorkflow,
            LineWorkflow,
            RepairWorkflow,
            AgentTaskWorkflow,
            MetricsWatchWorkflow,
            SweepWorkflow,
        ],
        activities=activities.all(),
        max_concurrent_workflow_tasks=settings.max_concurrent_workflow_tasks,
        max_concurrent_local_activities=settings.max_concurrent_local_activities,
        max_concurrent_activities=settings.max_concurrent_activities,
        max_cached_workflows=settings.max_cached_workflows,
        workflow_runner=LeanSandbox(),
        build_id=product_version(),  # else the SDK hashes the code of all loaded modules
        graceful_shutdown_timeout=timedelta(seconds=settings.graceful_shutdown_seconds),
    )


class _StoppedEarlyError(Exception):
    """Told to stop before the worker was up."""


async def _work(settings: WorkerSettings, signer: SpecSigner, seal_key: Callable[[], SealKey] | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    stores = open_stores(settings.stores)
    try:
        monitored = MonitoredWorker(settings.metrics_address, stores, troubles)
        try:
            await _serve(settings, stores, signer, seal_key, stop, monitored)
        except _StoppedEarlyError:
            logger.info("stopped before it was up")
        finally:
            monitored.close()
    finally:
        await asyncio.to_thread(stores.close)


async def _serve(
    settings: WorkerSettings,
    stores: Stores,
    signer: SpecSigner,
    seal_key: Callable[[], SealKey] | None,
    stop: asyncio.Event,
    monitored: MonitoredWorker,
) -> None:
    client = monitored.client = await _until_it_answers("Temporal", connect, stop)
    await _until_it_answers("the record store", stores.prepare, stop)
    await _until_it_answers("Temporal", lambda: register_search_attributes(client), stop)
    await _until_it_answers("Temporal", lambda: schedule_reconciliation(client), stop)
    await _until_it_answers("Temporal", lambda: schedule_live_versions(client), stop)
    await _until_it_answers("Temporal", lambda: schedule_sweeps(client), stop)
    facts: dict[str, object] = {
        "queue": CONTROL_QUEUE,
        "namespace": client.namespace,
        "environment": settings.stores.environment,
        "signs_with": signer.key_id,
        "keeps": settings.retention.policy().model_dump(exclude_none=True),
        "seals_with": None if seal_key is None else seal_key().key_id,
    }
    secret = None if settings.approvals is None else settings.approvals.secret()
    repairs = RepairClient(client, Prover(secret))
    watch = Watch(StuckWorkflows(client), stores.events, epoch_millis, repairs.begin)
    await _until_it_answers("Temporal", watch.tick, stop)
    policy = settings.retention.policy()
    segments = None if seal_key is None else _removal(stores, seal_key)
    activities = build_activities(
        stores, client, signer=signer, approvals=settings.approvals, retention=policy, segments=segments
    )
    if secret is None:
        logger.warning(_BELIEVES_EVERYBODY)
    if seal_key is None:
        logger.warning(NO_KEY)
    async with build_worker(client, activities, settings) as worker:
        monitored.worker = worker
        logger.info("control worker ready", extra=facts)
        watching = [asyncio.create_task(watch.run(), name="watch")]
        if seal_key is not None:
            sealing = open_watch(stores.evidence, seal_key, epoch_millis, settings.seals_file, settings.seals_url)
            watching.append(asyncio.create_task(sealing.run(), name="sealer"))
        await stop.wait()
        for task in watching:
            task.cancel()
        logger.info("stopping: takes nothing new, finishes what it does", extra=facts)
    logger.info("stopped", extra=facts)


def _followed(file: Path | None) -> Callable[[], SealKey] | None:
    """Raises UnusableSealKeyError."""
    key = SealKey.load(file)
    if file is None or key is None:
        return None
    return Followed(SETTING, [file], lambda: SealKey.load(file) or key).now


def _removal(stores: Stores, seal_key: SealKeys) -> RemoveSegments:
    """Old events go with a seal that says so: without a key for it they stay."""
    return partial(remove_segments, stores.evidence, Sealer(stores.evidence, seal_key, epoch_millis))


async def _until_it_answers(what: str, call: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T:
    """Repeat the call until it succeeds. Raises _StoppedEarlyError as soon as the process is told to stop."""
    pause = _FIRST_PAUSE_SECONDS
    while True:
        trying = asyncio.ensure_future(call())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({trying, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                raise _StoppedEarlyError
            return await trying
        except (Unavailable, RPCError, RuntimeError) as error:  # RuntimeError: the SDK could not connect
            logger.warning("waiting for %s: %s", what, error, extra={"next_try_seconds": pause})
        finally:
            trying.cancel()
            stopping.cancel()
        try:
            await asyncio.wait_for(stop.wait(), pause)
        except TimeoutError:
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
