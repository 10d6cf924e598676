"""Which demands for labels a pool's agents are told of, the same for every store."""

from collections.abc import Iterable, Sequence
from typing import Final

from workflows.contracts.agents import RequirementDemand

KEPT_SECONDS: Final = 7 * 24 * 3600
AT_MOST: Final = 100


def kept_demands(known: Iterable[tuple[Sequence[str], int]], now: int) -> list[RequirementDemand]:
    """From (requirements, last used at) to the demands that still count, the latest first. Times in ms."""
    oldest = now - KEPT_SECONDS * 1000
    recent = sorted(((at, list(requires)) for requires, at in known if at >= oldest), reverse=True)
    return [RequirementDemand(requires=requires, last_used_at=at) for at, requires in recent[:AT_MOST]]
