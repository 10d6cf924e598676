"""`GET /api/storage`, sweeps by hand, and what is said of what went."""

import io
from pathlib import Path
from typing import Any

import pytest

from activities.stores.interfaces.logs import LogChunk
from api.storage.folder import folder_of
from tests.api.conftest import Bench
from tests.api.fake_sweeps import FakeSweeps
from tests.retention.house import DAY, House, live_version
from tests.stores.releases import make_state
from workflows.contracts.deployments.deployment import DeploymentStatus
from workflows.contracts.deployments.environments import EnvironmentWrite
from workflows.contracts.errors import Unavailable
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite
from workflows.contracts.storage.retention import RetentionPolicy


def sweeps_of(bench: Bench) -> FakeSweeps:
    found = bench.app.state.services.storage_client
    assert isinstance(found, FakeSweeps)
    return found


async def ended_job(bench: Bench, *, days_ago: int) -> Job:
    house = House(bench.stores, now=bench.app.state.services.clock())
    return await house.job(days_ago)


def kinds(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in answer["kinds"]}


async def test_it_says_what_the_next_sweep_takes(bench: Bench) -> None:
    await ended_job(bench, days_ago=100)
    await ended_job(bench, days_ago=10)
    sweeps_of(bench).policy = RetentionPolicy(jobs=90 * 86_400)
    answer = (await bench.admin.get("/api/storage")).json()
    jobs = kinds(answer)["jobs"]
    assert (jobs["age_seconds"], jobs["next_removed"]) == (90 * 86_400, 1)
    assert jobs["next_size"] == len(b"hello\n") + len(b"bytes")
    assert (kinds(answer)["logs"]["age_seconds"], kinds(answer)["logs"]["note"]) == (None, "kept for ever")
    assert (answer["last_sweep_at"], answer["unanswered"]) == (None, None)
    assert answer["policy"]["live_versions"] == 10
    await bench.admin.get("/api/storage")
    assert len(sweeps_of(bench).asked) == 1, "one preview serves all who ask within a minute"
    assert sweeps_of(bench).asked[0].dry_run


async def test_a_preview_removes_nothing_and_a_sweep_does(bench: Bench) -> None:
    job = await ended_job(bench, days_ago=100)
    sweeps_of(bench).policy = RetentionPolicy(jobs=90 * 86_400)
    seen = await bench.admin.post("/api/storage/sweep", json={"dry_run": True})
    assert (seen.status_code, seen.json()["dry_run"]) == (200, True)
    assert "jobs: 1 looked at, 1 would be removed" in seen.json()["message"]
    assert (await bench.admin.get(f"/api/dashboard/jobs/{job.job_id}")).status_code == 200
    done = await bench.admin.post("/api/storage/sweep", json={"reason": "the disk is full"})
    assert "jobs: 1 looked at, 1 removed, 2 objects with 11 bytes" in done.json()["message"]
    asked = sweeps_of(bench).asked[-1]
    assert (asked.by, asked.role, asked.reason) == ("admin", "admin", "the disk is full")
    assert (await bench.admin.get(f"/api/dashboard/jobs/{job.job_id}")).status_code == 404
    answer = (await bench.admin.get("/api/storage")).json()
    assert answer["last_sweep_at"] is not None
    assert kinds(answer["last_sweep"])["jobs"]["removed"] == 1
    assert kinds(answer)["jobs"]["next_removed"] == 0


async def test_without_a_body_it_sweeps(bench: Bench) -> None:
    assert (await bench.admin.post("/api/storage/sweep")).status_code == 200
    assert not sweeps_of(bench).asked[-1].dry_run


@pytest.mark.parametrize("body", [{"dry": True}, {"dry_run": "perhaps"}, {"reason": "x" * 1025}, []])
async def test_what_it_does_not_know_is_refused_by_its_field(bench: Bench, body: object) -> None:
    answer = await bench.admin.post("/api/storage/sweep", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"]
    assert sweeps_of(bench).asked == []


async def test_one_that_takes_long_is_under_way(bench: Bench) -> None:
    sweeps_of(bench).slow = True
    answer = await bench.admin.post("/api/storage/sweep", json={})
    assert (answer.status_code, answer.json()["under_way"]) == (202, True)
    told = (await bench.admin.get("/api/storage")).json()
    assert "takes longer" in told["unanswered"]
    assert told["policy"] is None


async def test_sizes_are_told_while_nobody_answers_for_the_next_sweep(bench: Bench) -> None:
    sweeps_of(bench).failure = Unavailable("Temporal does not answer.")
    answer = await bench.admin.get("/api/storage")
    assert (answer.status_code, answer.json()["unanswered"]) == (200, "Temporal does not answer.")
    assert kinds(answer.json())["jobs"]["next_removed"] is None
    assert (await bench.admin.post("/api/storage/sweep", json={})).status_code == 503


async def test_a_log_that_went_is_gone_in_words(bench: Bench) -> None:
    job = await ended_job(bench, days_ago=100)
    sweeps_of(bench).policy = RetentionPolicy(logs=30 * 86_400, artifacts=30 * 86_400)
    await bench.admin.post("/api/storage/sweep")
    place = f"/api/dashboard/jobs/{job.job_id}"
    for path in ("logs", "logs?follow=true", "logs?lines=-3", "logs/search?text=a", "artifacts", "artifacts/dist/a"):
        answer = await bench.admin.get(f"{place}/{path}")
        assert answer.status_code == 410, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "removed_by_policy"
        assert "removed by policy" in answer.json()["detail"]
    record = (await bench.admin.get(place)).json()
    assert record["logs_removed_at"] is not None
    assert record["status"] == "success"
    assert (await bench.admin.post(f"{place}/retry", json={})).status_code == 201, "it can be run again"


async def test_expired_artifacts_are_gone_in_words_before_a_sweep_has_been_there(bench: Bench) -> None:
    job = await ended_job(bench, days_ago=10)
    now = bench.app.state.services.clock()
    past, later = now - 86_400_000, now + 86_400_000

    async def expiring(at: int, **changes: object) -> list[int]:
        stored = await bench.stores.jobs.get(job.job_id)
        assert stored is not None
        update = {"artifacts_expire_at": at, "sequence": stored.sequence + 1, **changes}
        await bench.stores.jobs.write(JobWrite(job=stored.model_copy(update=update), previous=stored.queue_status))
        paths = ("artifacts", "artifacts/dist/a", "artifacts.zip")
        return [(await bench.admin.get(f"/api/dashboard/jobs/{job.job_id}/{path}")).status_code for path in paths]

    assert await expiring(later) == [200, 200, 200]
    listed = (await bench.admin.get(f"/api/dashboard/jobs/{job.job_id}/artifacts")).json()
    assert listed["expires_at"] == later
    assert await expiring(past) == [410, 410, 410]
    answer = await bench.admin.get(f"/api/dashboard/jobs/{job.job_id}/artifacts")
    assert "expired, as the job's `expires` says. Its record stays." in answer.json()["detail"]
    assert await expiring(past, deployment_id="d") == [200, 200, 200], "as long as its deployment may need them"


async def test_what_is_no_more_cannot_be_run_again(bench: Bench) -> None:
    job = await ended_job(bench, days_ago=100)
    sweeps_of(bench).policy = RetentionPolicy(jobs=30 * 86_400)
    await bench.admin.post("/api/storage/sweep")
    for method, path in (("POST", "retry"), ("POST", "cancel"), ("GET", "logs")):
        answer = await bench.admin.request(method, f"/api/dashboard/jobs/{job.job_id}/{path}")
        assert answer.status_code == 404
        assert "There is no job" in answer.json()["detail"]


async def test_a_rollback_to_what_was_removed_is_refused_in_words(bench: Bench) -> None:
    await bench.register()
    deployment_id = await bench.deploy()
    house = House(bench.stores)
    there = await house.deployment(10, version="1.3.0")
    gone = there.model_copy(update={"deployment_id": "00000000-0000-0000-0000-000000000000", "version": "1.0.0"})
    state = make_state(history=[live_version(there), live_version(gone)])
    await bench.stores.environments.write(EnvironmentWrite(state=state))
    body = {"reason": "orders fail", "to_version": "1.0.0"}
    answer = await bench.admin.post(f"/api/dashboard/deployments/{deployment_id}/rollback", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
    assert "1.0.0 was live in production, but its record was removed by policy" in answer.json()["detail"]
    assert "hybridci deploy start checkout --version 1.0.0 --sha" in answer.json()["detail"]
    other = await bench.admin.post(
        f"/api/dashboard/deployments/{deployment_id}/rollback", json={**body, "to_version": "1.3.0"}
    )
    assert "removed by policy" not in other.text


async def test_a_deployment_is_shown_whose_logs_went(bench: Bench) -> None:
    house = House(bench.stores, now=bench.app.state.services.clock())
    deployment = await house.deployment(100)
    sweeps_of(bench).policy = RetentionPolicy(logs=30 * 86_400)
    await bench.admin.post("/api/storage/sweep")
    answer = await bench.admin.get(f"/api/dashboard/deployments/{deployment.deployment_id}")
    assert answer.status_code == 200
    assert answer.json()["status"] == DeploymentStatus.SUPERSEDED


def test_a_folder_is_measured_in_bounds(tmp_path: Path) -> None:
    (tmp_path / "aws").mkdir()
    for number in range(5):
        (tmp_path / "aws" / f"f{number}").write_bytes(b"x" * 8192)
    (tmp_path / "temporal.db").write_bytes(b"x" * 16384)
    (tmp_path / "loop").symlink_to(tmp_path)
    whole = folder_of(tmp_path)
    assert whole is not None
    assert [each.name for each in whole.entries][:2] == ["aws", "temporal.db"]
    assert whole.size >= 5 * 8192 + 16384
    assert not whole.at_least
    part = folder_of(tmp_path, most_files=3)
    assert part is not None
    assert part.at_least
    assert part.size < whole.size
    assert folder_of(tmp_path / "missing") is None


async def test_a_log_in_an_unended_job_is_never_marked(bench: Bench) -> None:
    job_id = await bench.submit()
    job = await bench.stores.jobs.get(job_id)
    assert job is not None
    old = job.model_copy(update={"created_at": job.created_at - 400 * DAY, "sequence": job.sequence + 1})
    await bench.stores.jobs.write(JobWrite(job=old, previous=job.queue_status))
    await bench.stores.logs.append(job_id, 1, LogChunk(0, b"x"))
    await bench.stores.artifacts.put(job_id, 1, "a", io.BytesIO(b"x"), sha256="0" * 64)
    sweeps_of(bench).policy = RetentionPolicy(jobs=60, logs=60, artifacts=60)
    await bench.admin.post("/api/storage/sweep")
    assert await bench.stores.jobs.get(job_id) == old
    assert (await bench.stores.logs.stored(job_id)).objects == 1
