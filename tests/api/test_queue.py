"""The queue's own routes: batches, numbers, dead letters, upkeep; and the core routes."""

from typing import Any

import pytest

from tests.api.conftest import SPEC, Bench
from workflows.contracts.commands import BulkRedrive
from workflows.contracts.errors import Unavailable
from workflows.contracts.statuses import JobStatus

BATCH = "/api/queue/jobs/batch"
DEAD = "/api/queue/dead-letters"


async def parked(bench: Bench, **changes: object) -> str:
    job_id = await bench.submit(**changes)
    await bench.start(job_id)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    return job_id


async def test_a_batch_creates_each_job(bench: Bench) -> None:
    items = [{**SPEC, "job_type": f"t{number}"} for number in range(12)]
    answer = await bench.admin.post(BATCH, json={"items": items}, headers={"Idempotency-Key": "nightly"})
    body = answer.json()
    assert (answer.status_code, body["created"], body["failed"]) == (207, 12, 0)
    assert [(item["index"], item["status"], item["job"]["job_type"]) for item in body["items"]] == [
        (number, 201, f"t{number}") for number in range(12)
    ]
    again = (await bench.admin.post(BATCH, json={"items": items}, headers={"Idempotency-Key": "nightly"})).json()
    assert (again["created"], again["replayed"]) == (0, 12)
    assert [item["job"]["job_id"] for item in again["items"]] == [item["job"]["job_id"] for item in body["items"]]
    other = await bench.admin.post(BATCH, json={"items": items[:3]}, headers={"Idempotency-Key": "nightly"})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


async def test_one_bad_item_starts_nothing(bench: Bench) -> None:
    bad = {**SPEC, "git_repo": "--upload-pack=x"}
    answer = await bench.admin.post(BATCH, json={"items": [SPEC, SPEC, bad]})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["items.2.git_repo"]
    deep: object = 1
    for _ in range(30):
        deep = [deep]
    too_deep = await bench.admin.post(BATCH, json={"items": [SPEC, {**SPEC, "metadata": {"a": deep}}]})
    assert too_deep.json()["errors"][0]["field"].startswith("items.1.metadata.a")
    assert (await bench.stores.jobs.queue_stats()).total == 0


@pytest.mark.parametrize("count", [0, 101])
async def test_a_batch_has_1_to_100_jobs(bench: Bench, count: int) -> None:
    answer = await bench.admin.post(BATCH, json={"items": [SPEC] * count})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "items")


async def test_a_batch_says_which_jobs_could_not_be_started(bench: Bench) -> None:
    def fail(job: object) -> None:
        if getattr(getattr(job, "spec", None), "job_type", "") == "second":
            raise Unavailable("Temporal went away.")

    bench.job_client.on_submit = fail
    items = [SPEC, {**SPEC, "job_type": "second"}, SPEC]
    body = (await bench.admin.post(BATCH, json={"items": items})).json()
    assert [item["status"] for item in body["items"]] == [201, 503, 201]
    assert (body["created"], body["failed"]) == (2, 1)
    assert body["items"][1]["error"]["code"] == "unavailable"


async def test_dead_letters_are_listed_shown_edited_and_redriven(bench: Bench) -> None:
    job_id = await parked(bench, env={"A": "1", "B": "2"})
    await bench.submit()
    assert [item["job_id"] for item in (await bench.admin.get(DEAD)).json()["items"]] == [job_id]
    assert (await bench.admin.get(f"{DEAD}/{job_id}")).json()["status"] == "dead_lettered"
    edit = {"pool": "big", "timeout_seconds": 7200, "env": {"A": None, "C": "3"}}
    edited = (await bench.admin.patch(f"{DEAD}/{job_id}", json=edit)).json()
    assert (edited["pool"], edited["timeout_seconds"], edited["env"]) == ("big", 7200, {"B": "2", "C": "3"})
    redriven = await bench.admin.post(
        f"{DEAD}/{job_id}/redrive", json={"edit": {"priority": "HIGH"}, "reason": "fixed"}
    )
    assert (redriven.json()["status"], redriven.json()["priority"]) == ("queued", "HIGH")
    assert (await bench.admin.get(f"{DEAD}/{job_id}")).status_code == 404
    again = await bench.admin.post(f"{DEAD}/{job_id}")
    assert (again.status_code, again.json()["code"]) == (409, "invalid_state")


async def test_what_a_dead_letter_runs_and_its_commit_are_edited(bench: Bench) -> None:
    job_id = await parked(bench)
    steps = [{"name": "test", "run": "pytest -x", "when": "always"}]
    edited = await bench.admin.patch(f"{DEAD}/{job_id}", json={"steps": steps, "git_commit_sha": "b" * 40})
    body = edited.json()
    assert edited.status_code == 200, body
    assert [(step["name"], step["run"]) for step in body["steps"]] == [("test", "pytest -x")]
    assert body["git_commit_sha"] == "b" * 40
    assert "hybridci/step-rules=*" in body["requires"]  # an older agent would leave `when` out
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"steps": []}, "steps"),
        ({"git_commit_sha": "main"}, "git_commit_sha"),
        ({"steps": [{"name": "s", "run": "x", "env": {"HYBRIDCI_SERVICE": "x"}}]}, "steps.0.env.HYBRIDCI_SERVICE"),
    ]
    for edit, field in refusals:
        refused = await bench.admin.patch(f"{DEAD}/{job_id}", json=edit)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    many = await bench.admin.post(f"{DEAD}/redrive", json={"edit": {"steps": steps}})
    assert (many.status_code, many.json()["errors"][0]["field"]) == (422, "edit.steps")


async def test_the_plain_post_redrives_and_delete_discards(bench: Bench) -> None:
    one, two = await parked(bench), await parked(bench)
    assert (await bench.admin.post(f"{DEAD}/{one}")).json()["status"] == "queued"
    assert (await bench.admin.delete(f"{DEAD}/{two}")).json()["status"] == "failed"


async def test_a_bulk_redrive_answers_where_to_look(bench: Bench) -> None:
    body = {"filter": {"pool": "big", "cause": "exit_code"}, "canary": {"count": 2}, "edit": {"pool": "bigger"}}
    headers = {"Idempotency-Key": "friday"}
    started = await bench.admin.post(f"{DEAD}/redrive", json=body, headers=headers)
    assert started.status_code == 202
    redrive_id = started.json()["redrive_id"]
    sent = bench.job_client.redrives[redrive_id]
    assert isinstance(sent, BulkRedrive)
    assert (sent.by, sent.filter.pool, sent.canary and sent.canary.count) == ("admin", "big", 2)
    progress = await bench.admin.get(started.json()["url"])
    assert (progress.status_code, progress.json()["state"]) == (200, "finished")
    again = await bench.admin.post(f"{DEAD}/redrive", json=body, headers=headers)
    other = await bench.admin.post(f"{DEAD}/redrive", json={**body, "limit": 7}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert again.json()["redrive_id"] == redrive_id
    assert len(bench.job_client.redrives) == 1
    assert (await bench.admin.get(f"{DEAD}/redrives/{'0' * 8}-0000-4000-8000-{'0' * 12}")).status_code == 404


async def test_upkeep_compares_records_with_workflows(bench: Bench) -> None:
    answer = await bench.admin.post("/api/queue/maintenance/requeue-expired")
    assert answer.json() == {"checked": 0, "closed": [], "created": [], "requeued": 0}


async def test_the_summary_and_the_statistics_count(bench: Bench) -> None:
    for _ in range(6):
        await bench.submit()
    await parked(bench)
    summary = (await bench.admin.get("/api/dashboard/summary")).json()
    assert (summary["total_jobs"], len(summary["recent_jobs"])) == (7, 5)
    assert (summary["total_deployments"], summary["recent_deployments"]) == (0, [])
    stats = (await bench.admin.get("/api/queue/stats")).json()
    assert (stats["depth"], stats["queued"], stats["dead_lettered"], stats["total"]) == (6, 6, 1, 7)


async def test_the_queue_by_the_hour(bench: Bench) -> None:
    await bench.submit()
    await parked(bench)
    (*_, now) = (await bench.admin.get("/api/queue/history")).json()["items"]
    assert (now["created"], now["failed"], now["completed"], now["open"]) == (2, 1, 0, 1)
    assert now["at"] % 3_600_000 == 0
    answer = await bench.admin.get("/api/queue/history?hours=0")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "hours")


async def test_ready_names_what_is_down(bench: Bench) -> None:
    assert (await bench.anyone.get("/health/ready")).json()["checks"] == {"temporal": "ok", "dynamodb": "ok"}
    bench.job_client.failure = Unavailable("Temporal does not answer.")
    bench.app.state.checks.forget()
    answer = await bench.anyone.get("/health/ready")
    assert answer.status_code == 503
    assert [error["field"] for error in answer.json()["errors"]] == ["temporal"]
    assert (await bench.anyone.get("/health")).json()["status"] == "healthy"


async def test_metrics_count_by_route_template(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.admin.get(f"/api/dashboard/jobs/{job_id}")
    text = (await bench.admin.get("/metrics")).text
    label = 'method="GET",route="/api/dashboard/jobs/{job_id}",status="200"'
    assert f"hybridci_http_request_seconds_count{{{label}}} 1.0" in text
    assert 'hybridci_jobs{state="depth"} 1.0' in text
    assert job_id not in text


async def test_what_is_done_to_many_jobs_at_once_is_in_the_trail(bench: Bench) -> None:
    key = {"Idempotency-Key": "bulk-1"}
    for _ in range(2):
        answer = await bench.admin.post("/api/queue/dead-letters/redrive", json={"reason": "fixed"}, headers=key)
        assert answer.status_code == 202, answer.text
    assert (await bench.admin.post("/api/queue/maintenance/requeue-expired")).status_code == 200
    events = (await bench.admin.get("/api/events?action=jobs.")).json()["items"]
    assert [(each["action"], each["by"], each["role"], each["reason"]) for each in reversed(events)] == [
        ("jobs.bulk_redriven", "admin", "admin", "fixed"),
        ("jobs.reconciled", "admin", "admin", None),
    ]
