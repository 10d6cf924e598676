"""Two APIs and a control worker as processes on a real Temporal, and a real store behind a proxy that can fail."""

import asyncio
import threading
import uuid
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from tests import servers
from tests.api.conftest import DEPLOYMENT, SPEC
from tests.api.test_process import HYBRIDCI, answers, base_environment, client, create_tables, process
from tests.faults.store_proxy import StoreProxy, store_proxy_to
from tests.workflows.harness import Agent, Script
from workflows.contracts.ids import pool_queue

JOBS = "/api/dashboard/jobs"
DEAD_LETTERS = "/api/queue/dead-letters"
DEPLOYMENTS = "/api/dashboard/deployments"
SERVICES = "/api/dashboard/services"


@dataclass(frozen=True, slots=True)
class Outage:
    """``api`` and ``other`` are two API processes."""

    folder: Path
    environment: Mapping[str, str]
    temporal: servers.Server
    store: StoreProxy
    api: httpx.Client
    other: httpx.Client

    def post(self, path: str, body: object = None, *, key: str | None = None, api: httpx.Client | None = None) -> Any:
        headers = {} if key is None else {"Idempotency-Key": key}
        return (api or self.api).post(path, json=body, headers=headers)

    def spec(self, **fields: object) -> dict[str, object]:
        """A job that nobody takes, in a pool of its own."""
        return {**SPEC, "pool": f"nobody-{uuid.uuid4().hex[:8]}", **fields}

    def submit(self, **fields: object) -> str:
        answer = self.post(JOBS, self.spec(**fields))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["job_id"])

    def register(self, **production: object) -> str:
        """A service whose one environment nobody serves, unless it is another CI's."""
        name = f"svc-{uuid.uuid4().hex[:8]}"
        steps = [{"name": "deploy", "run": "./deploy.sh"}]
        environment = {"name": "production", "pool": f"pool-{name}", "steps": steps, **production}
        spec = {"git_repo": SPEC["git_repo"], "environments": [environment]}
        answer = self.api.put(f"{SERVICES}/{name}", json=spec)
        assert answer.status_code == 201, answer.text
        return name

    def deploy(self, service: str, version: str = "1.0") -> str:
        answer = self.post(DEPLOYMENTS, {**DEPLOYMENT, "service_name": service, "version": version})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["deployment_id"])

    def wait(self, url: str, *, seconds: float = 80, **expected: object) -> dict[str, Any]:
        """The record once it is written and so; what nobody asks for is recorded by the reconciliation, in a minute."""
        found: list[dict[str, Any]] = [{}]

        def so() -> bool:
            answer = self.api.get(url)
            found[0] = answer.json()
            recorded = answer.status_code == 200 and "record-pending" not in answer.headers
            return recorded and all(found[0].get(name) == value for name, value in expected.items())

        try:
            servers.wait_until(so, seconds=seconds, what=f"{url} {expected}")
        except AssertionError as error:
            raise AssertionError(f"{error}; last: {found[0]}") from None
        return found[0]

    @contextmanager
    def worker(self) -> Generator[None]:
        log = self.folder / "worker.log"
        with process([HYBRIDCI, "worker"], self.environment, log):
            servers.wait_until(lambda: "worker ready" in log.read_text(), seconds=60, what="the worker's start")
            yield

    @contextmanager
    def agent(self, pool: str, script: Script) -> Generator[None]:
        """A scripted agent on a loop of its own."""
        loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

        async def work() -> None:
            temporal = await Client.connect(self.temporal.address, data_converter=pydantic_data_converter)
            agent = Agent(temporal, "agent-1", script)
            async with Worker(temporal, task_queue=pool_queue(pool), activities=[agent.run_attempt]):
                ready.set()
                await stop.wait()

        thread = threading.Thread(target=loop.run_until_complete, args=(work(),), daemon=True)
        thread.start()
        assert ready.wait(20)
        try:
            yield
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(20)
            loop.close()


@contextmanager
def outage(folder: Path, more: Mapping[str, str]) -> Generator[Outage]:
    """All but the control worker; ``more`` is of the environment."""
    with ExitStack() as stack:
        aws = stack.enter_context(servers.running(servers.aws_server(folder)))
        temporal = stack.enter_context(servers.running(servers.temporal_server(folder)))
        store = stack.enter_context(store_proxy_to(aws.port))
        environment = base_environment(f"http://{aws.address}", temporal.address) | {
            "DYNAMODB_ENDPOINT_URL": store.url,
            "HYBRIDCI_SIGNING_KEY": "s" * 64,
            "HYBRIDCI_ALLOW_SELF_APPROVAL": "true",  # one admin starts and approves here
            **more,
        }
        create_tables(environment)
        apis: list[httpx.Client] = []
        for number in (1, 2):
            own = environment | {"HYBRIDCI_PORT": str(servers.free_port())}
            stack.enter_context(process([HYBRIDCI, "api"], own, folder / f"api-{number}.log"))
            apis.append(stack.enter_context(client(own)))
        for api in apis:
            servers.wait_until(lambda api=api: answers(api, "/health", 200), seconds=60, what="the API's start")
        yield Outage(folder, environment, temporal, store, *apis)


def ready(plant: Outage) -> None:
    """Return when both APIs and the control worker work together."""
    for api in (plant.api, plant.other):
        servers.wait_until(lambda api=api: answers(api, "/health/ready", 200), seconds=60, what="readiness")
