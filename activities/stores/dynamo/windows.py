"""How far back a list's query looks, learned from the pages before. It only saves time: any answer here is right.

A first guess is made from how densely the last page's items (jobs, deployments, events) follow each other; where it
finds too little, it is widened 64 times, until it covers everything. That happens at once where a partition is known to
begin.
"""

from collections.abc import Sequence
from typing import Final

_FIRST_MS: Final = 10_000
_LEAST_MS: Final = 1_000
_FACTOR: Final = 64
_EVERYTHING_ABOVE_MS: Final = 90 * 24 * 3600 * 1000
_MAX_LISTS: Final = 1_000


class Windows:
    """What was learned, by list; beginnings by partition. A width of 0 stands for everything."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}
        self._beginnings: dict[str, int] = {}
        self._ms_per_item: dict[str, float] = {}

    def newest(self, name: str, now: int) -> int:
        """The time (ms) from which a first page looks back; what is newer is looked at in any case."""
        return min(now, self._newest.get(name, now))

    def width(self, name: str, limit: int) -> int:
        """How far back to look for a page of ``limit`` items, in ms."""
        spacing = self._ms_per_item.get(name)
        if spacing is None:
            return _FIRST_MS
        return _bounded(round(max(_LEAST_MS, 2 * limit * spacing))) if spacing else 0

    def oldest(self, partition: str, start: int, width: int) -> int:
        """The oldest time (ms) to ask for when looking back from ``start``; 0 for everything."""
        if not width or start - width < self._beginnings.get(partition, 0):
            return 0
        return max(0, start - width)

    @staticmethod
    def wider(width: int) -> int:
        """The width after one that found too little."""
        return _bounded(width * _FACTOR)

    def learn(self, name: str, times: Sequence[int], *, first: bool, complete: bool) -> None:
        """Take notice of a page: its items' times (ms), newest first. ``complete``: the list ended with it."""
        if len(self._ms_per_item) >= _MAX_LISTS:
            for learned in (self._newest, self._beginnings, self._ms_per_item):
                learned.clear()
        if first and complete:
            self._ms_per_item[name] = 0
        elif len(times) > 1:
            self._ms_per_item[name] = max(0.001, (times[0] - times[-1]) / (len(times) - 1))
        if first and times:
            self._newest[name] = times[0]

    def learn_beginning(self, partition: str, first: int) -> None:
        """Take notice of where a partition of a list begins: the time (ms) of its oldest item."""
        self._beginnings[partition] = first


def _bounded(width: int) -> int:
    return width if width < _EVERYTHING_ABOVE_MS else 0
