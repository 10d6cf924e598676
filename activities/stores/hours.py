"""The hours of a day, kept in the day's counter: jobs created, completed and failed, their waits, and how many more
jobs are open at an hour's end than at its begin. Pure.

The names are short (``h07c``), since every write of the counter costs by its size; a day's hours take about 2 kB. A
wait is the one of the attempt that ended the job, in the hour in which it ended. A job is **open** while it is queued
or runs. Hours are in UTC. Exact as all counters are: they move in the record's transaction, under its footprint.

Deliberately not here: which write moves which counter (``statistics``), how many jobs were open at an hour's end
(``activities.jobs.history``).
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from activities.stores.histograms import BUCKET_EDGES_MS, bucket_of, percentile_seconds
from workflows.contracts.records import HourStats

_NAMES: Final[Mapping[str, str]] = {"created": "c", "completed": "d", "failed": "f", "opened": "o"}
_MEDIAN, _HIGH = 50, 95
_HOUR_MS: Final = 3_600_000


def hour_counter(milliseconds: int, event: str) -> str:
    """The counter of ``created``, ``completed``, ``failed`` or ``opened`` in the hour of a moment."""
    return f"h{_hour(milliseconds):02d}{_NAMES[event]}"


def wait_counter(milliseconds: int, wait_ms: int) -> str:
    """The counter of waits about as long as this one, in the hour of a moment."""
    return f"h{_hour(milliseconds):02d}w{bucket_of(wait_ms):02d}"


def hours_of(day: str, counters: Mapping[str, int]) -> list[HourStats]:
    """The hours of a day (``YYYY-MM-DD``) of which its counter knows something, in their order."""
    begin = round(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)
    return [_of(begin + hour * _HOUR_MS, f"h{hour:02d}", counters) for hour in sorted(set(_known(counters)))]


def _of(at: int, prefix: str, counters: Mapping[str, int]) -> HourStats:
    waits = [counters.get(f"{prefix}w{bucket:02d}", 0) for bucket in range(len(BUCKET_EDGES_MS))]
    return HourStats(
        at=at,
        created=counters.get(f"{prefix}c", 0),
        completed=counters.get(f"{prefix}d", 0),
        failed=counters.get(f"{prefix}f", 0),
        opened=counters.get(f"{prefix}o", 0),
        p50_wait_seconds=percentile_seconds(waits, _MEDIAN),
        p95_wait_seconds=percentile_seconds(waits, _HIGH),
    )


def _known(counters: Mapping[str, int]) -> Iterator[int]:
    return (int(name[1:3]) for name in counters if name[0] == "h" and name[1:3].isdigit())


def _hour(milliseconds: int) -> int:
    return milliseconds // _HOUR_MS % 24
