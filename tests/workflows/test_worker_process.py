"""The control worker as a process of its own: it starts from nothing, runs jobs, repairs records, stops cleanly.

It has a Temporal namespace, tables and a bucket to itself, so that no other suite's worker takes its tasks.
"""

import asyncio
import base64
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio import activity
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.bootstrap import build_activities
from activities.clock import epoch_millis
from activities.evidence.watch import NO_KEY
from activities.jobs.reconcile import CAUSE, QUIET_MILLIS
from activities.stores.open import Stores, open_stores
from activities.stores.settings import StoreSettings
from activities.temporal_setup import RECONCILE_SCHEDULE, SWEEP_SCHEDULE
from api.cli.stack.launching import launch
from tests import servers
from tests.unit.fakes import SPEC
from workflows.client.jobs import JobClient
from workflows.client.storage import StorageClient
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.commands import BulkRedrive, Canary, DeadLetterFilter, Discard, JobInput, ReconcileResult
from workflows.contracts.ids import job_workflow_id, pool_queue
from workflows.contracts.jobs import JobSpec
from workflows.contracts.search_attributes import NAMES
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus
from workflows.contracts.storage.retention import Sweep, SweptKind

COMMAND = [sys.executable, "-P", "-m", "api.cli.processes", "worker"]


@pytest.fixture(scope="module")
async def client(temporal_server: servers.Server, temporal_client: Client) -> Client:
    namespace = f"worker-{uuid.uuid4().hex[:8]}"
    request = RegisterNamespaceRequest(
        namespace=namespace, workflow_execution_retention_period=Duration(seconds=24 * 3600)
    )
    await temporal_client.workflow_service.register_namespace(request)
    own = await Client.connect(temporal_server.address, namespace=namespace, data_converter=pydantic_data_converter)

    async def is_known() -> bool:
        try:
            await own.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=namespace))
        except RPCError:
            return False
        return True

    await eventually(is_known, seconds=30, what="the namespace is usable")
    return own


@pytest.fixture(scope="module")
def environment(client: Client, temporal_server: servers.Server, aws_endpoint: str) -> Mapping[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TEMPORAL_"))}
    return inherited | {
        "TEMPORAL_ADDRESS": temporal_server.address,
        "TEMPORAL_NAMESPACE": client.namespace,
        "ENVIRONMENT": client.namespace,
        "DYNAMODB_ENDPOINT_URL": aws_endpoint,
        "S3_ENDPOINT_URL": aws_endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


@pytest.fixture(scope="module")
def stores(environment: Mapping[str, str]) -> Iterator[Stores]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            if name.startswith(("AWS_", "DYNAMODB_", "S3_", "ENVIRONMENT")):
                patch.setenv(name, value)
        opened = open_stores(StoreSettings())
    yield opened
    opened.close()


class WorkerProcess:
    """The process and what it has written to its log."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._process = launch(COMMAND, log, env=environment)

    def has_logged(self, message: str) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"the worker ended with {self._process.returncode}: {self.text()}")
        return message in self.text()

    def text(self) -> str:
        return self._log.read_text()

    def wait(self) -> int:
        return self._process.wait(timeout=60)

    def terminate(self, how: signal.Signals = signal.SIGTERM) -> int:
        self._process.send_signal(how)
        return self.wait()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextmanager
def worker_process(environment: Mapping[str, str], folder: Path) -> Generator[WorkerProcess]:
    process = WorkerProcess(environment, folder / f"worker-{uuid.uuid4().hex[:8]}.log")
    try:
        yield process
    finally:
        process.kill()


@pytest.fixture(scope="module")
async def running_worker(
    environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WorkerProcess]:
    with worker_process(environment, tmp_path_factory.mktemp("worker")) as process:
        await eventually_logged(process, "control worker ready")
        yield process
        assert await asyncio.to_thread(process.terminate) == 0, process.text()  # after it has had work


async def eventually(condition: Callable[[], Awaitable[bool]], *, seconds: float, what: str) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, f"{what} did not happen within {seconds} s"
        await asyncio.sleep(0.05)


async def eventually_logged(process: WorkerProcess, message: str) -> None:
    async def logged() -> bool:
        return process.has_logged(message)

    await eventually(logged, seconds=30, what=message)


@activity.defn(name="run_attempt")
async def succeed(attempt: AttemptInput) -> AttemptResult:
    """An agent's activity, as short as it can be."""
    now = epoch_millis()
    return AttemptResult(
        attempt=attempt.attempt,
        agent_id="agent-1",
        outcome=Outcome.SUCCEEDED,
        exit_code=0,
        claimed_at=now,
        started_at=now,
        finished_at=now,
    )


@activity.defn(name="run_attempt")
async def fail_for_good(attempt: AttemptInput) -> AttemptResult:
    """A checkout that another try cannot mend."""
    result = await succeed(attempt)
    return result.model_copy(
        update={"outcome": Outcome.CHECKOUT_FAILED, "exit_code": None, "cause": "unknown_commit", "retryable": False}
    )


def job_input(pool: str) -> JobInput:
    return JobInput(job_id=str(uuid.uuid4()), spec=JobSpec.model_validate({**SPEC, "pool": pool}))


async def test_it_prepares_temporal_by_itself(running_worker: WorkerProcess, client: Client) -> None:
    request = ListSearchAttributesRequest(namespace=client.namespace)
    known = await client.operator_service.list_search_attributes(request)
    assert set(NAMES) <= set(known.custom_attributes)
    schedule = await client.get_schedule_handle(RECONCILE_SCHEDULE).describe()
    assert [interval.every.total_seconds() for interval in schedule.schedule.spec.intervals] == [300]
    sweeps = await client.get_schedule_handle(SWEEP_SCHEDULE).describe()
    assert [interval.every.total_seconds() for interval in sweeps.schedule.spec.intervals] == [3600]


async def test_it_sweeps_when_asked(running_worker: WorkerProcess, client: Client) -> None:
    for dry_run in (True, False):
        result = await StorageClient(client).sweep(Sweep(by="ann", dry_run=dry_run))
        assert result is not None
        assert (result.dry_run, [each.kind for each in result.kinds]) == (dry_run, list(SweptKind))
        assert {each.note for each in result.kinds if each.kind is not SweptKind.EXPIRED} == {"kept for ever"}


async def test_a_job_is_readable_when_submit_answers_and_its_record_equals_its_workflow(
    running_worker: WorkerProcess, client: Client, stores: Stores
) -> None:
    job = job_input("ends-well")
    created = await JobClient(client).submit(job)
    assert await stores.jobs.get(job.job_id) == created
    async with Worker(client, task_queue=pool_queue("ends-well"), activities=[succeed]):
        result = await client.get_workflow_handle(job_workflow_id(job.job_id)).result()
    stored = await stores.jobs.get(job.job_id)
    assert stored is not None
    assert stored.model_dump(mode="json") == result
    assert (stored.status, stored.queue_status, stored.exit_code) == (JobStatus.SUCCESS, QueueStatus.COMPLETED, 0)
    assert '"chain": "JobCreation"' in running_worker.text()


async def test_the_log_is_one_json_object_a_line(running_worker: WorkerProcess) -> None:
    entries = [json.loads(line) for line in running_worker.text().splitlines()]
    assert {entry["process"] for entry in entries} == {"worker"}
    assert all({"time", "level", "logger", "message"} <= entry.keys() for entry in entries)


async def test_a_record_whose_workflow_was_terminated_is_closed(
    running_worker: WorkerProcess, client: Client, stores: Stores
) -> None:
    doomed, healthy, recent = (job_input("nobody") for _ in range(3))
    job_client = JobClient(client)
    for job in (doomed, healthy, recent):
        await job_client.submit(job)
    for job in (doomed, recent):
        await client.get_workflow_handle(job_workflow_id(job.job_id)).terminate("by a test")
    await eventually_open(client, present=[healthy.job_id], absent=[doomed.job_id, recent.job_id])
    early = await reconcile(stores, client, clock=epoch_millis)
    assert early.closed == []
    late = await reconcile(stores, client, clock=lambda: epoch_millis() + QUIET_MILLIS)
    assert sorted(late.closed) == sorted([doomed.job_id, recent.job_id])
    record = await stores.jobs.get(doomed.job_id)
    assert record is not None
    assert (record.status, record.queue_status, record.cause) == (JobStatus.ERROR, QueueStatus.FAILED, CAUSE)
    assert f"hybridci job retry {doomed.job_id}" in (record.error_message or "")
    untouched = await stores.jobs.get(healthy.job_id)
    assert untouched is not None
    assert untouched.status is JobStatus.QUEUED
    again = await job_client.reconcile()  # by the worker's own activity
    assert again.closed == []
    assert again.checked >= 1


async def test_a_parked_job_is_left_alone_and_can_be_discarded(
    running_worker: WorkerProcess, client: Client, stores: Stores
) -> None:
    job = job_input("parks")
    job_client = JobClient(client)
    await job_client.submit(job)

    async def is_parked() -> bool:
        record = await stores.jobs.get(job.job_id)
        return record is not None and record.status is JobStatus.DEAD_LETTERED

    async with Worker(client, task_queue=pool_queue("parks"), activities=[fail_for_good]):
        await eventually(is_parked, seconds=20, what="the job is parked")
    await reconcile(stores, client, clock=lambda: epoch_millis() + QUIET_MILLIS)
    assert await is_parked()
    discarded = await job_client.discard(job.job_id, Discard(reason="a test"))
    assert discarded.status is JobStatus.ERROR
    assert await stores.jobs.get(job.job_id) == discarded


async def test_dead_letters_are_redriven_in_bulk_behind_a_canary(
    running_worker: WorkerProcess, client: Client, stores: Stores
) -> None:
    jobs = [job_input("bulk") for _ in range(3)]
    job_client = JobClient(client)
    for job in jobs:
        await job_client.submit(job)

    async def all_are(status: JobStatus) -> bool:
        records = [await stores.jobs.get(job.job_id) for job in jobs]
        return all(record is not None and record.status is status for record in records)

    async with Worker(client, task_queue=pool_queue("bulk"), activities=[fail_for_good]):
        await eventually(lambda: all_are(JobStatus.DEAD_LETTERED), seconds=20, what="the jobs are parked")
    redrive_id = str(uuid.uuid4())
    request = BulkRedrive(filter=DeadLetterFilter(pool="bulk"), canary=Canary(count=1), reason="a test")
    await job_client.start_bulk_redrive(redrive_id, request)

    async def is_finished() -> bool:
        return (await job_client.bulk_redrive_progress(redrive_id)).state in {"finished", "stopped"}

    async with Worker(client, task_queue=pool_queue("bulk"), activities=[succeed]):
        await eventually(is_finished, seconds=30, what="the bulk redrive is finished")
        await eventually(lambda: all_are(JobStatus.SUCCESS), seconds=20, what="the jobs succeeded")
    progress = await job_client.bulk_redrive_progress(redrive_id)
    assert (progress.state, progress.matched, progress.refused) == ("finished", 3, {})
    assert progress.redriven == [job.job_id for job in jobs]  # oldest first
    assert progress.canaries == {jobs[0].job_id: "success"}


async def test_without_a_key_it_seals_nothing_and_says_so_and_with_one_it_seals_at_once(
    running_worker: WorkerProcess, environment: Mapping[str, str], stores: Stores, tmp_path: Path
) -> None:
    assert NO_KEY in running_worker.text()
    assert await stores.evidence.last_seal() is None
    key, copies = tmp_path / "seal.key", tmp_path / "seals.jsonl"
    key.write_text(base64.b64encode(bytes(32)).decode())
    own = {**environment, "HYBRIDCI_SEAL_KEY_FILE": str(key), "HYBRIDCI_SEALS_FILE": str(copies)}
    with worker_process(own, tmp_path) as process:

        async def sealed() -> bool:
            process.has_logged("")  # fails once it has ended
            heads = await stores.evidence.heads()
            last = await stores.evidence.last_seal()
            return last is not None and last.seal.sealed_heads == heads and copies.exists()

        await eventually(sealed, seconds=30, what="everything is sealed")
        assert process.terminate() == 0, process.text()
    assert NO_KEY not in process.text()


@pytest.mark.parametrize(
    ("name", "content"), [("HYBRIDCI_SEAL_KEY_FILE", "no key"), ("HYBRIDCI_SEALS_URL", "http://example.com")]
)
def test_settings_of_seals_that_are_wrong_are_named(
    environment: Mapping[str, str], tmp_path: Path, name: str, content: str
) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    own = {**environment, name: str(path) if name.endswith("FILE") else content}
    with worker_process(own, tmp_path) as process:
        assert process.wait() == 2
    assert name in process.text()
    assert "Traceback" not in process.text()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("time", ["first", "second"])
async def test_it_stops_cleanly_every_time(
    how: signal.Signals, time: str, environment: Mapping[str, str], tmp_path: Path
) -> None:
    with worker_process(environment, tmp_path) as process:
        await eventually_logged(process, "control worker ready")
        assert await asyncio.to_thread(process.terminate, how) == 0, process.text()
        assert '"message": "stopped"' in process.text()


async def test_it_waits_for_temporal_and_can_be_stopped_meanwhile(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    absent = {**environment, "TEMPORAL_ADDRESS": f"127.0.0.1:{servers.free_port()}"}
    with worker_process(absent, tmp_path) as process:
        await eventually_logged(process, "waiting for Temporal")
        assert await asyncio.to_thread(process.terminate) == 0, process.text()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ENVIRONMENT": "development"}, "hybridci up"),
        ({"LOG_LEVEL": "LOUD", "AWS_REGION": "us-east-1"}, "LOG_LEVEL is wrong"),
        ({"HYBRIDCI_WORKER_ACTIVITIES": "none", "AWS_REGION": "us-east-1"}, "HYBRIDCI_WORKER_ACTIVITIES"),
    ],
)
def test_wrong_settings_are_one_clear_message_and_exit_code_2(
    changes: Mapping[str, str], sentence: str, environment: Mapping[str, str], tmp_path: Path
) -> None:
    silent = {name: value for name, value in environment.items() if not name.startswith(("AWS_", "DYNAMODB_", "S3_"))}
    with worker_process({**silent, **changes}, tmp_path) as process:
        assert process.wait() == 2
        assert sentence in process.text()
        assert "Traceback" not in process.text()


async def reconcile(stores: Stores, client: Client, *, clock: Callable[[], int]) -> ReconcileResult:
    return await build_activities(stores, client, clock=clock).jobs.reconciler.run(lambda checked: None)


async def eventually_open(client: Client, *, present: list[str], absent: list[str]) -> None:
    """Visibility lags behind: wait until it shows what is so."""
    query = "WorkflowType = 'JobWorkflow' AND ExecutionStatus = 'Running'"

    async def shows() -> bool:
        found = {execution.id async for execution in client.list_workflows(query)}
        return all(job_workflow_id(job_id) in found for job_id in present) and not any(
            job_workflow_id(job_id) in found for job_id in absent
        )

    await eventually(shows, seconds=20, what="visibility is up to date")
