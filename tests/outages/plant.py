"""What is broken on purpose: two control workers as processes of their own, behind a store that has outages, while
somebody kills, stops and starts the workers. Temporal and the store themselves stay up.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    StartWorkflowUpdateWithStartInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.stores.open import Stores, open_stores
from activities.stores.settings import StoreSettings
from tests import servers
from tests.outages.front import Fault, Outage, StoreFront

COMMAND = [sys.executable, "-P", "-m", "api.cli.processes", "worker"]
WORKERS = 2
CACHES = (1, 2, 1000)
LONGEST_OUTAGE_SECONDS = 40.0
SHORT_TASK = timedelta(seconds=3)
_STALL_SECONDS = (8.3, 9.7)
"""A worker that stands still so long renews its workflow tasks (at 8 s) and still has them (until 10 s)."""


@dataclass
class Plant:
    """One namespace, one store, two workers. ``done`` what was done to them, in words."""

    client: Client
    stores: Stores
    front: StoreFront
    environment: Mapping[str, str]
    folder: Path
    seed: int
    done: list[str] = field(default_factory=list[str])
    _chance: random.Random = field(init=False)
    _processes: dict[int, asyncio.subprocess.Process] = field(default_factory=dict[int, asyncio.subprocess.Process])

    def __post_init__(self) -> None:
        self._chance = random.Random(f"trouble {self.seed}")

    async def start_worker(self, number: int, cache: int) -> None:
        log = (self.folder / f"worker-{number}.log").open("ab")
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            env=dict(self.environment) | {"HYBRIDCI_WORKER_CACHED_WORKFLOWS": str(cache)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self._processes[number] = process
        self.done.append(f"worker {number} started with a cache of {cache}")

    async def kill_worker(self, number: int) -> None:
        """kill -9."""
        process = self._processes.pop(number, None)
        if process is not None and process.returncode is None:
            os.killpg(process.pid, signal.SIGCONT)
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            self.done.append(f"worker {number} killed")

    async def stall_worker(self, number: int, seconds: float) -> None:
        """SIGSTOP, as a host that swaps or a container that is throttled."""
        process = self._processes.get(number)
        if process is None or process.returncode is not None:
            return
        os.killpg(process.pid, signal.SIGSTOP)
        self.done.append(f"worker {number} stood still for {seconds:.1f} s")
        try:
            await asyncio.sleep(seconds)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGCONT)

    async def stop(self) -> None:
        for number in list(self._processes):
            await self.kill_worker(number)

    async def trouble(self, seconds: float, *, longest: float = LONGEST_OUTAGE_SECONDS) -> None:
        """Outages and lost workers, one after the other and beside each other, for about so long."""
        chance = self._chance
        until = asyncio.get_running_loop().time() + seconds

        async def outages() -> None:
            while asyncio.get_running_loop().time() < until:
                await asyncio.sleep(chance.uniform(0.2, 5))
                lasts = (
                    0.1 * (longest / 0.1) ** chance.random() if chance.random() < 0.5 else chance.uniform(8, longest)
                )
                fault = chance.choice(list(Fault))
                pause = 0.05 * (longest / 0.05) ** chance.random()
                self.front.outage = Outage(fault, chance.choice([0.3, 1, 1, 1]), pause, reads=chance.random() < 0.25)
                self.done.append(f"outage of {lasts:.1f} s: {self.front.outage}")
                await asyncio.sleep(lasts)
                self.front.outage = None

        async def losses() -> None:
            while asyncio.get_running_loop().time() < until:
                await asyncio.sleep(chance.uniform(2, 12))
                number = chance.randrange(WORKERS)
                if chance.random() < 0.4:
                    await self.stall_worker(number, chance.uniform(*_STALL_SECONDS))
                else:
                    await self.kill_worker(number)
                    await asyncio.sleep(chance.uniform(0, 4))
                    await self.start_worker(number, chance.choice(CACHES))

        await asyncio.gather(outages(), losses())
        self.front.outage = None


class ShortTasks(Interceptor):
    """Some workflows have tasks of three seconds, which are renewed while calls are under way: as it happens to others
    only where a worker stands still. Not part of the promise: the SDK itself can order an update otherwise then.
    """

    def __init__(self, seed: int, share: float) -> None:
        self._chance, self._share = random.Random(f"tasks {seed}"), share

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Shortened(next, self._chance, self._share)


class _Shortened(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, chance: random.Random, share: float) -> None:
        super().__init__(next)
        self._chance, self._share = chance, share

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        input.task_timeout = self._timeout()
        return await super().start_workflow(input)

    async def start_update_with_start_workflow(
        self, input: StartWorkflowUpdateWithStartInput
    ) -> WorkflowUpdateHandle[Any]:
        input.start_workflow_input.task_timeout = self._timeout()
        return await super().start_update_with_start_workflow(input)

    def _timeout(self) -> timedelta | None:
        return SHORT_TASK if self._chance.random() < self._share else None


@asynccontextmanager
async def plant(folder: Path, temporal: servers.Server, seed: int, *, short_tasks: float = 0) -> AsyncGenerator[Plant]:
    """A plant whose workers run, without trouble yet."""
    aws = servers.aws_server(folder)
    with servers.running(aws):
        front = StoreFront(aws.port, seed)
        await front.start()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TEMPORAL_"))}
        environment = inherited | {
            "HYBRIDCI_ALLOW_UNVERIFIED": "true",  # what is said here goes straight to Temporal
            "TEMPORAL_ADDRESS": temporal.address,
            "ENVIRONMENT": "outages",
            "DYNAMODB_ENDPOINT_URL": f"http://{servers.HOST}:{front.port}",
            "S3_ENDPOINT_URL": f"http://{aws.address}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        settings = StoreSettings(
            environment="outages",
            dynamodb_endpoint_url=f"http://{aws.address}",
            s3_endpoint_url=f"http://{aws.address}",
        )
        before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        os.environ.update({name: environment[name] for name in environment if name.startswith("AWS_")})
        stores = open_stores(settings)
        await stores.prepare()
        client = await Client.connect(
            temporal.address, data_converter=pydantic_data_converter, interceptors=[ShortTasks(seed, short_tasks)]
        )
        made = Plant(client, stores, front, environment, folder, seed)
        try:
            for number in range(WORKERS):
                await made.start_worker(number, CACHES[-1])
            yield made
        finally:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                del os.environ[name]  # whatever test comes next in this process has its own
            os.environ.update(before)
            await made.stop()
            await front.stop()
            await asyncio.to_thread(stores.close)
