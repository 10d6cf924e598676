"""CPU time and memory of a stack's processes, by the name of each part; what a part started counts as the part's."""

from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import psutil

ALONE: Final = frozenset({"up", "client"})
"""Parts whose children are parts of their own."""
_MIB: Final = 1 << 20


class CpuMeter:
    """CPU time that named processes use, with all they start, while the context is entered."""

    def __init__(self, processes: Mapping[str, psutil.Process]) -> None:
        self._processes = processes
        self._before: dict[str, float] = {}
        self._used = dict.fromkeys(processes, 0.0)

    def __enter__(self) -> Self:
        self._before = self._seconds()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name, seconds in self._seconds().items():
            self._used[name] += max(0.0, seconds - self._before[name])

    def ms_per(self, count: int) -> dict[str, float]:
        """Milliseconds per job, by part."""
        return {name: round(seconds * 1000 / count, 2) for name, seconds in self._used.items()}

    def _seconds(self) -> dict[str, float]:
        return {name: _cpu_seconds(name, process) for name, process in self._processes.items()}


def resident_mib(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    """Resident memory by part, in MiB. What processes share is counted with each, so the sum is an upper bound."""
    return {name: round(_resident(name, process) / _MIB, 1) for name, process in processes.items()}


def _resident(name: str, process: psutil.Process) -> int:
    return sum(each.memory_info().rss for each in _part(name, process))


def _cpu_seconds(name: str, process: psutil.Process) -> float:
    # The first four: user, system, and the same of children that have ended and were waited for.
    return sum(sum(each.cpu_times()[: 2 if name in ALONE else 4]) for each in _part(name, process))


def _part(name: str, process: psutil.Process) -> list[psutil.Process]:
    return [process] if name in ALONE else [process, *process.children(recursive=True)]
