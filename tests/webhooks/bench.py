"""Webhooks over ASGI: the real route, rules and effects on memory stores, with fakes of our own interfaces behind."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from activities.clock import epoch_millis
from activities.jobs.readers import JobReader
from activities.jobs.writers import JobCreator
from activities.stores.open import Stores, open_memory_stores
from api.app import build_app, deployment_reader
from api.auth.tokens import digest_of, new_token
from api.deps import Services
from api.http.metrics import Metrics
from api.webhooks.receive import Webhooks
from api.webhooks.secrets import WebhookSecrets, secret_variable
from api.webhooks.verify import sign
from tests.api.conftest import access_parts
from tests.api.fake_deployments import FakeDeployments
from tests.api.fake_queues import fleet_of
from tests.api.fake_repairs import FakeRepairs
from tests.api.fakes import FakeJobClient
from tests.webhooks.captured import PROVIDERS, SHA, captured, provider_of
from workflows.client.deployments import DeploymentCommand
from workflows.contracts.access import Credential, CredentialKind, Grant
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.commands import DeploymentInput
from workflows.contracts.deployments.deployment import Deployment, DeploymentQuery, DeploymentRequest, DeploymentWrite
from workflows.contracts.deployments.services import Service, ServiceSpec
from workflows.contracts.ids import new_job_id

SECRET = "user:s3cr3t-of-all-tools"
NOW = 1_795_275_612


class TrailedDeployments(FakeDeployments):
    """Writes a command's reason into the trail, as the workflow does."""

    async def command(
        self, deployment: Deployment, command: DeploymentCommand, update_id: str | None = None
    ) -> Deployment:
        changed = await super().command(deployment, command, update_id)
        event = AuditEvent(
            event_id=new_job_id(),
            at=epoch_millis(),
            action=f"deployment.{type(command).__name__.lower()}",
            by=command.by,
            via=command.via,
            service_name=changed.service_name,
            deployment_id=changed.deployment_id,
            version=changed.version,
            reason=getattr(command, "reason", None)
            or getattr(command, "comment", None)
            or getattr(command, "message", None),
        )
        write = DeploymentWrite(
            deployment=changed.model_copy(update={"sequence": changed.sequence + 1}),
            previous=changed.status,
            events=[event],
        )
        await self._stores.deployments.write(write)
        return changed


@dataclass(slots=True)
class WebhookBench:
    """One application, what is behind it, and a client without any key."""

    stores: Stores
    jobs: FakeJobClient
    releases: TrailedDeployments
    app: FastAPI
    client: httpx.AsyncClient

    async def register(
        self,
        name: str = "shop",
        url: str = "https://github.com/acme/shop.git",
        ref: str | None = "main",
        triggers: dict[str, Any] | None = None,
    ) -> None:
        environments: list[dict[str, Any]] = [
            {"name": "staging", "external": True},
            {"name": "production", "external": True},
        ]
        fields = {"git_repo": url, "git_ref": ref, "environments": environments, "triggers": triggers}
        spec = ServiceSpec.model_validate(fields)
        service = Service(name=name, version=1, spec=spec, created_at=1, updated_at=1)
        assert await self.stores.services.put(service, expected_version=None, events=[])

    async def key(self, *grants: Grant) -> str:
        """A key of somebody with these grants."""
        token, credential_id = new_token(CredentialKind.KEY)
        made = Credential(
            credential_id=credential_id,
            kind=CredentialKind.KEY,
            digest=digest_of(token),
            subject="somebody",
            grants=list(grants),
            created_at=1,
        )
        assert await self.stores.credentials.put(made, [])
        return token

    async def deploy(self, version: str = "1.4.2", service: str = "shop") -> Deployment:
        registered = await self.stores.services.get(service)
        assert registered is not None
        request = DeploymentRequest(
            service_name=service, version=version, git_commit_sha=SHA, git_author="ann@example.com"
        )
        start = DeploymentInput(deployment_id=new_job_id(), request=request, service=registered)
        started = await self.releases.start(start)
        return await self.releases.put(started, waits_for="an approval")

    async def send(self, name: str, **changes: str) -> httpx.Response:
        """A captured request, signed now."""
        request, provider = captured(name), provider_of(name)
        headers = {**request.headers, **changes}
        return await self.post(provider.name, request.body, headers)

    async def post(self, provider: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Any request, signed now."""
        scheme = self.webhooks.providers[provider].manifest.verify[0]
        signed, query = sign(scheme, SECRET, body, headers, NOW)
        lower = {name.lower(): value for name, value in signed.items()}
        return await self.client.post(
            f"/api/webhooks/{provider}", content=body, headers={**headers, **lower}, params=query
        )

    @property
    def webhooks(self) -> Webhooks:
        webhooks = self.app.state.webhooks
        assert isinstance(webhooks, Webhooks)
        return webhooks

    def restart(self) -> None:
        """A new API process: what was only in memory is gone."""
        self.app.state.webhooks = all_webhooks()


def all_webhooks() -> Webhooks:
    secrets = WebhookSecrets({secret_variable(name): SECRET for name in PROVIDERS if name != "sentry"})
    return Webhooks(PROVIDERS, secrets, now=lambda: NOW)


def memory_parts() -> tuple[FastAPI, WebhookBench]:
    stores = open_memory_stores()
    releases = TrailedDeployments(stores)
    jobs = FakeJobClient(stores.jobs, releases)
    services = Services(
        **access_parts(stores),
        reader=JobReader(stores.jobs),
        creator=JobCreator(stores.jobs, stores.agents),
        deployments=deployment_reader(stores),
        logs=stores.logs,
        artifacts=stores.artifacts,
        storage=stores.storage,
        webhook_deliveries=stores.deliveries,
        temporal=lambda: jobs,
        deploying=lambda: releases,
        repairing=FakeRepairs,
        metrics=Metrics(),
        fleet=fleet_of(stores),
    )
    app = build_app(services, webhooks=all_webhooks())
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")
    return app, WebhookBench(stores, jobs, releases, app, client)


@asynccontextmanager
async def webhook_bench() -> AsyncGenerator[WebhookBench]:
    _, bench = memory_parts()
    async with bench.client:
        yield bench


def github_signature(body: bytes, secret: str = SECRET) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


async def together(calls: Sequence[Any]) -> list[Any]:
    return list(await asyncio.gather(*calls))


async def deployments(hooks: WebhookBench) -> list[Any]:
    """All that were started, as lists show them."""
    return (await hooks.stores.deployments.list(DeploymentQuery())).items


def same_but_repeated(answer: httpx.Response, first: httpx.Response) -> bool:
    """The answer to a repetition of what needs no more words than the first time."""
    assert answer.headers["idempotent-replay"] == "true"
    return answer.json() == {**first.json(), "repeated": True}
