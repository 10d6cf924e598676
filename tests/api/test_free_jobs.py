"""A free job says nothing by which it would pass for a deployment's, and gets into no pool that is not for it.

The routes that take a job come from the OpenAPI document, so that one that nobody has written yet is tried as well.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from api.auth.permissions import ROUTES
from api.auth.sign_in import SignIn
from api.identity.policy import load_policy
from tests.api.conftest import DEPLOYMENT, SERVICE, SPEC, Bench
from tests.api.gate import Gate
from tests.webhooks.bench import webhook_bench
from workflows.contracts.access import Operation, Role
from workflows.contracts.jobs import Job, JobSpec
from workflows.contracts.records import JobQuery
from workflows.contracts.reserved import (
    RESERVED_JOB_TYPES,
    RESERVED_LABELS,
    RESERVED_VARIABLES,
    is_reserved_type,
    reserved,
)
from workflows.contracts.statuses import JobStatus

ROOT = Path(__file__).parents[2]
APPROVAL = {
    "service": "cart", "version": "1", "git_commit_sha": "a" * 40, "environment": "production",
    "expires_at": 2**50, "key_id": "a" * 16, "signature": "A" * 86 + "==",
}  # fmt: skip
STEP: dict[str, Any] = {"name": "unit", "run": "true"}
SPEAKS_FOR_A_DEPLOYMENT: list[tuple[str, dict[str, Any]]] = [
    *(("job_type", {"job_type": each}) for each in (*sorted(RESERVED_JOB_TYPES), "Deploy", " rollback ")),
    *((f"labels.{each}", {"labels": {each: "x"}}) for each in (*sorted(RESERVED_LABELS), "Deployment")),
    *((f"env.{each}", {"env": {each: "x"}}) for each in sorted(RESERVED_VARIABLES)),
    ("steps.1.env.HYBRIDCI_FENCE", {"steps": [STEP, {**STEP, "env": {"HYBRIDCI_FENCE": "9"}}]}),
    ("fence", {"fence": {"name": "cart/production", "number": 2**53}}),
    ("approvals", {"approvals": [APPROVAL]}),
    ("deployment_id", {"deployment_id": "d-1"}),
    ("signature", {"signature": {}}),
]
POOLS = """
pools:
  - {name: production, deployments_only: true}
  - {name: gpu, services: [checkout]}
  - {name: cart-production, deployments_only: true, services: [cart]}
"""


@pytest.fixture
async def gate(bench: Bench) -> Gate:
    return Gate(bench)


@pytest.fixture
def ruled(bench: Bench, tmp_path: Path) -> Bench:
    """With pools for deployments and for named services."""
    file = tmp_path / "policy.yaml"
    file.write_text(POOLS)
    policy = SignIn.of(load_policy(file, development=False))
    bench.app.state.services = replace(bench.app.state.services, sign_in=policy)
    return bench


def takes_jobs(document: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """The addresses that take a job, and whether several at once."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            body = json.dumps(operation.get("requestBody", {}))
            names = set(re.findall(r"#/components/schemas/(\w+)", body))
            if names & {"JobSpec", "Batch"}:
                yield path, "Batch" in names


def names_a_pool(document: dict[str, Any]) -> Iterator[str]:
    """The routes whose body names a pool, in whatever depth."""
    schemas = document["components"]["schemas"]

    def within(schema: object, seen: frozenset[str]) -> bool:
        text = json.dumps(schema)
        deeper = set(re.findall(r"#/components/schemas/([\w.-]+)", text)) - seen
        return '"pool": {' in text or any(within(schemas[name], seen | deeper) for name in deeper)

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if within(operation.get("requestBody", {}), frozenset()):
                yield f"{method.upper()} {path}"


async def fields(answer: httpx.Response) -> list[str]:
    return [error["field"] for error in answer.json()["errors"]]


async def test_no_route_takes_what_speaks_for_a_deployment_from_anybody(gate: Gate) -> None:
    bench = gate.bench
    routes = dict(takes_jobs((await bench.admin.get("/api/openapi.json")).json()))
    assert routes == {"/api/dashboard/jobs": False, "/api/queue/jobs": False, "/api/queue/jobs/batch": True}
    keys = {role: (await gate.make({"role": role}))["key"] for role in (Role.DEVELOPER, Role.OPERATOR, Role.ADMIN)}
    for field, more in SPEAKS_FOR_A_DEPLOYMENT:
        for path, many in routes.items():
            for role, key in keys.items():
                spec = {**SPEC, **more}
                body = {"items": [SPEC, spec]} if many else spec
                answer = await gate.ask(key, "POST", path, json=body)
                assert answer.status_code == 422, (field, path, role, answer.text)
                assert field in {each.removeprefix("items.1.") for each in await fields(answer)}, answer.text
    assert (await bench.admin.get("/api/dashboard/jobs")).json()["items"] == []


def test_what_a_deployment_says_of_its_jobs_is_reserved() -> None:
    """By the source of the jobs, so that one more kind or variable of them is covered unasked."""
    source = (ROOT / "workflows/deployment/job_specs.py").read_text("utf-8")
    kinds = set(re.findall(r'_job\(\s*deployment,\s*"(\w+)"', source))
    assert {"deploy", "rollback"} <= kinds - {"build", "test"} <= RESERVED_JOB_TYPES
    assert set(re.findall(r'"(HYBRIDCI_\w+)"', source)) <= RESERVED_VARIABLES
    assert (
        set(re.findall(r"HYBRIDCI_FENCE\w*", (ROOT / "agent/steps/environment.py").read_text())) <= RESERVED_VARIABLES
    )
    labels = re.search(r"labels = \{(.+)\}", source)
    assert labels is not None
    assert set(re.findall(r'"(\w+)":', labels[1])) == RESERVED_LABELS | {"service"}


def _wide(word: str) -> str:
    return word.replace("e", "\uff45")


def _with_blank(word: str) -> str:
    return f"{word}\u2800"


@pytest.mark.parametrize("letters", [str.upper, _wide, _with_blank])
async def test_a_reserved_word_is_reserved_in_whatever_form(gate: Gate, letters: Callable[[str], str]) -> None:
    for word in sorted(RESERVED_JOB_TYPES):
        answer = await gate.bench.admin.post("/api/dashboard/jobs", json={**SPEC, "job_type": letters(word)})
        assert (answer.status_code, await fields(answer)) == (422, ["job_type"]), word
    for word in sorted(RESERVED_LABELS):
        answer = await gate.bench.admin.post("/api/dashboard/jobs", json={**SPEC, "labels": {letters(word): "x"}})
        assert (answer.status_code, await fields(answer)) == (422, [f"labels.{letters(word)}"]), word


def test_letters_that_are_written_otherwise_make_no_other_word() -> None:
    """What is stored may have signs that no request has any more."""
    for word in ("\uff44eploy", "deploy\u3164", "d\u034feploy", "\u017fource", "rollbac\u212a", "veri\ufe0ffy"):
        assert is_reserved_type(word), ascii(word)
    assert not is_reserved_type("deploy-notes")


async def test_a_build_and_a_test_are_everybodys(gate: Gate) -> None:
    key = (await gate.make({"role": "developer"}))["key"]
    for job_type in ("build", "test", "deployment-notes"):
        more = {"job_type": job_type, "labels": {"service": "checkout"}, "env": {"HYBRIDCI_URL": "http://ci"}}
        assert await gate.status(key, "POST", "/api/dashboard/jobs", json={**SPEC, **more}) == 201


async def test_a_job_is_not_made_to_pass_for_a_deployments_afterwards(gate: Gate) -> None:
    bench = gate.bench
    job_id = await bench.submit()
    amended = await bench.admin.patch(f"/api/dashboard/jobs/{job_id}", json={"labels": {"deployment": "d-1"}})
    assert (amended.status_code, await fields(amended)) == (422, ["labels.deployment"])
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    letter, env = f"/api/queue/dead-letters/{job_id}", {"HYBRIDCI_SERVICE": "cart", "HYBRIDCI_FENCE": None, "A": "b"}
    for method, path, body, inside in (
        ("PATCH", letter, {"env": env}, ""),
        ("POST", letter, {"edit": {"env": env}}, "edit."),
        ("POST", f"{letter}/redrive", {"edit": {"env": env}}, "edit."),
        ("POST", "/api/queue/dead-letters/redrive", {"edit": {"env": env}}, "edit."),
    ):
        answer = await bench.admin.request(method, path, json=body)
        assert (answer.status_code, await fields(answer)) == (422, [f"{inside}env.HYBRIDCI_SERVICE"]), path


async def test_an_old_job_that_passes_for_one_is_not_run_again_as_a_new_one(bench: Bench) -> None:
    job_id = await bench.submit()
    job = await bench.job_client.end_attempt(job_id, 1, status=JobStatus.FAILED)
    await bench.job_client.put(job, job_type="deploy")
    answer = await bench.admin.post(f"/api/dashboard/jobs/{job_id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
    assert "was accepted under older rules (job_type 'deploy' is for jobs that a deployment runs" in answer.text


async def test_a_webhook_starts_no_such_job_either() -> None:
    async with webhook_bench() as hooks:
        for more in ({"job_type": "deploy"}, {"env": {"HYBRIDCI_SERVICE": "shop"}}):
            body = json.dumps({"type": "job.start", "data": {**SPEC, **more}}).encode()
            answer = await hooks.post("generic", body, {"content-type": "application/json"})
            assert answer.status_code in {200, 202}, answer.text
            (action,) = answer.json()["actions"]
            assert action["status"] == "refused", action
            assert next(iter(more)) in action["message"]
        assert (await hooks.stores.jobs.list(JobQuery())).items == []


async def test_a_pool_for_deployments_takes_no_free_job_from_anybody(ruled: Bench) -> None:
    bench, of_checkout = ruled, {"labels": {"service": "checkout"}}
    for more, status in (
        ({"pool": "production"}, 422),
        ({"pool": "production", **of_checkout}, 422),
        ({"pool": "cart-production", "labels": {"service": "cart"}}, 422),
        ({"pool": "gpu"}, 422),
        ({"pool": "gpu", "labels": {"service": "cart"}}, 422),
        ({"pool": "gpu", **of_checkout}, 201),
        ({"pool": "default"}, 201),
    ):
        for path in ("/api/dashboard/jobs", "/api/queue/jobs"):
            answer = await bench.admin.post(path, json={**SPEC, **more})
            assert answer.status_code == status, answer.text
            if status == 422:
                assert await fields(answer) == ["pool"]
                assert " only" in answer.json()["errors"][0]["message"]
        batch = await bench.admin.post("/api/queue/jobs/batch", json={"items": [SPEC, {**SPEC, **more}]})
        assert batch.status_code == (207 if status == 201 else 422)
        if status == 422:
            assert await fields(batch) == ["items.1.pool"]


async def test_every_route_that_names_a_pool_is_tried_here(bench: Bench) -> None:
    """One that is new must ask what the pool is for, and be tried below."""
    document = (await bench.admin.get("/api/openapi.json")).json()
    of_agents = {route for route, need in ROUTES.items() if need in {Operation.AGENT_WORK, Operation.AGENTS_OPERATE}}
    assert set(names_a_pool(document)) - of_agents == {
        "POST /api/dashboard/jobs", "POST /api/queue/jobs", "POST /api/queue/jobs/batch",
        "PATCH /api/dashboard/jobs/{job_id}",
        "PATCH /api/queue/dead-letters/{job_id}", "POST /api/queue/dead-letters/{job_id}",
        "POST /api/queue/dead-letters/{job_id}/redrive", "POST /api/queue/dead-letters/redrive",
        "PUT /api/dashboard/services/{name}",
        "POST /api/dashboard/services/{name}/check",  # changes nothing
    }  # fmt: skip


async def test_no_job_is_moved_into_such_a_pool(ruled: Bench) -> None:
    bench = ruled
    job_id = await bench.submit()
    url, letter = f"/api/dashboard/jobs/{job_id}", f"/api/queue/dead-letters/{job_id}"
    assert await fields(await bench.admin.patch(url, json={"pool": "production"})) == ["pool"]
    assert (await bench.admin.patch(url, json={"labels": {"service": "checkout"}, "pool": "gpu"})).status_code == 200
    assert await fields(await bench.admin.patch(url, json={"labels": {"service": "cart"}})) == ["pool"]
    await bench.job_client.end_attempt(job_id, 1, status=JobStatus.DEAD_LETTERED)
    for method, path, body, field in (
        ("PATCH", letter, {"pool": "production"}, "pool"),
        ("POST", letter, {"edit": {"pool": "production"}}, "edit.pool"),
        ("POST", f"{letter}/redrive", {"edit": {"pool": "cart-production"}}, "edit.pool"),
        ("POST", "/api/queue/dead-letters/redrive", {"edit": {"pool": "gpu"}}, "edit.pool"),
    ):
        answer = await bench.admin.request(method, path, json=body)
        assert (answer.status_code, await fields(answer)) == (422, [field]), path
    assert (await bench.admin.patch(letter, json={"pool": "default"})).status_code == 200


async def test_a_retry_asks_again_what_the_pool_is_for(ruled: Bench) -> None:
    job_id = await ruled.submit()
    job: Job = await ruled.job_client.end_attempt(job_id, 1, status=JobStatus.FAILED)
    await ruled.job_client.put(job, pool="production")
    answer = await ruled.admin.post(f"/api/dashboard/jobs/{job_id}/retry")
    assert (answer.status_code, await fields(answer)) == (422, ["pool"])


async def test_a_service_deploys_by_no_pool_that_is_for_others(ruled: Bench) -> None:
    bench, environments = ruled, [{**each, "pool": "cart-production"} for each in _environments()]
    answer = await bench.admin.put("/api/dashboard/services/checkout", json={**SERVICE, "environments": environments})
    assert (answer.status_code, await fields(answer)) == (422, ["environments.0.pool", "environments.1.pool"])
    for name, pool in (("checkout", "production"), ("checkout", "gpu"), ("cart", "cart-production")):
        await bench.register(name, environments=[{**each, "pool": pool} for each in _environments()])
        await bench.deploy(service_name=name, version=pool)


async def test_a_deployment_does_not_start_when_the_pool_has_become_anothers(ruled: Bench) -> None:
    bench = ruled
    unruled, services = SignIn.by_key_only(), bench.app.state.services
    bench.app.state.services = replace(services, sign_in=unruled)
    await bench.register(environments=[{**each, "pool": "cart-production"} for each in _environments()])
    bench.app.state.services = services
    answer = await bench.admin.post("/api/dashboard/deployments", json=DEPLOYMENT)
    assert (answer.status_code, await fields(answer)) == (422, ["pool"])
    assert "environments.0.pool of checkout: cart-production is for deployments of cart only" in answer.text


def test_a_spec_says_all_that_is_wrong_with_it_at_once() -> None:
    spec = JobSpec.model_validate({**SPEC, "job_type": "health", "labels": {"version": "1"}, "fence": None})
    assert [error.field for error in reserved(spec, inside="items.3.")] == [
        "items.3.job_type",
        "items.3.labels.version",
    ]


def _environments() -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], SERVICE["environments"])
