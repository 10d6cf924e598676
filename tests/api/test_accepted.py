"""What Temporal has for good is never refused: 202 with where to look, while its record or result does not come."""

import asyncio
from typing import Any

import httpx
import jsonschema
import pytest

from api.jobs import service as submission
from tests.api.conftest import DEPLOYMENT, SERVICE, SPEC, Bench
from workflows.contracts.commands import JobInput
from workflows.contracts.errors import Unavailable
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus

JOBS = "/api/dashboard/jobs"
DEPLOYMENTS = "/api/dashboard/deployments"
DEAD_LETTERS = "/api/queue/dead-letters"


class NoWrites:
    """A creator whose store refuses, or (``hangs``) never answers."""

    def __init__(self, *, hangs: bool = False) -> None:
        self._hangs = hangs

    async def create(self, write: JobWrite) -> None:
        if self._hangs:
            await asyncio.Event().wait()
        raise Unavailable("TransactWriteItems was refused by AWS.")


@pytest.fixture(params=["refuses", "hangs"])
def out(bench: Bench, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The store takes no writes, the workflows take everything and answer nothing."""
    monkeypatch.setattr(submission, "_CREATED_WITHIN_SECONDS", 0.05)
    object.__setattr__(bench.app.state.services, "creator", NoWrites(hangs=request.param == "hangs"))
    bench.job_client.unanswered = bench.releases.unanswered = True
    return bench


def accepted(bench: Bench, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    document = bench.app.openapi()
    jsonschema.validate(body, {**document, "$ref": "#/components/schemas/AcceptedAnswer"})
    assert (body["status"], answer.headers["location"]) == ("accepted", body["url"])
    assert body["asked"] in body["message"]
    return body


@pytest.mark.parametrize("path", [JOBS, "/api/queue/jobs"])
async def test_a_job_that_cannot_be_recorded_is_accepted_and_shown(out: Bench, path: str) -> None:
    answer = await out.admin.post(path, json={**SPEC, "pool": "linux"}, headers={"Idempotency-Key": "k"})
    body = accepted(out, answer)
    assert (body["asked"], body["url"]) == ("submit", f"{JOBS}/{body['job_id']}")
    assert (body["job"]["pool"], body["job"]["status"], "fingerprint" in body["job"]) == ("linux", "queued", False)
    assert "idempotent-replay" not in answer.headers
    shown = await out.admin.get(body["url"])
    assert (shown.status_code, shown.headers["record-pending"]) == (200, "true")
    assert shown.json()["job_id"] == body["job_id"]
    assert (await out.admin.get(f"/api/queue/jobs/{body['job_id']}")).status_code == 200


async def test_the_same_key_finds_what_was_accepted(out: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(job: JobInput, accepted_at: int) -> JobWrite | None:
        return None  # as Temporal answers for an id that exists

    first = accepted(out, await out.admin.post(JOBS, json=SPEC, headers={"Idempotency-Key": "k"}))
    monkeypatch.setattr(out.job_client, "start", start)
    again = await out.admin.post(JOBS, json=SPEC, headers={"Idempotency-Key": "k"})
    assert accepted(out, again)["job_id"] == first["job_id"]
    assert again.headers["idempotent-replay"] == "true"
    other = await out.admin.post(JOBS, json={**SPEC, "job_type": "other"}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


async def test_a_key_is_found_in_temporal_when_the_records_cannot_be_read(
    out: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(job_id: str) -> None:
        raise Unavailable("GetItem was refused.")

    first = accepted(out, await out.admin.post(JOBS, json=SPEC, headers={"Idempotency-Key": "k"}))
    monkeypatch.setattr(out.app.state.services.reader, "get", unreadable)
    again = await out.admin.post(JOBS, json=SPEC, headers={"Idempotency-Key": "k"})
    assert accepted(out, again)["job_id"] == first["job_id"]
    assert again.headers["idempotent-replay"] == "true"
    started = len(out.job_client.started)
    new = await out.admin.post(JOBS, json=SPEC, headers={"Idempotency-Key": "new"})
    assert (new.status_code, len(out.job_client.started)) == (503, started)
    assert "nothing was started" in new.json()["detail"]
    assert accepted(out, await out.admin.post(JOBS, json=SPEC))["asked"] == "submit", "without a key nothing is read"


async def test_a_large_job_is_accepted_once_it_is_started(out: Bench) -> None:
    body = accepted(out, await out.admin.post(JOBS, json={**SPEC, "metadata": {"note": "x" * 70_000}}))
    assert body["job"]["status"] == "pending", "its workflow records it before it runs"


async def test_the_jobs_of_a_batch_are_accepted_each(out: Bench) -> None:
    answer = await out.admin.post("/api/queue/jobs/batch", json={"items": [SPEC, SPEC]})
    body = answer.json()
    assert (answer.status_code, body["accepted"], body["created"], body["failed"]) == (207, 2, 0, 0)
    assert [item["status"] for item in body["items"]] == [202, 202]
    assert len({item["job"]["job_id"] for item in body["items"]}) == 2


async def test_commands_that_are_taken_are_accepted(bench: Bench) -> None:
    job_id = await bench.submit()
    parked = await bench.submit()
    await bench.start(parked)
    await bench.job_client.end_attempt(parked, 1, status=JobStatus.DEAD_LETTERED)
    bench.job_client.unanswered = True
    for method, path, body, asked in (
        ("POST", f"{JOBS}/{job_id}/cancel", {}, "cancel"),
        ("DELETE", f"/api/queue/jobs/{job_id}", None, "cancel"),
        ("PATCH", f"{JOBS}/{job_id}", {"priority": "LOW"}, "amend"),
        ("PATCH", f"/api/queue/jobs/{job_id}/priority", {"priority": "LOW"}, "amend"),
        ("PATCH", f"{JOBS}/{job_id}/complete", {"exit_code": 0}, "complete"),
        ("POST", f"{JOBS}/{parked}/retry", None, "redrive"),
        ("POST", f"{DEAD_LETTERS}/{parked}/redrive", {}, "redrive"),
        ("POST", f"{DEAD_LETTERS}/{parked}", {}, "redrive"),
        ("PATCH", f"{DEAD_LETTERS}/{parked}", {"timeout_seconds": 9}, "edit"),
        ("DELETE", f"{DEAD_LETTERS}/{parked}", None, "discard"),
    ):
        headers = {"Idempotency-Key": "k"}
        answers = [await bench.admin.request(method, path, json=body, headers=headers) for _ in range(2)]
        told = [accepted(bench, answer) for answer in answers]
        assert [each["asked"] for each in told] == [asked, asked], path
        assert told[0]["update_id"] == told[1]["update_id"] is not None, "under the same key it is done once"
        assert told[0]["url"] == f"{JOBS}/{parked if asked in {'redrive', 'edit', 'discard'} else job_id}"


async def test_an_update_stands_for_its_key_and_its_words(bench: Bench) -> None:
    job_id = await bench.submit()
    bench.job_client.unanswered = True
    ids: list[object] = []
    for key, priority in (("a", "LOW"), ("a", "HIGH"), ("b", "LOW"), (None, "LOW"), (None, "LOW")):
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = await bench.admin.patch(f"{JOBS}/{job_id}", json={"priority": priority}, headers=headers)
        ids.append(accepted(bench, answer)["update_id"])
    assert len(set(ids[:3])) == 3
    assert ids[3:] == [None, None], "the client of Temporal draws one"


async def test_deployments_services_and_environments_are_accepted(bench: Bench) -> None:
    await bench.register()
    deployment_id = await bench.deploy()
    bench.releases.unanswered = True
    body = {**DEPLOYMENT, "version": "2.0"}
    started = accepted(bench, await bench.admin.post(DEPLOYMENTS, json=body, headers={"Idempotency-Key": "k"}))
    assert (started["asked"], started["deployment"]["version"]) == ("start", "2.0")
    shown = await bench.admin.get(started["url"])
    assert (shown.status_code, shown.headers["record-pending"]) == (200, "true")
    assert shown.json()["deployment_id"] == started["deployment_id"]
    for command, words in (
        ("approve", {}),
        ("reject", {"reason": "no"}),
        ("cancel", {}),
        ("rollback", {"reason": "x"}),
    ):
        told = accepted(bench, await bench.admin.post(f"{DEPLOYMENTS}/{deployment_id}/{command}", json=words))
        assert told["url"] == f"{DEPLOYMENTS}/{deployment_id}"
    place = "/api/dashboard/services/checkout/environments/production"
    held = accepted(bench, await bench.admin.post(f"{place}/hold", json={"reason": "audit"}))
    assert held["url"] == place
    new = accepted(bench, await bench.admin.put("/api/dashboard/services/new", json=SERVICE))
    pending = await bench.admin.get(new["url"])
    assert (pending.status_code, "retry-after" in pending.headers) == (503, True), "not a 404: it was accepted"
    assert (await bench.admin.get("/api/dashboard/services/nobody")).status_code == 404


async def test_a_bulk_redrive_says_when_it_was_started_before(bench: Bench) -> None:
    answers = [
        await bench.admin.post(f"{DEAD_LETTERS}/redrive", json={}, headers={"Idempotency-Key": "k"}) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert ["idempotent-replay" in answer.headers for answer in answers] == [False, True]
    assert answers[0].json() == answers[1].json()


async def test_what_can_be_accepted_is_documented(bench: Bench) -> None:
    """Every route with a command to a workflow. A bulk redrive, metrics and webhooks have always answered 202; a repair
    that lasts says how it goes.
    """
    paths = bench.app.openapi()["paths"]
    own = {
        "/api/queue/dead-letters/redrive",
        f"{DEPLOYMENTS}/{{deployment_id}}/metrics",
        "/api/dashboard/services/{name}/check",  # asks, and changes nothing
    }
    prefixes = (JOBS, "/api/queue/jobs", DEAD_LETTERS, DEPLOYMENTS, "/api/dashboard/services")
    agents = ("start", "heartbeat", "complete", "batch")
    found = 0
    for path, methods in paths.items():
        agent = path.startswith("/api/queue/jobs/") and path.rsplit("/", 1)[1] in agents
        other = path in own or path.endswith("/repair") or "/attempts/" in path
        if not path.startswith(prefixes) or agent or other:
            continue
        for method in methods.keys() - {"get"}:
            responses = methods[method]["responses"]
            schema = responses["202"]["content"]["application/json"]["schema"]
            shapes = schema.get("anyOf", [schema])  # a service also says so of a policy that waits for somebody
            assert {"$ref": "#/components/schemas/AcceptedAnswer"} in shapes, (method, path)
            assert len(shapes) == 1 or path == "/api/dashboard/services/{name}", (method, path)
            found += 1
    assert found > 25
