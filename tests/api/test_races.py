"""The same request at two APIs in the same instant, on a real Temporal: one has created, the other says replay."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI
from temporalio.client import Client

from activities.jobs.readers import JobReader
from activities.jobs.writers import JobCreator
from api.app import build_app, deployment_reader
from api.deps import Services
from api.http.metrics import Metrics
from api.webhooks.receive import open_webhooks
from tests.api.conftest import ADMIN_KEY, DEPLOYMENT, SPEC, access_parts, client
from tests.api.fake_queues import fleet_of
from tests.api.fake_repairs import FakeRepairs
from tests.workflows.deployment_harness import Deploys, deploys
from workflows.client.deployments import DeploymentClient
from workflows.client.jobs import JobClient
from workflows.contracts.ids import redrive_workflow_id

JOBS = "/api/dashboard/jobs"
TIMES = 8
KEY = b"a secret of the generic provider"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@dataclass(frozen=True, slots=True)
class Two:
    """Two applications with nothing in common but Temporal and the store."""

    apis: tuple[httpx.AsyncClient, httpx.AsyncClient]
    harness: Deploys

    async def both(self, ask: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]) -> list[httpx.Response]:
        return list(await asyncio.gather(*(ask(api) for api in self.apis)))


@pytest.fixture
async def two(temporal_client: Client) -> AsyncIterator[Two]:
    async with deploys(temporal_client) as harness:
        first, second = (client(_app(temporal_client, harness), ADMIN_KEY) for _ in range(2))
        async with first, second:
            yield Two((first, second), harness)


def _app(temporal: Client, harness: Deploys) -> FastAPI:
    stores, job_client, releases = harness.stores, JobClient(temporal), DeploymentClient(temporal)
    services = Services(
        **access_parts(stores),
        reader=JobReader(stores.jobs),
        creator=JobCreator(stores.jobs, stores.agents),
        deployments=deployment_reader(stores),
        logs=stores.logs,
        artifacts=stores.artifacts,
        storage=stores.storage,
        webhook_deliveries=stores.deliveries,
        temporal=lambda: job_client,
        deploying=lambda: releases,
        metrics=Metrics(),
        repairing=FakeRepairs,
        fleet=fleet_of(stores),
    )
    return build_app(services, webhooks=open_webhooks(None, {"HYBRIDCI_WEBHOOK_SECRET_GENERIC": SECRET}))


def one_created(answers: list[httpx.Response], *, name: str) -> None:
    replays = {answer.status_code: answer.headers.get("idempotent-replay") for answer in answers}
    assert replays == {201: None, 200: "true"}, [answer.text for answer in answers]
    assert len({answer.json()[name] for answer in answers}) == 1


@pytest.mark.parametrize("size", [1, 70_000])
async def test_one_of_two_has_created_the_job(two: Two, size: int) -> None:
    for number in range(TIMES):
        body = {**SPEC, "pool": f"nobody-{uuid.uuid4().hex[:8]}", "metadata": {"note": "x" * size}}
        headers = {"Idempotency-Key": f"{two.harness.name}-{number}"}
        answers = await two.both(lambda api, body=body, headers=headers: api.post(JOBS, json=body, headers=headers))
        one_created(answers, name="job_id")
        await two.apis[0].post(f"{JOBS}/{answers[0].json()['job_id']}/cancel")


async def test_each_job_of_two_batches_is_created_once(two: Two) -> None:
    body = {"items": [{**SPEC, "pool": two.harness.name} for _ in range(5)]}
    headers = {"Idempotency-Key": two.harness.name}
    answers = await two.both(lambda api: api.post("/api/queue/jobs/batch", json=body, headers=headers))
    pairs = zip(*(answer.json()["items"] for answer in answers), strict=True)
    for one, other in pairs:
        assert {one["status"], other["status"]} == {200, 201}
        assert one["job"]["job_id"] == other["job"]["job_id"]
        await two.apis[0].post(f"{JOBS}/{one['job']['job_id']}/cancel")
    assert sum(answer.json()["created"] for answer in answers) == 5


async def test_one_of_two_has_started_the_deployment(two: Two) -> None:
    await _register(two)
    for number in range(TIMES):
        body = {**DEPLOYMENT, "service_name": two.harness.name, "version": f"1.{number}"}
        headers = {"Idempotency-Key": f"{two.harness.name}-{number}"}
        answers = await two.both(
            lambda api, body=body, headers=headers: api.post("/api/dashboard/deployments", json=body, headers=headers)
        )
        one_created(answers, name="deployment_id")
        await _keep(two, answers[0].json()["deployment_id"])


async def test_one_of_two_has_registered_the_service(two: Two) -> None:
    for number in range(TIMES):
        spec = two.harness.service().spec.model_dump(mode="json")
        path = f"/api/dashboard/services/{two.harness.name}-{number}"
        answers = await two.both(lambda api, spec=spec, path=path: api.put(path, json=spec))
        assert sorted(answer.status_code for answer in answers) == [200, 201], [answer.text for answer in answers]
        assert {answer.json()["version"] for answer in answers} == {1}


async def test_one_of_two_has_started_the_bulk_redrive(two: Two) -> None:
    headers = {"Idempotency-Key": two.harness.name}
    answers = await two.both(
        lambda api: api.post("/api/queue/dead-letters/redrive", json={"limit": 1}, headers=headers)
    )
    assert [answer.status_code for answer in answers] == [202, 202]
    assert sorted(answer.headers.get("idempotent-replay", "") for answer in answers) == ["", "true"]
    (redrive_id,) = {answer.json()["redrive_id"] for answer in answers}
    await two.harness.client.get_workflow_handle(redrive_workflow_id(redrive_id)).terminate("only its start counts")
    other = await two.apis[0].post("/api/queue/dead-letters/redrive", json={"limit": 2}, headers=headers)
    assert other.status_code == 409, "the fingerprint is known without a control worker"


@pytest.mark.parametrize("kind", ["job.start", "deployment.start"])
async def test_one_of_two_deliveries_has_started_it(two: Two, kind: str) -> None:
    await _register(two)
    job = {**SPEC, "pool": two.harness.name}
    data = job if kind == "job.start" else {**DEPLOYMENT, "service": two.harness.name}
    body = json.dumps({"type": kind, "data": data}).encode()
    stamp, delivery = str(int(time.time())), str(uuid.uuid4())
    mac = hmac.digest(KEY, f"{delivery}.{stamp}.".encode() + body, hashlib.sha256)
    headers = {
        "webhook-id": delivery,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        "content-type": "application/json",
    }
    answers = await two.both(lambda api: api.post("/api/webhooks/generic", content=body, headers=headers))
    assert [answer.status_code for answer in answers] == [202, 202], [answer.text for answer in answers]
    assert sorted(answer.headers.get("idempotent-replay", "") for answer in answers) == ["", "true"]
    name = "job_id" if kind == "job.start" else "deployment_id"
    (found,) = {answer.json()["actions"][0][name] for answer in answers}
    if kind == "job.start":
        await two.apis[0].post(f"{JOBS}/{found}/cancel")
    else:
        await _keep(two, found)


async def _register(two: Two) -> None:
    spec = two.harness.service(two.harness.environment(approval={})).spec.model_dump(mode="json")
    answer = await two.apis[0].put(f"/api/dashboard/services/{two.harness.name}", json=spec)
    assert answer.status_code == 201, answer.text


async def _keep(two: Two, deployment_id: str) -> None:
    """The harness ends what it knows of."""
    found = await two.harness.stores.deployments.get(deployment_id)
    assert found is not None
    two.harness.started.append(found)
