"""Lanes: for each service what is live, on its way and in line, with what is expected by how long it took before.

A bounded read: one page of services, their environments in few requests, the records of what moves, and of each
environment where something does those of the last few versions. Pure but for ``lanes_of``.
Deliberately not here: the route (``lane_routes``); that a live version goes back, which its record alone tells.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Annotated, Final, Protocol

from fastapi import Depends

from api.ports import HasClock, HasDeploymentReader, provided
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentQuery,
    DeploymentStatus,
    DeploymentSummary,
    RollbackStatus,
    Stage,
    StageStatus,
)
from workflows.contracts.deployments.environments import EnvironmentState, Ticket
from workflows.contracts.deployments.lanes import InLine, Lane, LanePlace, Moving
from workflows.contracts.deployments.line import EnvironmentShown, LineState, shown
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import NotFound
from workflows.newest import Newest

PAST: Final = 5
"""By so many of the last versions it is said how long it usually takes."""
_REMEMBERED: Final = 20_000
MOST_COMING: Final = 100
MOST_RECORDS: Final = 200
"""Of one page: where more moves, some of it is shown without what only its record tells."""
_PHASES: Final = {
    "source": "looks for its commit",
    "definition": "reads its definition",
    "build": "builds",
    "test": "tests",
}
_DOING: Final = {
    StageStatus.PENDING: "comes",
    StageStatus.WAITING: "waits",
    StageStatus.DEPLOYING: "rolls out",
    StageStatus.VERIFYING: "verifies",
    StageStatus.PAUSED: "paused",
    StageStatus.DEPLOYED: "arrived",
    StageStatus.FAILED: "failed",
    StageStatus.ROLLED_BACK: "went back",
}
Records = Mapping[str, Deployment]


class RolloutTimes:
    """How long past rollouts took, by deployment and environment, in seconds: what is over does not change, so that a
    page that is asked for again reads no record of it again. One process's.
    """

    def __init__(self) -> None:
        self._seconds: Newest[tuple[str, str], float] = Newest(_REMEMBERED)

    def learn(self, records: Iterable[Deployment]) -> None:
        """From records, of those of their environments that they came through."""
        for record in records:
            for stage in record.stages:
                if stage.started_at is not None and stage.deployed_at is not None:
                    took = max(stage.deployed_at - stage.started_at, 0) / 1000
                    self._seconds[(record.deployment_id, stage.environment)] = took

    def knows(self, deployment_id: str, environment: str) -> bool:
        """Whether its record need not be read for it."""
        return (deployment_id, environment) in self._seconds

    def usual(self, deployment_ids: Iterable[str], environment: str) -> int | None:
        """The median of these, as far as they are known; None when none is."""
        found = (self._seconds.get((each, environment)) for each in deployment_ids)
        took = [each for each in found if each is not None]
        return round(median(took)) if took else None


class HasRolloutTimes(Protocol):
    """How long rollouts took."""

    @property
    def rollout_times(self) -> RolloutTimes:
        """One process's."""
        ...


class LanePorts(HasClock, HasDeploymentReader, HasRolloutTimes, Protocol):
    """Records, what is remembered of them, and the time."""


LanePortsDep = Annotated[LanePorts, Depends(provided)]


async def lanes_of(ports: LanePorts, services: Sequence[Service]) -> list[Lane]:
    """One for each service, in this order. Raises Unavailable."""
    reader = ports.deployments
    states, line, coming = await asyncio.gather(_states(ports, services), reader.line(), _coming(ports))
    here = {each.name for each in services}
    early = [each.deployment_id for each in coming if each.service_name in here]
    times = ports.rollout_times
    wanted = dict.fromkeys([*early, *(each for state in states.values() for each in _wanted(state, times))])
    records = await _records(ports, list(wanted)[:MOST_RECORDS])
    times.learn(records.values())
    now = ports.clock()
    return [
        _lane(each, states, line, [records[one] for one in early if one in records], records, times, now)
        for each in services
    ]


def doing(deployment: Deployment) -> str:
    """What it does now, in a few words."""
    rollback = deployment.rollback
    if rollback is not None and rollback.status is RollbackStatus.RUNNING:
        return f"goes back to {rollback.target_version or 'nothing'}"
    stage = deployment.stage(deployment.environment) if deployment.environment else None
    if stage is None or stage.status is StageStatus.PENDING:
        running = [name for name, timing in deployment.timings.items() if timing.ended_at is None]
        return _PHASES.get(running[-1], "runs") if running else "begins"
    percent = f", {stage.percent} %" if stage.percent is not None and stage.status is not StageStatus.DEPLOYED else ""
    return f"{_DOING[stage.status]}{percent}"


async def _coming(ports: LanePorts) -> list[DeploymentSummary]:
    """Those that have not begun yet. Mostly there is none, which the counters say at a quarter of the list's price."""
    reader, status = ports.deployments, DeploymentStatus.PENDING
    if not (await reader.stats()).by_status.get(status):
        return []
    return (await reader.list(DeploymentQuery(status=status, limit=MOST_COMING))).items


async def _states(ports: LanePorts, services: Sequence[Service]) -> dict[tuple[str, str], EnvironmentState]:
    """Those of the definition; all of a service that has none of its own yet."""
    keys = [(each.name, name) for each in services for name in each.spec.environment_names]
    unnamed = [each.name for each in services if not each.spec.environment_names]
    found = await asyncio.gather(
        ports.deployments.environments_of(keys), *(ports.deployments.environments(each) for each in unnamed)
    )
    return {(state.service_name, state.environment): state for states in found for state in states}


def _wanted(state: EnvironmentState, times: RolloutTimes) -> list[str]:
    """What its records tell beside its own: who is on the way, and how long it took before."""
    moving = state.holder is not None and not state.holder.live
    if not moving and not state.queue:
        return []
    own = [state.holder.deployment_id] if state.holder is not None and moving else []
    return [*own, *(each for each in _past(state) if not times.knows(each, state.environment))]


def _past(state: EnvironmentState) -> list[str]:
    return [live.deployment_id for live in state.history[:PAST] if live.deployment_id]


async def _records(ports: LanePorts, deployment_ids: Sequence[str]) -> dict[str, Deployment]:
    async def one(deployment_id: str) -> Deployment | None:
        try:
            return await ports.deployments.get(deployment_id)
        except NotFound:  # removed by age
            return None

    found = await asyncio.gather(*(one(each) for each in deployment_ids))
    return {each.deployment_id: each for each in found if each is not None}


def _lane(
    service: Service,
    states: Mapping[tuple[str, str], EnvironmentState],
    line: LineState,
    early: Sequence[Deployment],
    records: Records,
    times: RolloutTimes,
    now: int,
) -> Lane:
    names = service.spec.environment_names or sorted(name for owner, name in states if owner == service.name)
    places: list[LanePlace] = []
    for name in names:
        state = states.get((service.name, name)) or EnvironmentState(service_name=service.name, environment=name)
        seen = shown(state, line, service.spec.labels, now)
        places.append(_place(seen, records, times, now, final=name == names[-1]))
    known = {
        each.deployment_id for place in places for each in (*place.line, *([place.moving] if place.moving else []))
    }
    coming = [
        Moving(
            deployment_id=each.deployment_id,
            version=each.version,
            git_commit_sha=each.git_commit_sha,
            doing=doing(each),
            since=max((timing.started_at for timing in each.timings.values()), default=each.created_at),
            waits_for=each.waits_for,
        )
        for each in early
        if each.service_name == service.name and each.deployment_id not in known
    ]
    return Lane(service_name=service.name, coming=coming, places=places)


def _place(state: EnvironmentShown, records: Records, times: RolloutTimes, now: int, *, final: bool) -> LanePlace:
    usual = times.usual(_past(state), state.environment)
    moving = _moving(state, records, usual)
    stops = [stop for stop in state.line_stops if stop.in_force(now)]
    free_at = _free_at(state, moving, now)
    if state.hold is not None or any(stop.ends_at is None for stop in stops):
        free_at = None
    elif free_at is not None:
        free_at = max(free_at, state.frozen_until or 0, *(stop.ends_at or 0 for stop in stops))
    return LanePlace(
        environment=state.environment,
        final=final,
        live=state.live,
        moving=moving,
        line=_line(state.queue, free_at, usual),
        hold=state.hold,
        frozen_until=state.frozen_until if (state.frozen_until or 0) > now else None,
        frozen_by=state.frozen_by,
        stops=state.line_stops,
        usual_seconds=usual,
    )


def _moving(state: EnvironmentShown, records: Records, usual: int | None) -> Moving | None:
    holder = state.holder
    if holder is None or holder.live:
        return None
    record = records.get(holder.deployment_id)
    stage = None if record is None else record.stage(state.environment)
    since = holder.since if stage is None or stage.started_at is None else stage.started_at
    waits_for = None if stage is None else stage.waits_for
    back = _goes_back(record)
    return Moving(
        deployment_id=holder.deployment_id,
        version=holder.version,
        git_commit_sha=holder.git_commit_sha,
        doing="rolls out" if record is None else doing(record),
        percent=None if stage is None else _percent(stage),
        since=since,
        waits_for=waits_for,
        back=back,
        usual_seconds=None if back else usual,
        ends_at=since + usual * 1000 if usual is not None and not waits_for and not back else None,
    )


def _goes_back(record: Deployment | None) -> bool:
    return record is not None and record.rollback is not None and record.rollback.status is RollbackStatus.RUNNING


def _percent(stage: Stage) -> int | None:
    return None if stage.status in {StageStatus.PENDING, StageStatus.WAITING} else stage.percent


def _free_at(state: EnvironmentShown, moving: Moving | None, now: int) -> int | None:
    """When the turn should be free; a live version gives it away at once."""
    if moving is None:
        return now
    return None if moving.ends_at is None else max(moving.ends_at, now)


def _line(queue: Sequence[Ticket], free_at: int | None, usual: int | None) -> list[InLine]:
    """Whoever waits for an approval is passed by those that are ready."""
    found: list[InLine] = []
    begins = free_at
    for place, ticket in enumerate(queue, start=1):
        found.append(
            InLine(
                deployment_id=ticket.deployment_id,
                version=ticket.version,
                git_commit_sha=ticket.git_commit_sha,
                place=place,
                arrived_at=ticket.arrived_at,
                ready=ticket.ready,
                waits_for=ticket.waits_for,
                begins_at=begins if ticket.ready else None,
            )
        )
        if ticket.ready:
            begins = None if begins is None or usual is None else begins + usual * 1000
    return found
