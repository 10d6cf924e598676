"""Reading with few and with many jobs stored: two stacks without agents, asked in turns."""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from api.cli.benchmark.own_stack import OwnStack, own_stack
from api.cli.benchmark.report import Reads, Times
from api.cli.benchmark.seed import job_id_of
from api.cli.benchmark.usage import resident_mib
from api.cli.benchmark.wire import JOBS, STATS, Api, BenchmarkFailed

_WARM_UP: Final = 20
_PAGE: Final = 100


def measure_reads(folder: Path, stored: Sequence[int], samples: int, say: Callable[[str], None]) -> list[Reads]:
    """One result for each number of stored jobs. Raises BenchmarkFailed."""
    with ExitStack() as context:
        stacks = [
            context.enter_context(own_stack(folder / f"stored-{count}", agents=0, capacity=1)) for count in stored
        ]
        for stack, count in zip(stacks, stored, strict=True):
            _fill(stack, count, say)
        apis = [context.enter_context(stack.api()) for stack in stacks]
        readers = [_Reader(api, count) for api, count in zip(apis, stored, strict=True)]
        for number in range(-min(_WARM_UP, samples), samples):
            for reader in readers:
                reader.sample(keep=number >= 0)
        say(f"reads: {samples} samples of each")
        memory = [sum(resident_mib(stack.processes()).values()) for stack in stacks]
        return [reader.result(mib) for reader, mib in zip(readers, memory, strict=True)]


class _Reader:
    """Asks one stack."""

    def __init__(self, api: Api, stored: int) -> None:
        self._api, self._stored = api, stored
        self._choice = random.Random(stored)  # noqa: S311 - a sample, not a secret
        self._times: dict[str, list[float]] = {"get": [], "list_page": [], "stats": []}

    def sample(self, *, keep: bool) -> None:
        """Ask each question once."""
        job_id = job_id_of(self._choice.randrange(self._stored))
        paths = {"get": f"{JOBS}/{job_id}", "list_page": f"{JOBS}?limit={_PAGE}", "stats": STATS}
        for name, path in paths.items():
            began = time.perf_counter()
            self._api.read(path)
            if keep:
                self._times[name].append((time.perf_counter() - began) * 1e3)

    def result(self, resident: float) -> Reads:
        """What was measured."""
        times = {name: Times.of(samples) for name, samples in self._times.items()}
        return Reads(stored=self._stored, resident_mib=round(resident, 1), **times)


def _fill(stack: OwnStack, count: int, say: Callable[[str], None]) -> None:
    """In a process with the control worker's settings."""
    began = time.monotonic()
    command = [sys.executable, "-P", "-m", "api.cli.benchmark.seed", str(count)]
    done = subprocess.run(command, env=dict(stack.environment("worker")), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkFailed(f"{count} jobs could not be stored: {done.stderr[-2000:]}")
    with stack.api() as api:
        total = api.stats()["total"]
    if total != count:
        raise BenchmarkFailed(f"{count} jobs were stored, but the counters say {total}.")
    say(f"reads: {count:,} jobs stored in {time.monotonic() - began:.0f} s")
