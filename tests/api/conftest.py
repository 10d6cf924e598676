"""The application on memory stores and a fake job client, asked in-process over ASGI."""

import copy
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import httpx
import pytest
from fastapi import FastAPI
from starlette.datastructures import State
from starlette.middleware import Middleware

from activities.chaining.middleware import ObserveChain
from activities.clock import epoch_millis
from activities.credentials.registry import CredentialRegistry
from activities.jobs.readers import JobReader
from activities.jobs.writers import JobCreator
from activities.stores.interfaces.credentials import CredentialStore
from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.evidence import EvidenceStore
from activities.stores.open import Stores, open_memory_stores
from api.app import build_app, deployment_reader
from api.auth.authenticator import Authenticator
from api.auth.keys import KeyRing
from api.auth.limits import RateLimits, RequestLimits
from api.auth.principal import Principal
from api.auth.vouching import Voucher
from api.deps import Services
from api.http.metrics import Metrics
from api.http.middleware import RequestContext
from api.identity.policy import AccessPolicy
from api.webhooks.receive import Webhooks
from tests.api.fake_deployments import FakeDeployments
from tests.api.fake_queues import fleet_of
from tests.api.fake_repairs import FakeRepairs
from tests.api.fake_sweeps import FakeSweeps
from tests.api.fake_tasks import FakeTasks
from tests.api.fakes import FakeJobClient
from workflows.contracts.access import CredentialKind, Grant, Role

ADMIN_KEY = "admin-key-for-tests-0123456789abcdef"
AGENT_KEY = "agent-key-for-tests-0123456789abcdef"
"""What registers agents of every pool."""
AGENT_TOKEN = "agent-token-for-tests-0123456789abcd"
"""That of agent-7."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One application and what is behind it."""

    app: FastAPI
    stores: Stores
    job_client: FakeJobClient
    releases: FakeDeployments
    admin: httpx.AsyncClient
    agent: httpx.AsyncClient
    anyone: httpx.AsyncClient
    stop: list[bool]

    @property
    def repairs(self) -> FakeRepairs:
        found = self.app.state.services.repair_client
        assert isinstance(found, FakeRepairs)
        return found

    async def submit(self, **changes: object) -> str:
        answer = await self.admin.post("/api/dashboard/jobs", json={**SPEC, **changes})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["job_id"])

    async def register(self, name: str = "checkout", **changes: object) -> None:
        answer = await self.admin.put(f"/api/dashboard/services/{name}", json={**SERVICE, **changes})
        assert answer.status_code in {200, 201}, answer.text

    async def deploy(self, **changes: object) -> str:
        answer = await self.admin.post("/api/dashboard/deployments", json={**DEPLOYMENT, **changes})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["deployment_id"])

    async def start(self, job_id: str, attempt: int = 1) -> None:
        body = {"attempt": attempt, "agent_id": "agent-7", "claimed_at": 1_700_000_000_000}
        answer = await self.agent.put(f"/api/queue/jobs/{job_id}/attempts/{attempt}/start", json=body)
        assert answer.status_code == 204, answer.text

    async def log(
        self, job_id: str, offset: int, data: bytes, *, attempt: int = 1, final: bool = False, marks: str = "[]"
    ) -> None:
        answer = await self.agent.put(
            f"/api/queue/jobs/{job_id}/attempts/{attempt}/log/{offset}",
            content=data,
            headers={"Log-Final": str(final).lower(), "Log-Marks": marks},
        )
        assert answer.status_code == 204, answer.text


SPEC: dict[str, object] = {
    "job_type": "test",
    "git_repo": "https://example.com/shop.git",
    "git_commit_sha": "a" * 40,
    "git_author": "ann@example.com",
    "steps": [{"name": "unit", "run": "pytest -q"}],
}


SERVICE: dict[str, object] = {
    "git_repo": "https://example.com/shop.git",
    "environments": [
        {"name": "staging", "steps": [{"name": "deploy", "run": "./deploy.sh staging"}]},
        {"name": "production", "steps": [{"name": "deploy", "run": "./deploy.sh production"}], "approval": {}},
    ],
}
DEPLOYMENT: dict[str, object] = {
    "service_name": "checkout",
    "version": "1.4.2",
    "git_commit_sha": "b" * 40,
    "git_author": "ann@example.com",
}


def key_ring() -> KeyRing:
    agent = Principal(
        id="agent-7", kind=CredentialKind.AGENT, grants=(Grant(role=Role.AGENT),), agent_id="agent-7", machine=True
    )
    return KeyRing(
        [
            (ADMIN_KEY, Principal.everywhere("admin", Role.ADMIN)),
            (AGENT_KEY, Principal.everywhere("agent", Role.AGENT)),
            (AGENT_TOKEN, agent),
        ]
    )


class AccessParts(TypedDict):
    """What of the services is about access."""

    authenticator: Authenticator
    credentials: CredentialStore
    access: CredentialRegistry
    audit: EventStore
    evidence: EvidenceStore


def access_parts(stores: Stores, limits: RateLimits | None = None, policy: AccessPolicy | None = None) -> AccessParts:
    counted = RequestLimits(limits or RateLimits())
    given = policy or AccessPolicy()
    return {
        "authenticator": Authenticator(key_ring(), stores.credentials, counted, policy=lambda: given),
        "credentials": stores.credentials,
        "access": CredentialRegistry(stores.credentials, middleware=[ObserveChain()]),
        "audit": stores.events,
        "evidence": stores.evidence,
    }


def memory_app(limits: RateLimits | None = None) -> tuple[FastAPI, Stores, FakeJobClient, list[bool]]:
    stores = open_memory_stores(filter_labels=("team", "stage"))
    job_client = FakeJobClient(stores.jobs, FakeDeployments(stores))
    stop: list[bool] = []
    repairs, tasks, sweeps = FakeRepairs(), FakeTasks(), FakeSweeps(stores, epoch_millis)
    services = Services(
        **access_parts(stores, limits),
        reader=JobReader(stores.jobs),
        creator=JobCreator(stores.jobs, stores.agents),
        logs=stores.logs,
        artifacts=stores.artifacts,
        storage=stores.storage,
        webhook_deliveries=stores.deliveries,
        deployments=deployment_reader(stores),
        temporal=lambda: job_client,
        deploying=lambda: job_client.releases,
        repairing=lambda: repairs,
        asking=lambda: tasks,
        sweeping=lambda: sweeps,
        metrics=Metrics(),
        fleet=fleet_of(stores),
        voucher=Voucher(allow_self_approval=True),
        stopping=lambda: bool(stop),
    )
    return app_with(services), stores, job_client, stop


def app_with(services: Services) -> FastAPI:
    """As ``build_app``, but the routes, which take 0.15 s, are put together once for all tests of this process."""
    app = copy.copy(_template(services))
    app.state, app.middleware_stack = State({"services": services, "webhooks": Webhooks.none()}), None
    app.user_middleware = [
        Middleware(RequestContext, metrics=services.metrics) if each.cls is RequestContext else each
        for each in app.user_middleware
    ]
    return app


_templates: list[FastAPI] = []


def _template(services: Services) -> FastAPI:
    if not _templates:
        _templates.append(build_app(services))
    return _templates[0]


def client(app: FastAPI, key: str | None) -> httpx.AsyncClient:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=headers)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    app, stores, job_client, stop = memory_app()
    async with client(app, ADMIN_KEY) as admin, client(app, AGENT_TOKEN) as agent, client(app, None) as anyone:
        yield Bench(app, stores, job_client, job_client.releases, admin, agent, anyone, stop)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder with one commit."""
    folder = tmp_path / "my shop"
    folder.mkdir()
    for arguments in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)
    return folder
