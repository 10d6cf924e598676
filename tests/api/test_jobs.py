"""Jobs over HTTP: submit, read, list, change, stop, run again, and idempotency keys."""

import asyncio
import json
from typing import Any

import pytest

from activities.stores.interfaces.writes import WriteOutcome
from tests.api.conftest import SPEC, Bench
from tests.stores.lives import make_job
from workflows.contracts.commands import JobInput
from workflows.contracts.errors import Unavailable
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus
from workflows.job.record import creation

JOBS = "/api/dashboard/jobs"
QUEUE = "/api/queue/jobs"
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("path", [JOBS, QUEUE])
async def test_a_submitted_job_can_be_read_at_once(bench: Bench, path: str) -> None:
    answer = await bench.admin.post(
        path, json={**SPEC, "priority": "HIGH", "metadata": {"é": [1, None, 0.5, "\n\t\uffff"]}}
    )
    assert answer.status_code == 201
    job = answer.json()
    assert answer.headers["location"] == f"{JOBS}/{job['job_id']}"
    assert (job["status"], job["queue_status"], job["priority"]) == ("queued", "QUEUED", "HIGH")
    assert (job["created_by"], job["exit_code"], job["attempts"]) == ("admin", None, [])
    assert not {"fingerprint", "sequence"} & set(job)
    read = (await bench.admin.get(f"{path}/{job['job_id']}")).json()
    assert read == job
    assert read["metadata"] == {"é": [1, None, 0.5, "\n\t\uffff"]}


async def test_the_workflow_creates_the_record_when_the_api_cannot(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, failed = bench.stores.jobs.write, list[str]()

    async def fail_once(change: JobWrite, document: str | None = None) -> WriteOutcome:
        if not failed:
            failed.append(change.job.job_id)
            raise Unavailable("DynamoDB does not answer.")
        return await write(change, document)

    monkeypatch.setattr(bench.stores.jobs, "write", fail_once)
    answer = await bench.admin.post(JOBS, json=SPEC)
    assert answer.status_code == 201
    assert failed == [answer.json()["job_id"]]
    assert (await bench.admin.get(f"{JOBS}/{failed[0]}")).json() == answer.json()
    assert "the workflow creates the record" in caplog.text


async def test_a_job_whose_record_may_be_too_large_is_recorded_before_it_starts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[JobInput] = []

    async def start(job: JobInput, accepted_at: int) -> JobWrite:
        started.append(job)
        return creation(job, accepted_at)

    monkeypatch.setattr(bench.job_client, "start", start)
    for size, starts in ((70_000, 0), (7_000, 1)):
        answer = await bench.admin.post(JOBS, json={**SPEC, "metadata": {"note": "x" * size}})
        assert answer.status_code == 201
        assert len(started) == starts
        assert (await bench.admin.get(f"{JOBS}/{answer.json()['job_id']}")).json() == answer.json()


async def test_every_bad_field_is_named_at_once(bench: Bench) -> None:
    body = {"job_type": 7, "git_repo": "ext::sh", "steps": [{"name": "", "run": "x"}], "env": {"1A": "x"}, "wrong": 1}
    answer = await bench.admin.post(JOBS, json=body)
    assert answer.status_code == 422
    named = {error["field"] for error in answer.json()["errors"]}
    missing = {"git_commit_sha", "git_author"}
    assert named == missing | {"job_type", "git_repo", "steps.0.name", "env.1A", "wrong"}
    assert (await bench.stores.jobs.queue_stats()).total == 0


async def test_missing_required_fields_are_named(bench: Bench) -> None:
    answer = await bench.admin.post(JOBS, json={})
    assert {error["field"] for error in answer.json()["errors"]} == {
        "job_type",
        "git_repo",
        "git_commit_sha",
        "git_author",
    }


async def test_lists_page_through_everything_once(bench: Bench) -> None:
    submitted = {await bench.submit(job_type=f"t{number}") for number in range(7)}
    found: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": 3, **({"cursor": cursor} if cursor else {})}
        page = (await bench.admin.get(JOBS, params=query)).json()
        found += [item["job_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(found) == 7
    assert set(found) == submitted


async def test_lists_filter(bench: Bench) -> None:
    one = await bench.submit(pool="gpu")
    await bench.submit()
    by_pool = (await bench.admin.get(QUEUE, params={"pool": "gpu"})).json()["items"]
    assert [item["job_id"] for item in by_pool] == [one]
    await bench.start(one)
    running = (await bench.admin.get(f"{JOBS}/running")).json()["items"]
    by_agent = (await bench.admin.get(f"{JOBS}/agent/agent-7")).json()["items"]
    by_status = (await bench.admin.get(JOBS, params={"status": "running"})).json()["items"]
    assert [[item["job_id"] for item in page] for page in (running, by_agent, by_status)] == [[one]] * 3
    nobodys = (await bench.admin.get(f"{JOBS}/agent/nobody")).json()
    assert nobodys == {"items": [], "next_cursor": None, "stopped_early": False}


@pytest.mark.parametrize(
    "query",
    [
        "repository=git@example.com:Acme/Shop",
        "branch=feature/x",
        "branch=refs/heads/feature/x&repository=https://example.com/acme/shop",
        f"commit={'c' * 40}",
        "service=checkout",
        "author=Bob+%3Cbob@example.com%3E",
        "label=team=a%3Db",
        "label=stage=s&label=team=a%3Db&job_type=test&status=queued",
        "commit=cccc",
        "commit=ccccccc&service=checkout&until=9000000000000",
    ],
)
async def test_a_job_is_found_by_what_is_fixed_at_its_creation(bench: Bench, query: str) -> None:
    await bench.submit(labels={"team": "a"}, git_ref="main")
    mine = await bench.submit(
        git_repo="https://example.com/acme/shop.git", git_ref="feature/x", git_commit_sha="c" * 40,
        git_author="bob+ci@example.com", labels={"service": "checkout", "team": "a=b", "stage": "s", "owner": "bob"},
    )  # fmt: skip
    for path in (JOBS, QUEUE):
        page = (await bench.admin.get(f"{path}?{query}")).json()
        assert [item["job_id"] for item in page["items"]] == [mine]
        assert page["stopped_early"] is False


async def test_dead_letters_are_found_by_the_same(bench: Bench) -> None:
    parked: dict[str, Any] = {
        "status": JobStatus.DEAD_LETTERED,
        "queue_status": QueueStatus.DEAD_LETTERED,
        "git_ref": "main",
    }
    mine, other = make_job(git_repo="https://example.com/acme/shop", **parked), make_job(**parked)
    for job in (mine, other, make_job(git_repo=mine.git_repo)):
        await bench.stores.jobs.write(JobWrite(job=job))
    letters = "/api/queue/dead-letters"
    page = (await bench.admin.get(f"{letters}?repository=git@example.com:acme/shop.git&branch=main")).json()
    assert [item["job_id"] for item in page["items"]] == [mine.job_id]
    refused = await bench.admin.get(f"{letters}?label=owner=ann")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "label")


async def test_a_label_that_lists_are_not_filtered_by_is_refused_and_which_they_are_is_said(bench: Bench) -> None:
    problem = (await bench.admin.get(f"{JOBS}?label=owner=ann")).json()
    assert "team, stage" in problem["errors"][0]["message"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("status=done", "status"),
        ("cursor=!!!", "cursor"),
        ("statsu=failed", "statsu"),
        ("cursor=", "cursor"),
        ("repository=not+a+url", "repository"),
        ("branch=a..b", "branch"),
        ("commit=9f1", "commit"),
        (f"commit={'A' * 40}", "commit"),
        ("service=", "service"),
        ("author=", "author"),
        ("label=team", "label.0"),
        ("label=team=a&label=%3Db", "label.1"),
        ("label=team=a&label=team=b", "label"),
        ("label=owner=ann", "label"),
        ("commit=" + "&commit=".join(("a" * 40,) * 2), "commit"),
    ],
)
async def test_bad_list_parameters_are_named(bench: Bench, query: str, field: str) -> None:
    answer = await bench.admin.get(f"{JOBS}?{query}")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", JOBS + "/{id}", None),
        ("PATCH", JOBS + "/{id}", {"priority": "LOW"}),
        ("PATCH", JOBS + "/{id}/complete", {"exit_code": 0}),
        ("POST", JOBS + "/{id}/cancel", None),
        ("POST", JOBS + "/{id}/retry", None),
        ("GET", JOBS + "/{id}/logs", None),
        ("GET", JOBS + "/{id}/artifacts", None),
        ("GET", JOBS + "/{id}/artifacts/a.txt", None),
        ("PATCH", QUEUE + "/{id}/priority", {"priority": "LOW"}),
        ("DELETE", QUEUE + "/{id}", None),
        ("GET", "/api/queue/dead-letters/{id}", None),
        ("POST", "/api/queue/dead-letters/{id}/redrive", None),
    ],
)
async def test_what_does_not_exist_is_404(bench: Bench, method: str, path: str, body: Any) -> None:
    for job_id in (NOBODY, "no-uuid", NOBODY.upper(), "%00", "%ff", "a" * 3000):
        answer = await bench.admin.request(method, path.replace("{id}", job_id), json=body)
        assert answer.status_code == 404, (job_id, answer.text)
        assert answer.json()["code"] == "not_found"


async def test_a_job_is_amended_until_it_runs(bench: Bench) -> None:
    job_id = await bench.submit()
    changed = await bench.admin.patch(f"{JOBS}/{job_id}", json={"priority": "LOW", "labels": {"team": "shop"}})
    assert (changed.json()["priority"], changed.json()["labels"]) == ("LOW", {"team": "shop"})
    raised = await bench.admin.patch(f"{QUEUE}/{job_id}/priority", json={"priority": "CRITICAL"})
    assert raised.json()["priority"] == "CRITICAL"
    await bench.start(job_id)
    refused = await bench.admin.patch(f"{QUEUE}/{job_id}/priority", json={"priority": "LOW"})
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_state")
    signed = await bench.admin.patch(f"{JOBS}/{job_id}", json={"by": "somebody else"})
    assert signed.status_code == 422


async def test_cancel_can_be_repeated_but_an_ended_job_stays(bench: Bench) -> None:
    job_id = await bench.submit()
    first = await bench.admin.post(f"{JOBS}/{job_id}/cancel", json={"reason": "wrong branch"})
    assert (first.json()["status"], first.json()["error_message"]) == ("cancelled", "wrong branch")
    assert (await bench.admin.delete(f"{QUEUE}/{job_id}")).json()["status"] == "cancelled"
    done = await bench.submit()
    completed = await bench.admin.patch(f"{JOBS}/{done}/complete", json={"exit_code": 0})
    assert (completed.json()["status"], completed.json()["exit_code"]) == ("success", 0)
    late = await bench.admin.post(f"{JOBS}/{done}/cancel")
    assert (late.status_code, late.json()["code"]) == (409, "invalid_state")
    assert "success" in late.json()["detail"]


async def test_a_running_job_shows_its_lease_fresh_from_temporal(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    bench.job_client.lease = 1_800_000_000_000
    assert (await bench.admin.get(f"{JOBS}/{job_id}")).json()["lease_expires_at"] == 1_800_000_000_000
    bench.job_client.failure = Unavailable("Temporal does not answer.")
    answer = await bench.admin.get(f"{JOBS}/{job_id}")
    assert (answer.status_code, answer.json()["status"]) == (200, "running")


async def test_retry_makes_a_new_job_of_an_ended_one(bench: Bench) -> None:
    job_id = await bench.submit(labels={"a": "b"})
    assert (await bench.admin.post(f"{JOBS}/{job_id}/retry")).status_code == 409
    await bench.admin.post(f"{JOBS}/{job_id}/cancel")
    headers = {"Idempotency-Key": "again"}
    again = await bench.admin.post(f"{JOBS}/{job_id}/retry", headers=headers)
    assert again.status_code == 201
    assert (again.json()["retry_of"], again.json()["labels"]) == (job_id, {"a": "b"})
    repeated = await bench.admin.post(f"{JOBS}/{job_id}/retry", headers=headers)
    assert (repeated.status_code, repeated.json()["job_id"]) == (200, again.json()["job_id"])


async def test_retry_of_a_dead_letter_redrives_it(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    answer = await bench.admin.post(f"{JOBS}/{job_id}/retry")
    assert (answer.status_code, answer.json()["job_id"], answer.json()["status"]) == (200, job_id, "queued")


async def test_the_same_key_and_request_is_the_same_job(bench: Bench) -> None:
    headers = {"Idempotency-Key": "build 1"}
    first = await bench.admin.post(JOBS, json=SPEC, headers=headers)
    reordered = json.dumps(dict(reversed(list(SPEC.items()))), indent=2).encode()
    again = await bench.admin.post(
        QUEUE, content=reordered, headers={**headers, "Content-Type": "application/json; charset=utf-8"}
    )
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["idempotent-replay"] == "true"
    assert first.json() == again.json()
    other = await bench.admin.post(JOBS, json={**SPEC, "job_type": "build"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert (await bench.stores.jobs.queue_stats()).total == 1


async def test_ten_requests_with_one_key_make_one_job(bench: Bench) -> None:
    requests = [bench.admin.post(JOBS, json=SPEC, headers={"Idempotency-Key": "k"}) for _ in range(10)]
    answers = await asyncio.gather(*requests)
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert (await bench.stores.jobs.queue_stats()).total == 1


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"\xc3\xa9", b"a\x7fb"])
async def test_a_bad_idempotency_key_is_named(bench: Bench, key: bytes) -> None:
    answer = await bench.admin.post(JOBS, json=SPEC, headers=[(b"idempotency-key", key)])
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["Idempotency-Key"]


async def test_nothing_is_created_while_temporal_is_away(bench: Bench) -> None:
    bench.job_client.failure = Unavailable("Temporal does not answer.")
    answer = await bench.admin.post(JOBS, json=SPEC)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert (await bench.admin.get(JOBS)).json()["items"] == []


async def test_a_job_is_found_by_how_its_id_begins_and_by_its_time(bench: Bench) -> None:
    jobs = [await bench.submit() for _ in range(3)]
    made = (await bench.admin.get(f"{JOBS}/{jobs[0]}")).json()["created_at"]
    page = (await bench.admin.get(f"{JOBS}?job_id={jobs[0][:12]}")).json()
    assert [item["job_id"] for item in page["items"]] == [jobs[0]]
    assert (await bench.admin.get(f"{JOBS}?until={made - 1}")).json()["items"] == []
    assert len((await bench.admin.get(f"{JOBS}?since={made}")).json()["items"]) == 3
    for query, field in (
        ("job_id=3f", "job_id"),
        ("job_id=3F2A", "job_id"),
        ("commit=xyz1", "commit"),
        ("since=-1", "since"),
    ):
        refused = await bench.admin.get(f"{JOBS}?{query}")
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


async def test_what_was_done_to_a_job_is_told_to_whoever_may_read_it(bench: Bench) -> None:
    job_id = await bench.submit()
    events = (await bench.admin.get(f"{JOBS}/{job_id}/events")).json()["items"]
    assert [(event["action"], event["by"]) for event in events] == [("job.submitted", "admin")]
    nowhere = "00000000-0000-4000-8000-000000000000"
    assert (await bench.admin.get(f"{JOBS}/{nowhere}/events")).status_code == 404


async def test_dead_letters_are_counted_by_cause(bench: Bench) -> None:
    parked: dict[str, Any] = {"status": JobStatus.DEAD_LETTERED, "queue_status": QueueStatus.DEAD_LETTERED}
    lost = make_job(cause="agent_lost", completed_at=5_000, **parked)
    first = make_job(cause="exit_code", completed_at=1_000, **parked)
    last = make_job(cause="exit_code", completed_at=9_000, pool="gpu", **parked)
    for job in (lost, first, last, make_job(cause="exit_code")):
        await bench.stores.jobs.write(JobWrite(job=job))
    letters = "/api/queue/dead-letters"
    found = (await bench.admin.get(f"{letters}/causes")).json()
    assert (found["count"], found["stopped_early"]) == (3, False)
    told = [(each["cause"], each["count"], each["first_at"], each["last_at"]) for each in found["items"]]
    assert told == [("exit_code", 2, 1_000, 9_000), ("agent_lost", 1, 5_000, 5_000)]
    assert found["items"][0]["example"]["job_id"] == last.job_id
    assert (await bench.admin.get(f"{letters}/causes?pool=gpu")).json()["count"] == 1
    listed = (await bench.admin.get(f"{letters}?cause=agent_lost")).json()["items"]
    assert [item["job_id"] for item in listed] == [lost.job_id]
