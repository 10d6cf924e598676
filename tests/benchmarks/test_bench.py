"""A small run of `hybridci bench` measures everything and says it in one JSON. No time is asserted."""

import json
import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.jobs import MemoryJobStore
from activities.stores.open import ensure_schema, open_stores
from activities.stores.settings import StoreSettings
from api.cli.benchmark.report import Report, Times
from api.cli.benchmark.seed import history, job_id_of, seed
from tests.e2e.stack import HYBRIDCI
from tests.stores.lives import NOON
from workflows.contracts.records import JobQuery, JobWrite
from workflows.contracts.statuses import JobStatus


def test_a_small_run_measures_every_part(tmp_path: Path) -> None:
    sizes = ["--samples", "2", "--jobs", "6", "--deployments", "5", "--stored", "120", "--agents", "5"]
    done = subprocess.run(
        [*HYBRIDCI, "bench", "--json", *sizes],
        capture_output=True, text=True, timeout=400, env={**os.environ, "TMPDIR": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    report = Report.model_validate(_without_verdicts(content))
    assert report.latency is not None
    assert report.floor_latency is not None
    assert report.latency.dispatch.samples == report.floor_latency.dispatch.samples == 2
    assert 0 < report.latency.dispatch.p50 <= report.latency.end_to_end.p95
    assert report.throughput is not None
    assert report.throughput.per_second > 0
    assert {"temporal", "aws", "api", "worker", "agent-1", "client"} <= report.throughput.cpu_ms_per_job.keys()
    assert report.calls is not None
    assert report.calls.store_requests["dynamodb TransactWriteItems"] >= 2
    assert report.calls.written.items > 20
    assert report.calls.written.units >= 2 * report.calls.written.items
    assert report.calls.history.events > 10
    assert report.deployment_latency is not None
    assert report.deployment_latency.floor.samples == 3 * report.deployment_latency.rollback.samples == 3
    assert report.deployment_latency.rollback.p50 > 0
    assert report.many_deployments is not None
    assert (report.many_deployments.deployments, report.many_deployments.services) == (5, 2)
    assert report.many_deployments.cpu_ms_per_deployment["worker"] > 0
    assert report.gateway_latency is not None
    assert report.gateway_latency.direct.samples == report.gateway_latency.gateway.samples == 2
    assert report.question_latency is not None
    assert report.question_latency.question.samples == report.question_latency.floor.samples == 2
    assert report.idle_mib is not None
    assert all(size > 0 for size in report.idle_mib.values())
    assert report.heartbeats is not None
    assert (report.heartbeats.agents, report.heartbeats.heartbeats) == (5, 5)
    assert report.heartbeats.cpu_ms.keys() == {"api", "aws"}
    assert [reads.stored for reads in report.reads] == [100, 120]
    wanted = {"dispatch p50 / floor", "throughput / floor", "rollback to its command, p50", "memory when idle"}
    assert wanted <= {each.name for each in report.targets}
    assert list(tmp_path.iterdir()) == []


def test_a_small_run_measures_the_dashboard(tmp_path: Path) -> None:
    sizes = ["--samples", "2", "--stored", "60", "--log-mib", "2", "--streams", "5"]
    done = subprocess.run(
        [*HYBRIDCI, "bench", "--json", "--part", "dashboard", *sizes],
        capture_output=True, text=True, timeout=200, env={**os.environ, "TMPDIR": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = Report.model_validate(_without_verdicts(json.loads(done.stdout))).dashboard
    assert found is not None
    assert (found.stored, found.deployments, found.log_mib, found.streams.streams) == (60, 6, 2, 5)
    assert len(found.pages) > 10
    assert "/" in {page.path for page in found.pages}
    assert all(page.times.samples == 2 and page.times.p50 > 0 for page in found.pages)
    assert found.first_page_bytes > 5000
    assert found.log_search.p50 > 0
    assert found.streams.reached_ms > 0
    assert list(tmp_path.iterdir()) == []


def test_files_are_measured_when_they_are_named(tmp_path: Path) -> None:
    parts = ["--part", "checkout", "--part", "artifacts", "--repository-mib", "1"]
    done = subprocess.run(
        [*HYBRIDCI, "bench", "--json", *parts],
        capture_output=True, text=True, timeout=400, env={**os.environ, "TMPDIR": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = Report.model_validate(_without_verdicts(json.loads(done.stdout)))
    assert report.checkouts is not None
    assert report.checkouts.worktree.samples == report.checkouts.second.samples == 3
    assert min(report.checkouts.first_ms, report.checkouts.first_of_four_ms, report.checkouts.second.p50) > 0
    assert [found.files for found in report.artifacts] == [500, 10_000]
    assert len(report.targets) == 5
    assert list(tmp_path.iterdir()) == []


async def test_the_stored_history_is_what_single_writes_leave(aws_endpoint: str) -> None:
    settings = StoreSettings(
        environment=uuid.uuid4().hex, dynamodb_endpoint_url=aws_endpoint, s3_endpoint_url=aws_endpoint
    )
    jobs = list(history(150, now=NOON))
    plain = MemoryJobStore(MemoryEventStore())
    for job in jobs:
        await plain.write(JobWrite(job=job))
    await ensure_schema(settings)
    await seed(settings, jobs)
    stores = open_stores(settings)
    try:
        assert await stores.jobs.queue_stats() == await plain.queue_stats()
        assert await stores.jobs.day_stats("2025-11-21") == await plain.day_stats("2025-11-21")
        assert await stores.jobs.get(job_id_of(7)) == jobs[7]
        for query in (JobQuery(limit=100), JobQuery(status=JobStatus.FAILED), JobQuery(agent_id=jobs[3].agent_id)):
            assert (await stores.jobs.list(query)).items == (await plain.list(query)).items
        assert await stores.jobs.write(JobWrite(job=jobs[0])) is WriteOutcome.STALE
    finally:
        stores.close()


def test_an_unknown_part_is_refused() -> None:
    done = subprocess.run([*HYBRIDCI, "bench", "--part", "luck"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "luck" in done.stderr


def test_percentiles_are_nearest_rank() -> None:
    times = Times.of([float(number) for number in range(1, 101)])
    assert (times.p50, times.p95, times.samples) == (50, 95, 100)


def _without_verdicts(content: dict[str, Any]) -> dict[str, Any]:
    """``met`` is computed, so it is said and not taken."""
    targets = [{name: value for name, value in each.items() if name != "met"} for each in content["targets"]]
    return {**content, "targets": targets}
