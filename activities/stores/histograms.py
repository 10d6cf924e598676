"""Histograms of times: buckets that double, and percentiles of them. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

BUCKET_EDGES_MS: Final = tuple(10 * 2**power for power in range(27))
"""Upper edges (inclusive) of the histograms' buckets: 10 ms, doubling, to 7.8 days (a job's longest timeout is 7)."""


def bucket_of(milliseconds: int) -> int:
    """The bucket of a time. It may be below zero where its two moments come from two machines' clocks."""
    return min(bisect_left(BUCKET_EDGES_MS, max(0, milliseconds)), len(BUCKET_EDGES_MS) - 1)


def percentile_seconds(histogram: Sequence[int], percent: int) -> float | None:
    """The upper edge of the bucket that holds the percentile; None when nothing was counted."""
    samples, seen = sum(histogram), 0
    for edge, count in zip(BUCKET_EDGES_MS, histogram, strict=True):
        seen += count
        if seen and seen * 100 >= samples * percent:
            return edge / 1000
    return None
