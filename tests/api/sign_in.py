"""The application in memory with an access policy, and a browser's and an issuer's view of it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from activities.jobs.readers import JobReader
from activities.stores.open import Stores, open_memory_stores
from api.auth.sign_in import SignIn
from api.deps import Services
from api.identity.policy import AccessPolicy, load_policy
from tests.api.conftest import access_parts, memory_app
from tests.oidc_issuer import AUDIENCE, CLIENT_ID, CLIENT_SECRET, OidcIssuer
from workflows.contracts.audit.events import AuditEvent, EventQuery

SITE = "https://ci.example.com"
"""HTTPS, since a browser (and httpx) keeps a Secure cookie of nothing else."""


@dataclass
class Door:
    """An application whose people and workloads come from ``issuer``. ``elapsed`` is its monotonic clock."""

    app: FastAPI
    stores: Stores
    issuer: OidcIssuer
    elapsed: list[float]
    skew: list[int]

    def browser(self) -> httpx.AsyncClient:
        """Keeps cookies, and follows no redirect by itself."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=SITE)

    def reread(self, folder: Path, rules: str) -> None:
        """As when the API starts again with another access policy: it has the stores, and remembers nothing."""
        path = folder / "policy.yaml"
        path.write_text(policy_text(self.issuer, folder, rules))
        self.use(load_policy(path, development=True))

    def use(self, policy: AccessPolicy) -> None:
        """A new process with this policy."""
        before: Services = self.app.state.services
        ways = replace(before.sign_in.ways(), policy=policy)
        sign_in = replace(before.sign_in, ways=lambda: ways)
        self.app.state.services = replace(before, **access_parts(self.stores, policy=sign_in.policy), sign_in=sign_in)

    async def events(self) -> list[AuditEvent]:
        return (await self.stores.events.list(EventQuery(limit=100))).items

    async def actions(self) -> list[str]:
        return [event.action for event in await self.events()]


async def post(
    door: Door, path: str, headers: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
) -> httpx.Response:
    """From somebody without cookies."""
    async with door.browser() as client:
        return await client.post(path, json=body, headers=headers)


def policy_text(issuer: OidcIssuer, folder: Path, more: str) -> str:
    secret = folder / "client.secret"
    secret.write_text(f"{CLIENT_SECRET}\n")
    return f"""
issuers:
  - name: corp
    issuer: {issuer.url}
    client_id: {CLIENT_ID}
    client_secret_file: {secret}
    audience: [{AUDIENCE}, {CLIENT_ID}]
{more}
"""


@cache
def _application() -> FastAPI:
    """Built once, since that takes longer than most tests; each gets services of its own."""
    return memory_app()[0]


@asynccontextmanager
async def opened_door(issuer: OidcIssuer, folder: Path, rules: str) -> AsyncGenerator[Door]:
    app, stores = _application(), open_memory_stores()
    path = folder / "policy.yaml"
    path.write_text(policy_text(issuer, folder, rules))
    elapsed, skew = [1000.0], [0]
    policy = load_policy(path, development=True)
    parts = access_parts(stores, policy=policy)
    services: Services = replace(app.state.services, **parts, reader=JobReader(stores.jobs))
    sign_in = SignIn.of(
        policy,
        public_url=SITE,
        clock=lambda: services.clock() + skew[0] * 1000,
        elapsed=lambda: elapsed[0],
    )
    app.state.services = replace(services, sign_in=sign_in)
    yield Door(app, stores, issuer, elapsed, skew)
