"""What the agents' gateway adds to a dispatch: the same activity, by turns with and without it between.

``python -m api.cli.benchmark.gateway`` is the worker, one process for both ways, so that nothing but the gateway
differs. It is told where to connect on standard input, for a token is among it, says "ready", and ends with its input.
"""

import asyncio
import gc
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

from temporalio.client import Client
from temporalio.service import TLSConfig
from temporalio.worker import Worker

from api.cli.benchmark.floor_workflow import QueueFloorWorkflow, mark
from api.cli.benchmark.own_stack import OwnStack
from api.cli.benchmark.report import GatewayLatency, Times
from api.cli.benchmark.wire import BenchmarkFailed
from api.cli.stack.launching import python_environment
from workflows.contracts.ids import pool_queue

_POOL: Final = "benchmark"
_QUEUE: Final = "benchmark-gateway"
_DIRECT: Final = "benchmark-direct"
_WARM_UP: Final = 10
_REST_SECONDS: Final = 0.02
_BRIDGE_REST_SECONDS: Final = 0.1
"""The SDK can crash the interpreter at exit with calls in flight (SDK issue 300)."""


@dataclass(frozen=True, slots=True, repr=False)
class _Places:
    """Where the worker connects."""

    temporal: str
    gateway: str
    ca_pem: str
    token: str


def measure_gateway(stack: OwnStack, samples: int, say: Callable[[str], None]) -> GatewayLatency:
    """``samples`` of each way, one of each in turn. Raises BenchmarkFailed."""
    with _worker(_registered(stack)):
        took = asyncio.run(_measure(stack.options.temporal_address, samples, say))
    gc.collect()
    time.sleep(_BRIDGE_REST_SECONDS)
    return GatewayLatency(direct=Times.of(took[_DIRECT]), gateway=Times.of(took[pool_queue(_POOL)]))


async def _measure(address: str, samples: int, say: Callable[[str], None]) -> dict[str, list[float]]:
    client = await Client.connect(address)
    took: dict[str, list[float]] = {_DIRECT: [], pool_queue(_POOL): []}
    for number in range(-min(_WARM_UP, samples), samples):
        for queue, milliseconds in took.items():
            began = time.time_ns()
            marked = await client.execute_workflow(
                QueueFloorWorkflow.run, queue, id=f"{_QUEUE}-{uuid.uuid4()}", task_queue=_QUEUE
            )
            if number >= 0:
                milliseconds.append((marked - began) / 1e6)
            await asyncio.sleep(_REST_SECONDS)
        if number % 50 == 0:
            say(f"gateway: {number} of {samples}")
    return took


def _registered(stack: OwnStack) -> _Places:
    registration = {"agent_id": "benchmark", "instance": uuid.uuid4().hex, "pool": _POOL}
    with stack.api() as api:
        answer = api.enrol(registration)
    gateway = answer["gateway"]
    return _Places(stack.options.temporal_address, gateway["address"], gateway["ca_pem"], answer["token"])


@contextmanager
def _worker(places: _Places) -> Generator[None]:
    command = [sys.executable, "-P", "-m", "api.cli.benchmark.gateway"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=python_environment()) as process:
        if process.stdin is None or process.stdout is None:
            raise TypeError("the worker was started without pipes")
        try:
            process.stdin.write(json.dumps(asdict(places)).encode() + b"\n")
            process.stdin.flush()
            if process.stdout.readline().strip() != b"ready":
                raise BenchmarkFailed("The worker of the gateway's part did not start; its error is above.")
            yield
        finally:
            process.stdin.close()


async def _work(places: _Places) -> None:
    direct = await Client.connect(places.temporal)
    tls = TLSConfig(server_root_ca_cert=places.ca_pem.encode())
    through = await Client.connect(places.gateway, api_key=places.token, tls=tls)
    async with (
        Worker(direct, task_queue=_QUEUE, workflows=[QueueFloorWorkflow]),
        Worker(direct, task_queue=_DIRECT, activities=[mark]),
        Worker(through, task_queue=pool_queue(_POOL), activities=[mark]),
    ):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Work until standard input ends."""
    asyncio.run(_work(_Places(**json.loads(sys.stdin.readline()))))
    gc.collect()
    time.sleep(_BRIDGE_REST_SECONDS)


if __name__ == "__main__":
    main()
