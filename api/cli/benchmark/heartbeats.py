"""What an agent's heartbeat costs the API: CPU time of its process, from the bytes on the wire to the stored record.

Every agent beats once in a round, over a few kept connections, each with a token of its own; each round is followed by
a pause in which its heartbeats are stored, so that each of them is. What the processes use while nobody asks is taken
off.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

from api.cli.benchmark.own_stack import OwnStack
from api.cli.benchmark.report import HeartbeatFigures
from api.cli.benchmark.usage import CpuMeter
from api.cli.benchmark.wire import Api
from workflows.contracts.agents import HEARTBEAT_SECONDS, STORE_WITHIN_SECONDS

_CONNECTIONS: Final = 4
_POOL: Final = "bench"
_IDLE_SECONDS: Final = 3.0
_MANY: Final = 10_000
"""Agents for which is extrapolated."""


def measure_heartbeats(stack: OwnStack, agents: int, rounds: int, say: Callable[[str], None]) -> HeartbeatFigures:
    """The cost of a heartbeat with so many agents, on a stack with nothing to do. Raises BenchmarkFailed."""
    with ExitStack() as context:
        lines = [context.enter_context(stack.api()) for _ in range(_CONNECTIONS)]
        tokens = [lines[0].register_agent(registration_of(number)) for number in range(agents)]
        say(f"heartbeats: {agents} agents registered")
        _beat(lines, tokens, 1)
        processes = {name: stack.processes()[name] for name in ("api", "aws")}
        with CpuMeter(processes) as idle:
            time.sleep(_IDLE_SECONDS)
        began = time.monotonic()
        with CpuMeter(processes) as meter:
            for number in range(rounds):
                _beat(lines, tokens, number + 2)
        periods = (time.monotonic() - began) / _IDLE_SECONDS
    sent, resting = agents * rounds, idle.ms_per(1)
    cost = {name: round(max(0.0, used - resting[name] * periods) / sent, 2) for name, used in meter.ms_per(1).items()}
    many = _MANY / HEARTBEAT_SECONDS * cost["api"] / 1000 * 100
    say(f"heartbeats: {sent} sent")
    return HeartbeatFigures(agents=agents, heartbeats=sent, cpu_ms=cost, many=_MANY, many_cpu_percent=round(many, 1))


def _beat(lines: Sequence[Api], tokens: Sequence[str], sequence: int) -> None:
    for number, token in enumerate(tokens):
        lines[number % len(lines)].heartbeat(name_of(number), body_of(sequence), token)
    time.sleep(STORE_WITHIN_SECONDS + 0.5)  # there is nothing to ask that would not be measured too


def body_of(sequence: int) -> bytes:
    """A heartbeat as an agent at work sends it."""
    body = {
        "sequence": sequence, "at": round(time.time() * 1000), "cpu_percent": 12.5, "memory_percent": 40.1,
        "disk_percent": 61.0, "load": 0.42, "running": ["5f0c1f86-0a52-4a55-b7d1-0d5b8a0e2b11"], "accepting": True,
        "version": "1.0", "labels": {"os": "linux", "arch": "x86_64"}, "region": "eu",
    }  # fmt: skip
    return json.dumps(body).encode()


def registration_of(number: int) -> dict[str, object]:
    """The registration of the agent of this number."""
    return {
        "agent_id": name_of(number), "instance": f"bench-{number:08}", "pool": _POOL, "capacity": 4,
        "labels": {"os": "linux", "arch": "x86_64"}, "region": "eu", "hostname": f"host-{number}", "version": "1.0",
    }  # fmt: skip


def name_of(number: int) -> str:
    """The id of the agent of this number."""
    return f"bench-{number}"
