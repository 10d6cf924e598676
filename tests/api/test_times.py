"""Every answer says its times in RFC 3339 beside the numbers; what a caller wrote stays as it is."""

import json
from typing import Any

import pytest

from api.http.times import beside, rfc3339, with_times
from tests.api.conftest import SPEC, Bench, memory_app
from workflows.contracts.records import JobPage
from workflows.contracts.sealed import SignedApproval

MOMENT = 1_796_030_000_123
WORDS = "2026-11-30T09:13:20.123Z"


async def test_a_job_has_its_times_in_words(bench: Bench) -> None:
    metadata = {"created_at": MOMENT, "at": 5}
    job_id = await bench.submit(metadata=metadata, env={"created_at": "1796030000123"})
    job = (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()
    assert job["created_time"] == rfc3339(job["created_at"])
    assert job["started_time"] is job["started_at"] is None
    assert job["metadata"] == metadata
    assert job["env"] == {"created_at": "1796030000123"}
    (listed,) = (await bench.admin.get("/api/dashboard/jobs")).json()["items"]
    assert listed["created_time"] == job["created_time"]


async def test_attempts_events_keys_and_deployments_have_theirs(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    job = (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()
    assert job["attempts"][0]["queued_time"] == rfc3339(job["attempts"][0]["queued_at"])
    events = (await bench.admin.get("/api/events")).json()["items"]
    assert all(event["time"] == rfc3339(event["at"]) for event in events)
    key = {"name": "ci", "owner": "ann@example.com", "grants": [{"role": "viewer"}]}
    made = (await bench.admin.post("/api/access/keys", json=key)).json()
    assert made["created_time"] == rfc3339(made["created_at"])
    await bench.register()
    deployment_id = await bench.deploy()
    deployment = (await bench.admin.get(f"/api/dashboard/deployments/{deployment_id}")).json()
    assert deployment["created_time"] == rfc3339(deployment["created_at"])


async def test_what_is_inside_another_answer_has_its_times_too(bench: Bench) -> None:
    batch = await bench.admin.post("/api/queue/jobs/batch", json={"items": [SPEC, SPEC]})
    assert batch.status_code == 207, batch.text
    for item in batch.json()["items"]:
        assert item["job"]["created_time"] == rfc3339(item["job"]["created_at"])


async def test_exported_and_streamed_events_have_theirs(bench: Bench) -> None:
    await bench.submit()
    exported = [json.loads(line) for line in (await bench.admin.get("/api/events/export")).text.splitlines()]
    assert exported
    assert all(event["time"] == rfc3339(event["at"]) for event in exported)
    listed = (await bench.admin.get("/api/events", params={"format": "cloudevents"})).json()["items"]
    assert all(event["data"]["time"] == event["time"] == rfc3339(event["data"]["at"]) for event in listed)


async def test_the_length_is_that_of_the_whole_answer(bench: Bench) -> None:
    await bench.submit()
    answer = await bench.admin.get("/api/dashboard/jobs")
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_the_document_tells_each(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    created = schemas["JobOut"]["properties"]["created_time"]
    assert (created["type"], created["format"], created["examples"]) == (
        "string", "date-time", ["2026-11-30T09:12:03.123Z"],
    )  # fmt: skip
    assert "created_time" in schemas["JobOut"]["required"]
    assert "time" in schemas["AuditEvent"]["properties"]
    assert not [name for name in schemas["FreezeRequest"]["properties"] if name.endswith("_time")], "nobody sends them"
    assert "x-epoch-millis" not in str(document)


def test_what_is_signed_says_no_more() -> None:
    assert "x-epoch-millis" not in str(SignedApproval.model_json_schema())


def test_what_is_no_time_has_no_words() -> None:
    assert rfc3339(MOMENT) == WORDS
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    for odd in (None, -1, True, "x", 10**18):
        assert rfc3339(odd) is None
    assert [beside(name) for name in ("created_at", "at", "since")] == ["created_time", "time", "since_time"]
    assert with_times(JobPage, b'{"items":[],"next_cursor":null}') == b'{"items":[],"next_cursor":null}'


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return memory_app()[0].openapi()
