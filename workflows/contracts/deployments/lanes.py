"""A service's lane: its environments in the order in which a version passes them; what is live, on its way, in line.

All times are epoch milliseconds, all durations seconds. What is expected is worked out from how long it took the last
times; where nothing is known of that, nothing is said. Deliberately not here: working it out (``api.environments``).
"""

from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.environments import Hold, LiveVersion
from workflows.contracts.deployments.line import LineStop
from workflows.contracts.fields import Millis


class Moving(Tolerant):
    """A version on its way. ``doing`` in words (``rolls out, 50 %``), ``since`` then; ``back``: it goes back.

    ``usual_seconds``: how long this usually takes here; ``ends_at``: when it should be through, None while it waits for
    something or nobody can tell.
    """

    deployment_id: str
    version: str
    git_commit_sha: str = ""
    doing: str
    percent: int | None = None
    since: Millis | None = None
    waits_for: str | None = None
    back: bool = False
    usual_seconds: int | None = None
    ends_at: Millis | None = None


class InLine(Tolerant):
    """A version that waits for its turn. ``place`` counts from 1; ``begins_at``: when its turn should come, None while
    it is stopped, waits for an approval, or nobody can tell.
    """

    deployment_id: str
    version: str
    git_commit_sha: str = ""
    place: int
    arrived_at: Millis
    ready: bool
    waits_for: str | None = None
    begins_at: Millis | None = None


class LanePlace(Tolerant):
    """One environment of a lane. ``stops``: freezes and holds of many services that concern it, not over yet.

    ``final``: here a version becomes live for good. ``usual_seconds``: of a rollout here, the median of the last few.
    """

    environment: str
    final: bool = False
    live: LiveVersion | None = None
    moving: Moving | None = None
    line: list[InLine]
    hold: Hold | None = None
    frozen_until: Millis | None = None
    frozen_by: str | None = None
    stops: list[LineStop]
    usual_seconds: int | None = None


class Lane(Tolerant):
    """One service. ``coming``: what has reached no environment yet: it is being built or tested."""

    service_name: str
    coming: list[Moving]
    places: list[LanePlace]


class LanePage(Tolerant):
    """One page of lanes, by the services' names."""

    items: list[Lane]
    next_cursor: str | None = None
