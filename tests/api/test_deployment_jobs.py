"""A job that belongs to a deployment is moved by its deployment only: whatever route, whoever asks.

The routes come from the OpenAPI document, so that one that nobody has written yet is tried as well.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.auth.permissions import ROUTES
from tests.api.conftest import ADMIN_KEY
from tests.api.test_deployments_live import Live, live  # pyright: ignore[reportUnusedImport] - a fixture
from tests.workflows.harness import fail
from workflows.client.jobs import JobClient
from workflows.contracts.access import Operation, Role
from workflows.contracts.commands import JobInput
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import Job, JobSpec, RetryPolicy, Step
from workflows.contracts.statuses import JobStatus

__all__ = ["live"]

KINDS = ("definition", "build", "test", "deploy", "verify", "health", "rollback")
BODIES: dict[str, dict[str, Any]] = {
    "PATCH /api/dashboard/jobs/{job_id}": {"priority": "CRITICAL"},
    "PATCH /api/dashboard/jobs/{job_id}/complete": {"exit_code": 0},
    "PATCH /api/queue/jobs/{job_id}/priority": {"priority": "CRITICAL"},
    "PATCH /api/queue/dead-letters/{job_id}": {
        "env": {"A": "b"},
        "steps": [{"name": "s", "run": "true"}],
        "git_commit_sha": "b" * 40,
    },
}
REDRIVES = {
    "POST /api/queue/dead-letters/{job_id}",
    "POST /api/queue/dead-letters/{job_id}/redrive",
    "POST /api/dashboard/jobs/{job_id}/retry",
}
"""What an operator may do: the deployment's own attempt again, inside its lock, as it was asked for."""
REPAIR = "POST /api/dashboard/jobs/{job_id}/repair"
"""Refused for any workflow that is not stuck; tests/workflows/test_repair.py has more."""
EVERYBODY = (Role.DEVELOPER, Role.APPROVER, Role.OPERATOR, Role.ADMIN)


def routes(document: dict[str, Any]) -> Iterator[str]:
    """All that change a job and are not an agent's."""
    needs = {name.replace(":path}", "}"): need for name, need in ROUTES.items()}
    for path, operations in document["paths"].items():
        for method in operations:
            name = f"{method.upper()} {path}"
            if "{job_id}" in path and method != "get" and needs[name] is not Operation.AGENT_WORK:
                yield name


@pytest.fixture
async def keys(live: Live) -> dict[Role, str]:
    made = {Role.ADMIN: ADMIN_KEY}
    for role in EVERYBODY[:-1]:
        answer = await live.admin.post("/api/access/keys", json={"name": f"a-{role}", "grants": [{"role": role}]})
        assert answer.status_code == 201, answer.text
        made[role] = answer.json()["key"]
    return made


async def job_of_a_deployment(live: Live, kind: str, status: JobStatus) -> Job:
    """As a deployment starts it, brought to this status."""
    harness, job_id = live.harness, new_job_id()
    spec = JobSpec(
        job_type=kind,
        git_repo="file:///srv/shop.git",
        git_commit_sha="a" * 40,
        git_author="ann@example.com",
        pool=f"nobodys-{harness.name}" if status is JobStatus.QUEUED else harness.pool,
        labels={"service": harness.name},
        steps=[Step(name="one", run="true")],
        retry=RetryPolicy(max_attempts=1),
    )
    start = JobInput(job_id=job_id, spec=spec, created_by="deployment d-1", deployment_id="d-1")
    await JobClient(harness.client).submit(start)
    async with asyncio.timeout(20):
        while (job := await harness.stores.jobs.get(job_id)) is None or job.status is not status:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return job


async def say(live: Live, key: str, route: str, job: Job) -> httpx.Response:
    method, path = route.split(" ")
    return await live.admin.request(
        method,
        path.replace("{job_id}", job.job_id),
        headers={"Authorization": f"Bearer {key}"},
        json=BODIES.get(route, {}),
    )


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.DEAD_LETTERED, JobStatus.SUCCESS])
async def test_nobody_moves_a_deployments_job_but_its_deployment(
    live: Live,
    keys: dict[Role, str],
    status: JobStatus,
) -> None:
    document = (await live.admin.get("/api/openapi.json")).json()
    names = set(routes(document)) - {REPAIR}
    assert names >= {*BODIES, *REDRIVES, "POST /api/dashboard/jobs/{job_id}/cancel", "DELETE /api/queue/jobs/{job_id}"}
    moved: list[str] = []
    if status is JobStatus.DEAD_LETTERED:
        live.harness.script("", fail())
    jobs = await asyncio.gather(*(job_of_a_deployment(live, kind, status) for kind in KINDS))
    for job in jobs:
        for route in sorted(names - (REDRIVES if status is JobStatus.DEAD_LETTERED else set())):
            for role in EVERYBODY:
                answer = await say(live, keys[role], route, job)
                otherwise = status is JobStatus.SUCCESS or route in REDRIVES  # it has ended, or is no dead letter
                refused = answer.status_code == 409 and (otherwise or "belongs to deployment d-1" in answer.text)
                if not refused and answer.status_code != 403:
                    moved.append(f"{job.job_type} {status}: {route} as {role}: {answer.status_code} {answer.text}")
        after = await live.harness.stores.jobs.get(job.job_id)
        assert after is not None
        assert after.sequence == job.sequence
    assert moved == []
    listed = (await live.admin.get("/api/dashboard/jobs", params={"limit": 100})).json()["items"]
    own = [each["job_id"] for each in listed if each["pool"] in {f"nobodys-{live.harness.name}", live.harness.pool}]
    assert sorted(own) == sorted(job.job_id for job in jobs), "a test before may have left workflows running"


async def test_an_operator_redrives_its_dead_letter_as_it_is_and_nobody_else(
    live: Live,
    keys: dict[Role, str],
) -> None:
    for kind, route in zip(KINDS, sorted(REDRIVES), strict=False):
        live.harness.script("", fail())
        job = await job_of_a_deployment(live, kind, JobStatus.DEAD_LETTERED)
        live.harness.scripts.clear()
        for role in (Role.DEVELOPER, Role.APPROVER):
            assert (await say(live, keys[role], route, job)).status_code == 403, (route, role)
        if route.startswith("POST /api/queue"):
            edited = await live.admin.post(
                route.removeprefix("POST ").replace("{job_id}", job.job_id), json={"edit": {"env": {"A": "b"}}}
            )
            assert (edited.status_code, edited.json()["code"]) == (409, "invalid_state")
        answer = await say(live, keys[Role.OPERATOR], route, job)
        assert answer.status_code == 200, answer.text
        async with asyncio.timeout(20):
            while (after := await live.harness.stores.jobs.get(job.job_id)) is None or not after.status.final:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert (after.status, len(after.attempts)) == (JobStatus.SUCCESS, 2)
