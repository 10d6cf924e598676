"""Deployments over HTTP: start once, list, look at; the audit trail and the numbers."""

import asyncio
from typing import Any

import pytest

from tests.api.conftest import DEPLOYMENT, Bench
from workflows.contracts.deployments.deployment import DeploymentStatus
from workflows.contracts.errors import Unavailable

DEPLOYMENTS = "/api/dashboard/deployments"
NO_DEPLOYMENT = "00000000-0000-4000-8000-000000000000"


async def test_a_started_deployment_can_be_read_at_once(bench: Bench) -> None:
    await bench.register()
    answer = await bench.admin.post(DEPLOYMENTS, json={**DEPLOYMENT, "metadata": {"ticket": "SHOP-7"}})
    assert answer.status_code == 201
    deployment = answer.json()
    assert answer.headers["location"] == f"{DEPLOYMENTS}/{deployment['deployment_id']}"
    assert (deployment["status"], deployment["version"], deployment["created_by"]) == ("pending", "1.4.2", "admin")
    assert [stage["environment"] for stage in deployment["stages"]] == ["staging", "production"]
    assert not {"fingerprint", "sequence"} & set(deployment)
    assert (await bench.admin.get(answer.headers["location"])).json() == deployment
    (start,) = bench.releases.started
    assert (start.service.version, start.via, start.address) == (1, "api", "127.0.0.1")


async def test_a_deployment_keeps_the_definition_of_its_start(bench: Bench) -> None:
    await bench.register()
    deployment_id = await bench.deploy()
    await bench.register(git_ref="main")
    deployment = (await bench.admin.get(f"{DEPLOYMENTS}/{deployment_id}")).json()
    assert (deployment["service_version"], deployment["definition"]["git_ref"]) == (1, None)


async def test_a_start_names_every_bad_field_and_an_unknown_service(bench: Bench) -> None:
    await bench.register()
    bad = await bench.admin.post(DEPLOYMENTS, json={"service_name": "A b", "version": "v 1", "wrong": 1})
    named = {error["field"] for error in bad.json()["errors"]}
    assert named == {"service_name", "version", "wrong", "git_commit_sha", "git_author"}
    unknown = await bench.admin.post(DEPLOYMENTS, json={**DEPLOYMENT, "service_name": "search"})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "validation_failed")
    assert [error["field"] for error in unknown.json()["errors"]] == ["service_name"]
    assert "hybridci service apply" in unknown.json()["detail"]
    assert bench.releases.started == []


async def test_a_service_whose_definition_is_in_its_repository_can_be_deployed(bench: Bench) -> None:
    policy = {"environments": [{"name": "production"}]}
    spec = {"git_repo": "https://example.com/shop.git", "definition": {"path": "ci/deploy.yml"}, "policy": policy}
    await bench.admin.put("/api/dashboard/services/checkout", json=spec)
    await bench.deploy()
    assert bench.releases.started[0].service.spec.definition is not None


async def test_the_same_key_and_request_is_the_same_deployment(bench: Bench) -> None:
    await bench.register()
    headers = {"Idempotency-Key": "push 7"}
    first = await bench.admin.post(DEPLOYMENTS, json=DEPLOYMENT, headers=headers)
    await bench.register(git_ref="main")  # the key stands for the request, whatever became of the service
    again = await bench.admin.post(DEPLOYMENTS, json=dict(reversed(DEPLOYMENT.items())), headers=headers)
    assert (first.status_code, again.status_code, again.headers["idempotent-replay"]) == (201, 200, "true")
    assert first.json() == again.json()
    other = await bench.admin.post(DEPLOYMENTS, json={**DEPLOYMENT, "version": "2"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert (await bench.admin.get("/api/dashboard/summary")).json()["total_deployments"] == 1


async def test_ten_starts_with_one_key_make_one_deployment(bench: Bench) -> None:
    await bench.register()
    headers = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(
        *(bench.admin.post(DEPLOYMENTS, json=DEPLOYMENT, headers=headers) for _ in range(10))
    )
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["deployment_id"] for answer in answers}) == 1


async def test_deployments_are_listed_by_service_and_status(bench: Bench) -> None:
    await bench.register("checkout")
    await bench.register("search")
    ours = [await bench.deploy(version="1.0", git_commit_sha="c" * 40, git_ref="hotfix", git_author="bob@example.com")]
    ours += [await bench.deploy(version=f"1.{number}") for number in range(1, 4)]
    theirs = await bench.deploy(service_name="search")
    await bench.releases.go_live(ours[1])

    async def listed(path: str, **query: Any) -> set[str]:
        found: set[str] = set()
        cursor: str | None = None
        while True:
            page = await bench.admin.get(path, params={"limit": 3, **query, **({"cursor": cursor} if cursor else {})})
            assert page.status_code == 200, page.text
            found |= {item["deployment_id"] for item in page.json()["items"]}
            cursor = page.json()["next_cursor"]
            if cursor is None:
                return found

    assert await listed(DEPLOYMENTS) == {*ours, theirs}
    assert await listed(DEPLOYMENTS, service_name="search") == {theirs}
    assert await listed(DEPLOYMENTS, status="live") == {ours[1]}
    assert await listed(DEPLOYMENTS, status="live", service_name="search") == set()
    assert await listed(DEPLOYMENTS, commit="c" * 40) == {ours[0]}
    assert await listed(DEPLOYMENTS, branch="refs/heads/hotfix", author="Bob <bob@example.com>") == {ours[0]}
    assert await listed(DEPLOYMENTS, branch="hotfix", service_name="search") == set()
    assert await listed(DEPLOYMENTS, waits="true") == set()
    assert await listed(DEPLOYMENTS, waits="false", status="live") == {ours[1]}
    for path in (f"{DEPLOYMENTS}/service/checkout", "/api/dashboard/services/checkout/deployments"):
        assert await listed(path, branch="hotfix") == {ours[0]}
        assert await listed(path) == set(ours)
        assert await listed(path, status="pending") == set(ours) - {ours[1]}


async def test_an_unknown_service_has_no_list(bench: Bench) -> None:
    await bench.register()
    for path in (f"{DEPLOYMENTS}/service/", "/api/dashboard/services/"):
        suffix = "/deployments" if path.endswith("services/") else ""
        empty = (await bench.admin.get(f"{path}checkout{suffix}")).json()
        assert empty == {"items": [], "next_cursor": None, "stopped_early": False}
        for name in ("chekout", "A B", "%00"):
            assert (await bench.admin.get(f"{path}{name}{suffix}")).status_code == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("status=done", "status"),
        ("cursor=!!!", "cursor"),
        ("service_name=A+B", "service_name"),
        ("servce_name=a", "servce_name"),
        ("status=live&status=failed", "status"),
        ("commit=9f1c", "commit"),
        ("branch=a..b", "branch"),
        ("author=", "author"),
    ],
)
async def test_bad_parameters_of_the_deployments_list_are_named(bench: Bench, query: str, field: str) -> None:
    answer = await bench.admin.get(f"{DEPLOYMENTS}?{query}")
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("GET", "/events", None),
        ("POST", "/approve", None),
        ("POST", "/reject", {"reason": "x"}),
        ("POST", "/rollback", {"reason": "x"}),
        ("POST", "/resume", {"reason": "x"}),
        ("POST", "/cancel", None),
        ("POST", "/override-freeze", {"reason": "x"}),
        ("POST", "/staging", {"job_id": "7"}),
        ("POST", "/production", {"job_id": "7"}),
        ("POST", "/environments/qa", {"job_id": "7"}),
        ("POST", "/metrics", {"error_rate": 0.1}),
    ],
)
async def test_a_deployment_that_does_not_exist_is_404(bench: Bench, method: str, path: str, body: Any) -> None:
    for deployment_id in (NO_DEPLOYMENT, "no-uuid", NO_DEPLOYMENT.replace("8", "A"), "%00", "%ff", "a" * 3000):
        answer = await bench.admin.request(method, f"{DEPLOYMENTS}/{deployment_id}{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), deployment_id


async def test_the_trail_tells_who_did_what_from_where(bench: Bench) -> None:
    await bench.register()
    deployment_id = await bench.deploy()
    cli = {"User-Agent": "hybridci/1.2 python-httpx"}
    await bench.admin.post(f"{DEPLOYMENTS}/{deployment_id}/approve", json={"by": "ann"}, headers=cli)
    own = (await bench.admin.get(f"{DEPLOYMENTS}/{deployment_id}/events")).json()["items"]
    assert [(event["action"], event["by"], event["via"]) for event in own] == [
        ("deployment.approve", "admin for ann", "cli"),
        ("deployment.created", "admin", "api"),
    ]
    by_id = (await bench.admin.get("/api/events", params={"deployment_id": deployment_id})).json()["items"]
    by_service = (await bench.admin.get("/api/events", params={"service_name": "checkout"})).json()["items"]
    everything = (await bench.admin.get("/api/events")).json()["items"]
    assert by_id == own
    assert by_service == everything == [*own, by_service[-1]]
    assert by_service[-1]["action"] == "service.applied"
    assert by_service[-1]["address"] == "127.0.0.1"
    page = (await bench.admin.get("/api/events", params={"limit": 2})).json()
    rest = (await bench.admin.get("/api/events", params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert page["items"] + rest["items"] == everything
    assert (await bench.admin.get("/api/events", params={"cursor": "x"})).status_code == 422


async def test_the_summary_counts_deployments(bench: Bench) -> None:
    await bench.register()
    ids = [await bench.deploy(version=f"1.{number}") for number in range(7)]
    statuses = [DeploymentStatus.STAGING, DeploymentStatus.STAGED, DeploymentStatus.FAILED, DeploymentStatus.LIVE]
    for deployment_id, status in zip(ids, statuses, strict=False):
        deployment = await bench.stores.deployments.get(deployment_id)
        assert deployment is not None
        await bench.releases.put(deployment, status=status)
    await bench.submit()
    summary = (await bench.admin.get("/api/dashboard/summary")).json()
    numbers = {name: value for name, value in summary.items() if name.startswith(("deployments", "total"))}
    assert numbers == {
        "total_jobs": 1,
        "total_deployments": 7,
        "deployments_today": 7,
        "deployments_active": 5,
        "deployments_staging": 1,
        "deployments_failed": 1,
        "deployments_by_status": {"failed": 1, "live": 1, "pending": 3, "staged": 1, "staging": 1},
    }
    assert [item["deployment_id"] for item in summary["recent_deployments"]] == ids[:1:-1]
    assert len(summary["recent_jobs"]) == 1


async def test_no_deployment_starts_while_temporal_is_away(bench: Bench) -> None:
    await bench.register()
    bench.releases.failure = Unavailable("Temporal does not answer.")
    answer = await bench.admin.post(DEPLOYMENTS, json=DEPLOYMENT)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert (await bench.admin.get(DEPLOYMENTS)).json()["items"] == []
