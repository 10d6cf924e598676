"""Heartbeats with connections as a fleet uses them: each agent keeps one of its own and beats in its turn.

The same again with a new connection for each heartbeat shows what keeping them saves. The pace is the one that the API
asks for. Deliberately not here: what a heartbeat costs the API over few connections (``heartbeats``).
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

from api.cli.benchmark.heartbeats import body_of, name_of, registration_of
from api.cli.benchmark.own_stack import OwnStack
from api.cli.benchmark.report import FleetFigures, FleetRun, Times
from api.cli.benchmark.usage import CpuMeter, resident_mib
from api.cli.benchmark.wire import Api
from workflows.contracts.agents import HEARTBEAT_SECONDS, STORE_WITHIN_SECONDS

_A_SECOND: Final = 50
"""Heartbeats that one API process asks for until each agent beats every HEARTBEAT_SECONDS only."""
_IDLE_SECONDS: Final = 5.0


def measure_fleet(stack: OwnStack, agents: int, rounds: int, say: Callable[[str], None]) -> FleetFigures:
    """So many agents, each with a connection of its own, on a stack with nothing to do. Raises BenchmarkFailed."""
    seconds = min(HEARTBEAT_SECONDS, agents / _A_SECOND)
    with ExitStack() as context:
        lines = [context.enter_context(stack.api()) for _ in range(agents)]
        tokens = [line.register_agent(registration_of(number)) for number, line in enumerate(lines)]
        say(f"fleet: {agents} agents registered, each on a connection of its own")
        fleet = _Agents(stack, lines, tokens, seconds)
        fleet.beat(keep=True)
        idle = fleet.idle_ms_per_second()
        kept, new = (fleet.run(rounds, idle, keep=keep) for keep in (True, False))
        mib = resident_mib({"api": stack.processes()["api"]})["api"]
    say(f"fleet: {2 * agents * rounds} heartbeats sent")
    return FleetFigures(agents=agents, seconds=round(seconds, 1), kept=kept, new=new, api_mib=mib)


class _Agents:
    def __init__(self, stack: OwnStack, lines: Sequence[Api], tokens: Sequence[str], seconds: float) -> None:
        self._api = {"api": stack.processes()["api"]}
        self._lines, self._tokens, self._seconds = lines, tokens, seconds
        self._sequence = 0

    def idle_ms_per_second(self) -> float:
        """What the API uses while nobody asks."""
        with CpuMeter(self._api) as meter:
            time.sleep(_IDLE_SECONDS)  # rest itself is what is measured
        return meter.ms_per(1)["api"] / _IDLE_SECONDS

    def run(self, rounds: int, idle: float, *, keep: bool) -> FleetRun:
        """Some rounds and until the last heartbeat is stored."""
        took: list[float] = []
        began = time.monotonic()
        with CpuMeter(self._api) as meter:
            for _ in range(rounds):
                took += self.beat(keep=keep)
            time.sleep(STORE_WITHIN_SECONDS + 0.5)  # there is nothing to ask that would not be measured too
        used = meter.ms_per(1)["api"] - idle * (time.monotonic() - began)
        return FleetRun(cpu_ms=round(max(0.0, used) / len(took), 2), answered=Times.of(took))

    def beat(self, *, keep: bool) -> list[float]:
        """Each agent once, one after the other, spread over the interval; the milliseconds to each answer."""
        self._sequence += 1
        began, took = time.monotonic(), list[float]()
        for number, (line, token) in enumerate(zip(self._lines, self._tokens, strict=True)):
            time.sleep(max(0.0, began + number * self._seconds / len(self._lines) - time.monotonic()))
            asked = time.perf_counter()
            if not keep:
                line.hang_up()
            line.heartbeat(name_of(number), body_of(self._sequence), token)
            took.append((time.perf_counter() - asked) * 1000)
        return took
