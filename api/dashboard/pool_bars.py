"""Pools as the first page draws them: what waits by priority, which slots are busy. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from api.dashboard.drawings.bars import BarPart, row
from workflows.contracts.agents import PoolView
from workflows.contracts.statuses import Priority

_TONES: Final = {Priority.CRITICAL: "bad", Priority.HIGH: "wait", Priority.NORMAL: "busy", Priority.LOW: "idle"}


@dataclass(frozen=True, slots=True)
class PoolBar:
    """A pool, what of it waits in words and drawn, and its slots drawn."""

    pool: PoolView
    words: str
    queue: Markup
    slots: Markup


def pool_bars(pools: Sequence[PoolView]) -> list[PoolBar]:
    """Of all pools on one scale, those that wait longest first."""
    most = max((pool.waiting for pool in pools), default=0)
    slots = max((pool.slots for pool in pools), default=0)
    ordered = sorted(pools, key=lambda pool: (-pool.oldest_wait_seconds, -pool.waiting, pool.name))
    return [_bar(pool, most, slots) for pool in ordered]


def _bar(pool: PoolView, most: int, slots: int) -> PoolBar:
    waiting = [(priority, pool.depth.get(priority.value, 0)) for priority in Priority]
    words = ", ".join(f"{count} {priority.value.lower()}" for priority, count in waiting if count)
    queue = row([BarPart(count, _TONES[priority]) for priority, count in waiting], most)
    return PoolBar(
        pool, words or "nothing waits", queue, row([BarPart(pool.busy, "busy"), BarPart(pool.free, "idle")], slots)
    )
