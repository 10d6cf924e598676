"""How busy this agent's host is. A container counts what its kernel tells it."""

from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Measures:
    """Percentages, at most 100. ``cpu``: since the last time; ``load``: of the last minute."""

    cpu: float
    memory: float
    disk: float
    load: float


def measure(directory: Path) -> Measures:
    """Now; ``disk`` is the file system that this directory is on. Blocking: a dead network disk does not answer."""
    return Measures(
        cpu=_percent(psutil.cpu_percent()),
        memory=_percent(psutil.virtual_memory().percent),
        disk=_percent(psutil.disk_usage(str(directory)).percent),
        load=round(psutil.getloadavg()[0], 2),
    )


def _percent(value: float) -> float:
    return round(min(100.0, max(0.0, value)), 1)
