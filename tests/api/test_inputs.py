"""Files of other jobs: which job is meant, who may have its files, and what an agent gets."""

from typing import Any

import pytest

from tests.api.conftest import SPEC, Bench
from tests.api.gate import Gate
from tests.api.test_artifacts import digest, put
from workflows.contracts.commands import JobInput
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import JobSpec
from workflows.contracts.statuses import JobStatus
from workflows.job.record import BY_DEPLOYMENT

JOBS = "/api/dashboard/jobs"


@pytest.fixture
async def gate(bench: Bench) -> Gate:
    return Gate(bench)


async def built(bench: Bench, path: str = "dist/a", **changes: Any) -> str:
    job_id = await bench.submit(git_ref="main", job_type="build", **changes)
    await bench.start(job_id)
    assert await put(bench, job_id, path, b"bytes") == 204
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.SUCCESS)
    return job_id


async def ask(bench: Bench, *inputs: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = await bench.admin.post(JOBS, json={**SPEC, "inputs": list(inputs)})
    return answer.status_code, answer.json()


async def test_the_newest_job_of_a_branch_is_written_down_and_its_files_are_handed_out(bench: Bench) -> None:
    await built(bench)
    newest = await built(bench)
    status, job = await ask(bench, {"branch": "main", "job_type": "build", "artifacts": ["dist/*"], "path": "in"})
    assert status == 201, job
    assert (job["inputs"][0]["job"], job["inputs"][0]["attempt"]) == (newest, 1)
    assert "hybridci/inputs=*" in job["requires"]
    await bench.start(job["job_id"])
    inputs = f"/api/queue/jobs/{job['job_id']}/attempts/1/inputs"
    listed = (await bench.agent.get(inputs)).json()
    file = {"index": 0, "path": "dist/a", "to": "in/dist/a", "size": 5, "sha256": digest(b"bytes"), "executable": False}
    assert listed == {"items": [file], "missing": []}
    assert (await bench.agent.get(f"{inputs}/0/dist/a")).content == b"bytes"
    assert (await bench.agent.get(f"{inputs}/0/other")).status_code == 404, "not among what the job asks for"
    assert (await bench.agent.get(f"{inputs}/1/dist/a")).status_code == 404
    await bench.job_client.end_attempt(job["job_id"], 1, status=JobStatus.SUCCESS)
    assert (await bench.agent.get(inputs)).status_code == 409, "an ended attempt needs none"
    again = await bench.admin.post(f"{JOBS}/{job['job_id']}/retry")
    assert (again.status_code, again.json()["inputs"]) == (201, job["inputs"])


@pytest.mark.parametrize(
    ("wanted", "field", "words"),
    [
        ({}, "inputs.0", "needs job"),
        ({"job": "1" * 8, "branch": "main"}, "inputs.0", "only one of them"),
        ({"branch": "main", "attempt": 1}, "inputs.0", "attempt"),
        ({"branch": "main", "path": "../up"}, "inputs.0.path", "inside the workspace"),
        ({"branch": "main", "artifacts": ["/etc/*"]}, "inputs.0.artifacts.0", "inside the workspace"),
        ({"job": "0000"}, "inputs.0", "give the whole id"),
        ({"job": "00000000-0000-4000-8000-000000000000"}, "inputs.0", "no job"),
        ({"branch": "main"}, "inputs.0", "no job without a service of branch main that succeeded"),
    ],
)
async def test_what_means_no_job_is_refused_by_its_field(
    bench: Bench, wanted: dict[str, Any], field: str, words: str
) -> None:
    status, body = await ask(bench, wanted)
    assert (status, body["errors"][0]["field"]) == (422, field)
    assert words in body["errors"][0]["message"]


async def test_a_job_that_has_not_ended_has_no_files_to_give(bench: Bench) -> None:
    job_id = await bench.submit()
    status, body = await ask(bench, {"job": job_id})
    assert (status, body["errors"][0]["message"]) == (
        422, f"job {job_id} is queued: it has to end before its files can be had",
    )  # fmt: skip


async def test_nobody_gets_files_that_they_may_not_read(gate: Gate) -> None:
    bench = gate.bench
    secret = await built(bench, labels={"service": "cart"})
    own = {**SPEC, "labels": {"service": "checkout"}}
    key = (await gate.make({"role": "developer", "services": ["checkout"]}))["key"]
    for wanted in ({"job": secret}, {"branch": "main"}, {"branch": "main", "job_type": "build"}):
        answer = await gate.ask(key, "POST", JOBS, json={**own, "inputs": [wanted]})
        assert answer.status_code == 422, wanted
        assert "that you may read" in answer.text
    missing = await gate.ask(key, "POST", JOBS, json={**own, "inputs": [{"job": "0" * 8 + secret[8:]}]})
    hidden = await gate.ask(key, "POST", JOBS, json={**own, "inputs": [{"job": secret}]})
    assert missing.json()["errors"][0]["message"].replace("0" * 8, secret[:8]) == hidden.json()["errors"][0]["message"]
    batch = await gate.ask(key, "POST", "/api/queue/jobs/batch", json={"items": [{**own, "inputs": [{"job": secret}]}]})
    assert (batch.status_code, batch.json()["errors"][0]["field"]) == (422, "items.0.inputs.0")
    allowed = await built(bench, labels={"service": "checkout"})
    assert await gate.status(key, "POST", JOBS, json={**own, "inputs": [{"branch": "main"}]}) == 201
    assert await gate.status(key, "POST", JOBS, json={**own, "inputs": [{"job": allowed}]}) == 201


async def test_nor_by_running_it_again_or_by_changing_what_runs_beside_them(gate: Gate) -> None:
    bench = gate.bench
    secret = await built(bench, labels={"service": "cart"})
    key = (await gate.make({"role": "operator", "services": ["checkout"]}))["key"]
    mixed = {**SPEC, "labels": {"service": "checkout"}, "inputs": [{"job": secret}]}
    job_id = (await bench.admin.post(JOBS, json=mixed)).json()["job_id"]
    await bench.start(job_id)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    letter = f"/api/queue/dead-letters/{job_id}"
    steps = {"steps": [{"name": "s", "run": "cat dist/a"}]}
    assert await gate.status(key, "PATCH", letter, json={"timeout_seconds": 7}) == 200
    refused = await gate.ask(key, "PATCH", letter, json=steps)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "inputs.0")
    assert await gate.status(key, "POST", letter, json={"edit": steps}) == 422
    env = {"env": {"BASH_ENV": "$(cat dist/a >&2)"}}
    assert await gate.status(key, "PATCH", letter, json=env) == 422, "a shell runs what some variables say"
    assert await gate.status(key, "POST", letter, json={"edit": env}) == 422
    assert await gate.status(key, "PATCH", letter, json={"env": {"BASH_ENV": None}}) == 200
    assert (await bench.admin.patch(letter, json=steps)).status_code == 200
    await bench.admin.delete(letter)
    assert await gate.status(key, "POST", f"{JOBS}/{job_id}/retry") == 422


async def test_another_agent_gets_nothing(gate: Gate) -> None:
    bench = gate.bench
    await built(bench)
    _, job = await ask(bench, {"branch": "main"})
    await bench.start(job["job_id"])
    inputs = f"/api/queue/jobs/{job['job_id']}/attempts/1/inputs"
    key = (await gate.make({"role": "agent", "pools": ["mac"]}))["key"]
    for path in (inputs, f"{inputs}/0/dist/a"):
        assert await gate.status(key, "GET", path) == 403
        assert (await bench.anyone.get(path)).status_code == 401


async def test_a_variable_is_set_by_whoever_could_submit_such_a_job(gate: Gate) -> None:
    bench = gate.bench
    job_id = await bench.submit()
    await bench.start(job_id)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    key = (await gate.make({"role": "operator", "operations": ["read", "jobs:operate"]}))["key"]
    env = {"env": {"BASH_ENV": "$(id >&2)"}}
    letters = "/api/queue/dead-letters"
    assert await gate.status(key, "PATCH", f"{letters}/{job_id}", json=env) == 403
    assert await gate.status(key, "POST", f"{letters}/redrive", json={"edit": env}) == 403
    assert await gate.status(key, "PATCH", f"{letters}/{job_id}", json={"timeout_seconds": 7}) == 200


async def test_a_branch_means_jobs_of_the_same_service(gate: Gate) -> None:
    """Repository, branch and type are a submitter's word: another service's job said them too."""
    bench = gate.bench
    own = await built(bench, labels={"service": "checkout"})
    await built(bench, labels={"service": "evil"})
    mine = {**SPEC, "labels": {"service": "checkout"}, "inputs": [{"branch": "main", "job_type": "build"}]}
    job = (await bench.admin.post(JOBS, json=mine)).json()
    assert job["inputs"][0]["job"] == own
    status, refused = await ask(bench, {"branch": "main", "job_type": "build"})
    assert (status, refused["errors"][0]["field"]) == (422, "inputs.0")
    assert "without a service" in refused["errors"][0]["message"]


async def test_a_request_sent_again_gets_its_job_whatever_became_of_the_files(bench: Bench) -> None:
    """They were looked for when it was accepted."""
    source = await built(bench)
    body, keys = {**SPEC, "inputs": [{"job": source}]}, [{"Idempotency-Key": name} for name in ("one", "many", "retry")]
    batch = "/api/queue/jobs/batch"
    first = await bench.admin.post(JOBS, json=body, headers=keys[0])
    many = await bench.admin.post(batch, json={"items": [body, body]}, headers=keys[1])
    job_id = first.json()["job_id"]
    await bench.start(job_id)
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.FAILED)
    retried = await bench.admin.post(f"{JOBS}/{job_id}/retry", headers=keys[2])
    assert (first.status_code, many.status_code, retried.status_code) == (201, 207, 201)

    found = await bench.stores.jobs.get(source)
    assert found is not None
    await bench.job_client.put(found, artifacts_removed_at=1)
    again = await bench.admin.post(JOBS, json=body, headers=keys[0])
    assert (again.status_code, again.json()["job_id"]) == (200, job_id)
    once_more = await bench.admin.post(batch, json={"items": [body, body]}, headers=keys[1])
    assert (once_more.status_code, once_more.json().get("replayed")) == (207, 2)
    assert (await bench.admin.post(f"{JOBS}/{job_id}/retry", headers=keys[2])).status_code == 200
    other = await bench.admin.post(batch, json={"items": [body]}, headers=keys[1])
    assert other.status_code == 409, "another batch under this key, whose files are not even looked for"
    assert (await bench.admin.post(JOBS, json=body)).status_code == 422, "a new one can have them no more"


async def of_a_deployment(bench: Bench, service: str, status: JobStatus | None = None, **changes: Any) -> str:
    """As a deployment starts its jobs: nobody asks the API."""
    spec = JobSpec.model_validate({**SPEC, "labels": {"service": service}, **changes})
    job = await bench.job_client.submit(
        JobInput(job_id=new_job_id(), spec=spec, created_by=f"{BY_DEPLOYMENT}{new_job_id()}")
    )
    await bench.start(job.job_id)
    if status is not None:
        assert await put(bench, job.job_id, "dist/a", b"bytes") == 204
        await bench.job_client.end_attempt(job.job_id, 1, status=status)
    return job.job_id


async def test_a_deployments_job_gets_what_its_services_build_left_last(bench: Bench) -> None:
    build = await of_a_deployment(bench, "checkout", JobStatus.SUCCESS, artifacts=["dist/*"])
    job_id = await of_a_deployment(bench, "checkout", inputs=[{"job": build, "path": "in"}])
    inputs = f"/api/queue/jobs/{job_id}/attempts/1/inputs"
    listed = (await bench.agent.get(inputs)).json()
    assert ([file["to"] for file in listed["items"]], listed["missing"]) == (["in/dist/a"], [])
    assert (await bench.agent.get(f"{inputs}/0/dist/a")).content == b"bytes"


@pytest.mark.parametrize("which", ["another service", "failed", "no deployment"])
async def test_a_deployments_job_gets_nothing_else(bench: Bench, which: str) -> None:
    service, status = ("cart" if which == "another service" else "checkout"), JobStatus.SUCCESS
    if which == "no deployment":
        source = await built(bench, "dist/a", labels={"service": "checkout"})
    else:
        status = JobStatus.FAILED if which == "failed" else status
        source = await of_a_deployment(bench, service, status)
    job_id = await of_a_deployment(bench, "checkout", inputs=[{"job": source}])
    inputs = f"/api/queue/jobs/{job_id}/attempts/1/inputs"
    why = f"input 1: Job {source} is none that a deployment of the same service ran, and that succeeded."
    assert (await bench.agent.get(inputs)).json() == {"items": [], "missing": [why]}
    assert (await bench.agent.get(f"{inputs}/0/dist/a")).status_code == 404
