"""The application with a clock and queues of the test's own, and the hands of agents and operators."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from fastapi import FastAPI

from activities.clock import epoch_millis
from activities.stores.open import Stores
from api.agents.fleet import Fleet
from api.auth.issuing import issue
from api.deps import Services
from tests.api.conftest import ADMIN_KEY, AGENT_KEY, SPEC, client, memory_app
from tests.api.fake_queues import FakeQueues, fleet_of
from workflows.contracts.access import CredentialKind, Grant, Role


@dataclass(slots=True)
class FleetBench:
    app: FastAPI
    stores: Stores
    admin: httpx.AsyncClient
    agent: httpx.AsyncClient
    queues: FakeQueues = field(default_factory=FakeQueues)
    ahead: int = 0
    tokens: dict[str, str] = field(default_factory=dict[str, str])

    def now(self) -> int:
        return epoch_millis() + self.ahead

    def later(self, seconds: float) -> None:
        self.ahead += round(seconds * 1000)

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    @property
    def fleet(self) -> Fleet:
        return self.services.fleet

    def another_process(self) -> None:
        """The same stores, with nothing in memory."""
        fleet = fleet_of(self.stores, self.queues, clock=self.now)
        self.app.state.services = replace(self.services, fleet=fleet, clock=self.now)

    async def register(self, agent_id: str = "agent-7", *, key: str = AGENT_KEY, **changes: object) -> dict[str, Any]:
        answer = await self.try_register(agent_id, key=key, **changes)
        assert answer.status_code == 201, answer.text
        self.tokens[agent_id] = str(answer.json()["token"])
        return dict(answer.json())

    async def try_register(
        self, agent_id: str = "agent-7", *, key: str = AGENT_KEY, **changes: object
    ) -> httpx.Response:
        body = {"agent_id": agent_id, "instance": "word-12345", "pool": "linux", "hostname": "host-1", **changes}
        async with client(self.app, key) as caller:
            return await caller.post("/api/agents/register", json=body)

    async def beat(self, agent_id: str = "agent-7", *, key: str | None = None, **beat: object) -> httpx.Response:
        """With the agent's own token."""
        async with client(self.app, key or await self.token(agent_id)) as caller:
            return await caller.post(f"/api/agents/{agent_id}/heartbeat", json={"sequence": 1, **beat})

    async def token(self, agent_id: str) -> str:
        """The one that its last registration answered; for one that never registered, one that leads nowhere."""
        if agent_id not in self.tokens:
            issued = await issue(
                self.services, kind=CredentialKind.AGENT, subject=agent_id, name="", agent_id=agent_id,
                grants=[Grant(role=Role.AGENT)], ttl_seconds=600, by=None,
            )  # fmt: skip
            self.tokens[agent_id] = issued.token
        return self.tokens[agent_id]

    async def tell(self, command: str, agent_id: str = "agent-7", **body: object) -> dict[str, Any]:
        answer = await self.admin.post(f"/api/agents/{agent_id}/{command}", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def show(self, agent_id: str = "agent-7") -> dict[str, Any]:
        answer = await self.admin.get(f"/api/agents/{agent_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def pool(self, name: str = "linux") -> dict[str, Any]:
        answer = await self.admin.get(f"/api/agents/pools/{name}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def submit(self, **changes: object) -> dict[str, Any]:
        answer = await self.admin.post("/api/dashboard/jobs", json={**SPEC, "pool": "linux", **changes})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def key(self, role: Role, pools: Sequence[str] | None) -> str:
        """A key of limited reach."""
        grants = [Grant(role=role, pools=None if pools is None else list(pools))]
        issued = await issue(
            self.services, kind=CredentialKind.KEY, subject=f"{role}-of-{pools}", name="", grants=grants,
            ttl_seconds=600, by=None,
        )  # fmt: skip
        return issued.token


@asynccontextmanager
async def fleet_bench() -> AsyncGenerator[FleetBench]:
    app, stores, _, _ = memory_app()
    async with client(app, ADMIN_KEY) as admin, client(app, AGENT_KEY) as agent:
        bench = FleetBench(app, stores, admin, agent)
        bench.another_process()
        yield bench
