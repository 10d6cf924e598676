"""The raw floor: what Temporal's Python SDK needs for one workflow with one activity, on the same server.

``python -m api.cli.benchmark.floor ADDRESS SLOTS`` is its worker; it says "ready" and ends with its standard input.
Nothing of ours is in it: default converter, default options, its own queue.
"""

import asyncio
import gc
import subprocess
import sys
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Self

from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from api.cli.benchmark.floor_workflow import FloorWorkflow, mark
from api.cli.benchmark.wire import BenchmarkFailed
from api.cli.stack.launching import python_environment

_QUEUE: Final = "benchmark-floor"
_BRIDGE_REST_SECONDS: Final = 0.1
"""The SDK can crash the interpreter at exit with calls in flight (SDK issue 300)."""


@contextmanager
def floor_worker(address: str, slots: int) -> Generator[subprocess.Popen[bytes]]:
    """The worker in a process of its own. Raises BenchmarkFailed."""
    command = [sys.executable, "-P", "-m", "api.cli.benchmark.floor", address, str(slots)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=python_environment()) as process:
        if process.stdin is None or process.stdout is None:
            raise TypeError("the worker was started without pipes")
        try:
            if process.stdout.readline().strip() != b"ready":
                raise BenchmarkFailed("The floor's worker did not start; its error is above.")
            yield process
        finally:
            process.stdin.close()


class Floor:
    """Starts the floor's workflows and measures them, from a client in this process."""

    def __init__(self, runner: asyncio.Runner, client: Client) -> None:
        self._runner, self._client = runner, client

    @classmethod
    @contextmanager
    def connected(cls, address: str) -> Generator[Self]:
        """Connect for the length of the context."""
        with asyncio.Runner() as runner:
            yield cls(runner, runner.run(Client.connect(address)))
        gc.collect()
        time.sleep(_BRIDGE_REST_SECONDS)

    def sample(self) -> tuple[float, float]:
        """One workflow: milliseconds from its start to the activity's first instruction, and to its result."""
        return self._runner.run(self._sample())

    def run_many(self, count: int, starters: int) -> float:
        """Seconds that ``count`` workflows take, started by ``starters`` at a time."""
        return self._runner.run(self._run_many(count, starters))

    async def _sample(self) -> tuple[float, float]:
        wall, began = time.time_ns(), time.perf_counter()
        marked = await self._client.execute_workflow(FloorWorkflow.run, id=_new_id(), task_queue=_QUEUE)
        return (marked - wall) / 1e6, (time.perf_counter() - began) * 1e3

    async def _run_many(self, count: int, starters: int) -> float:
        began = time.perf_counter()
        todo = iter(range(count))

        async def start_some() -> list[WorkflowHandle[FloorWorkflow, int]]:
            # One iterator for all: each takes the next when it is free.
            return [await self._client.start_workflow(FloorWorkflow.run, id=_new_id(), task_queue=_QUEUE) for _ in todo]

        for handles in await asyncio.gather(*(start_some() for _ in range(starters))):
            for handle in handles:
                await handle.result()
        return time.perf_counter() - began


def _new_id() -> str:
    return f"{_QUEUE}-{uuid.uuid4()}"


async def _work(address: str, slots: int) -> None:
    client = await Client.connect(address)
    worker = Worker(
        client, task_queue=_QUEUE, workflows=[FloorWorkflow], activities=[mark], max_concurrent_activities=slots
    )
    async with worker:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Work until standard input ends."""
    asyncio.run(_work(sys.argv[1], int(sys.argv[2])))
    gc.collect()
    time.sleep(_BRIDGE_REST_SECONDS)


if __name__ == "__main__":
    main()
