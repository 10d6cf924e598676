"""Claims on a real Temporal server: the application over HTTP, the real control worker on stores in memory."""

import asyncio
import dataclasses
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
from fastapi import FastAPI
from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError
from temporalio.worker import Worker

from api.app import build_app
from api.auth.issuing import issue
from api.claims.service import Claims
from api.deps import Services
from tests.api.conftest import SPEC, memory_app
from tests.api.live import serving

with workflow.unsafe.imports_passed_through():
    from activities.bootstrap import build_activities
    from activities.stores.open import Stores
    from workflows.client.jobs import JobClient
    from workflows.contracts.access import CredentialKind, Grant, Role
    from workflows.contracts.activities import run_attempt
    from workflows.contracts.attempts import AttemptInput, AttemptResult
    from workflows.contracts.ids import CONTROL_QUEUE, new_job_id, pool_queue
    from workflows.contracts.statuses import Outcome
    from workflows.job.workflow import JobWorkflow

SECRET = b"a signing key of 32 bytes for tests"
JOBS = "/api/queue/jobs"
CLAIM = "/api/queue/claim"


@workflow.defn(sandboxed=False)
class ManyAttempts:
    """Just the activities, scheduled as ``JobWorkflow`` does it, again when declined; None when a lease lapsed."""

    @workflow.run
    async def run(self, attempts: list[AttemptInput]) -> list[AttemptResult | None]:
        return list(await asyncio.gather(*(self._one(attempt) for attempt in attempts)))

    async def _one(self, attempt: AttemptInput) -> AttemptResult | None:
        while True:
            try:
                result = await workflow.execute_activity(
                    run_attempt,
                    attempt,
                    task_queue=pool_queue(attempt.pool, attempt.requires),
                    start_to_close_timeout=timedelta(seconds=120),
                    heartbeat_timeout=timedelta(seconds=attempt.lease_seconds),
                    retry_policy=RetryPolicy(maximum_attempts=1),
                )
            except ActivityError:
                return None
            if result.outcome is not Outcome.DECLINED or attempt.avoid_agent is not None:
                return result


@dataclass
class Held:
    """A job in a claimer's hands."""

    desk: "Desk"
    agent_id: str
    claimed: dict[str, Any]

    @property
    def job_id(self) -> str:
        return str(self.claimed["job_id"])

    async def say(self, what: str, **fields: Any) -> httpx.Response:
        body = {"agent_id": self.agent_id, "lease_token": self.claimed["lease_token"], **fields}
        headers = await self.desk.as_agent(self.agent_id)
        return await self.desk.http.patch(f"{JOBS}/{self.job_id}/{what}", json=body, headers=headers)


@dataclass
class Desk:
    """The application, and a pool of the test's own."""

    http: httpx.AsyncClient
    app: FastAPI
    temporal: Client
    stores: Stores
    pool: str = field(default_factory=lambda: f"p{uuid.uuid4().hex[:10]}")
    tokens: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def services(self) -> Services:
        services = self.app.state.services
        assert isinstance(services, Services)
        return services

    async def submit(self, **fields: Any) -> str:
        answer = await self.http.post(JOBS, json={**SPEC, "pool": self.pool, **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["job_id"])

    async def ask(self, agent_id: str = "a-1", **fields: Any) -> httpx.Response:
        body = {"pool": self.pool, "agent_id": agent_id, **fields}
        return await self.http.post(CLAIM, json=body, headers=await self.as_agent(agent_id))

    async def as_agent(self, agent_id: str) -> dict[str, str]:
        """The header with a token of this agent."""
        if agent_id not in self.tokens:
            issued = await issue(
                self.services, kind=CredentialKind.AGENT, subject=agent_id, name="", agent_id=agent_id,
                grants=[Grant(role=Role.AGENT)], ttl_seconds=600, by=None,
            )  # fmt: skip
            self.tokens[agent_id] = issued.token
        return {"Authorization": f"Bearer {self.tokens[agent_id]}"}

    async def claim(self, agent_id: str = "a-1", **fields: Any) -> list[Held]:
        answer = await self.ask(agent_id, **fields)
        assert answer.status_code == 200, answer.text
        return [Held(self, agent_id, claimed) for claimed in answer.json()["jobs"]]

    async def claim_one(self, agent_id: str = "a-1", **fields: Any) -> Held:
        (held,) = await self.claim(agent_id, **fields)
        return held

    async def job(self, job_id: str) -> dict[str, Any]:
        return (await self.http.get(f"{JOBS}/{job_id}")).json()

    async def until(self, job_id: str, *, seconds: float = 60, **expected: Any) -> dict[str, Any]:
        ends = time.monotonic() + seconds
        while True:
            found = await self.job(job_id)
            if all(found[name] == value for name, value in expected.items()):
                return found
            assert time.monotonic() < ends, f"never reached {expected}: {found}"
            await asyncio.sleep(0.05)

    async def until_waiting(self, count: int, requires: Sequence[str] = ()) -> None:
        """Until so many wait in the queue, as Temporal counts them."""
        queues = self.services.claims
        ends = time.monotonic() + 30
        while (await queues.backlog(pool_queue(self.pool, requires))).waiting != count:
            assert time.monotonic() < ends, "they never waited"
            await asyncio.sleep(0.05)

    def attempt(self, **fields: Any) -> AttemptInput:
        values: dict[str, Any] = {
            "job_id": new_job_id(), "attempt": 1, "job_type": "test", "pool": self.pool, "timeout_seconds": 60,
            "git_repo": "https://example.com/shop.git", "git_commit_sha": "a" * 40,
        }  # fmt: skip
        return AttemptInput(**{**values, **fields})

    async def raw(self, *attempts: AttemptInput) -> WorkflowHandle[Any, list[AttemptResult | None]]:
        """Attempts without their jobs."""
        return await self.temporal.start_workflow(
            ManyAttempts.run, list(attempts), id=f"many-{uuid.uuid4()}", task_queue=CONTROL_QUEUE
        )


@asynccontextmanager
async def desk(temporal: Client) -> AsyncGenerator[Desk]:
    """A desk with its control worker."""
    app, stores, _, stop = memory_app()
    job_client = JobClient(temporal)
    services = dataclasses.replace(
        app.state.services,
        temporal=lambda: job_client,
        claims=Claims(lambda: temporal, SECRET, stopping=lambda: bool(stop)),
    )
    app = build_app(services)
    async with (
        Worker(
            temporal,
            task_queue=CONTROL_QUEUE,
            workflows=[JobWorkflow, ManyAttempts],
            activities=build_activities(stores, temporal).all(),
        ),
        serving(app) as http,
    ):
        yield Desk(http, app, temporal, stores)
    stop.append(True)
    await services.claims.close()
