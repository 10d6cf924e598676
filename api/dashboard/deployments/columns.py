"""The columns of the matrix: environments of all services, those that are passed first on the left. Pure."""

from collections.abc import Sequence
from statistics import mean

from workflows.contracts.deployments.lanes import Lane


def environments_in_order(lanes: Sequence[Lane]) -> list[str]:
    """By where on the way they stand, on average; of equal ones first what more services have."""
    stands: dict[str, list[float]] = {}
    for lane in lanes:
        last = max(len(lane.places) - 1, 1)
        for number, place in enumerate(lane.places):
            at = 1.0 if place.final else number / last
            stands.setdefault(place.environment, []).append(at)
    return sorted(stands, key=lambda name: (mean(stands[name]), -len(stands[name]), name))
