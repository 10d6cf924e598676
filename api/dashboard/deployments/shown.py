"""All that the page of a deployment shows, asked of the API in two rounds.

Deliberately not here: how it looks (``templates/deployments``).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from api.bans.schemas import BanOut, Bans
from api.dashboard.deployments.commands import position, where
from api.dashboard.deployments.forges import commit_page, comparison
from api.dashboard.deployments.measured import Measured, measured_of
from api.dashboard.deployments.rolling_back import RollbackOffer, offer, with_targets_steps
from api.dashboard.deployments.way import Stretch, WayPhase, box_of, frames_of, in_a_sentence, way_back, way_of
from api.dashboard.drawings.phases import phases
from api.dashboard.inside import Inside, RefusedByApi
from api.deployments.approval import WantedApproval
from api.jobs.schemas import ShownJob
from api.services.schemas import EnvironmentStates
from workflows.contracts.audit.events import AuditEvent, EventPage
from workflows.contracts.audit.types import EventType
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentStatus,
    RollbackStatus,
    Stage,
    StageStatus,
)
from workflows.contracts.deployments.lanes import LanePage, LanePlace
from workflows.contracts.deployments.line import EnvironmentShown
from workflows.contracts.deployments.rollouts import Leg, legs_of
from workflows.contracts.deployments.services import Environment
from workflows.contracts.ids import is_uuid
from workflows.contracts.jobs import Step

MEANS: Final = {each.value: each.means for each in EventType}
_EVENTS: Final = 100
_JOBS: Final = 12
_SETTLED: Final = frozenset({StageStatus.DEPLOYED, StageStatus.FAILED, StageStatus.ROLLED_BACK})


@dataclass(frozen=True, slots=True)
class ShownDeployment:
    """``where`` it stands (an environment), that one's ``state`` and ``rules``, its own ``stage`` there.

    ``approval``: where one is waited for. ``events``: the oldest first, ``more_events``: there are earlier ones.
    ``meanwhile``: what happened since a page was shown that is refused now. ``usual_seconds``, ``turn_at``: of its
    lane. ``moves``: something may change without an event. ``back_steps``: what a rollback runs.
    """

    deployment: Deployment
    where: str | None
    stage: Stage | None
    rules: Environment | None
    state: EnvironmentShown | None
    legs: Sequence[Stretch]
    back: WayPhase | None
    drawing: Markup
    sentence: str
    approval: WantedApproval | None
    rollout: Sequence[Leg]
    measured: Sequence[Measured]
    jobs: Sequence[ShownJob]
    rollback: RollbackOffer | None
    back_steps: Sequence[Step] | None
    bans: Sequence[BanOut]
    events: Sequence[AuditEvent]
    more_events: bool
    meanwhile: Sequence[AuditEvent]
    comparison: str | None
    commit_page: str | None
    usual_seconds: int | None
    turn_at: int | None
    position: str
    moves: bool
    means: dict[str, str]


async def shown_deployment(api: Inside, deployment_id: str, *, since: int | None = None) -> ShownDeployment:
    """``since``: when the page was shown whose form is refused, epoch ms. Raises RefusedByApi."""
    own = f"/api/dashboard/deployments/{deployment_id}"
    found = await api.get(own, Deployment)
    service, place = f"/api/dashboard/services/{found.service_name}", where(found)
    (events, approval), (states, bans, stop), (measured, jobs) = await asyncio.gather(
        asyncio.gather(
            api.get(f"{own}/events", EventPage, {"limit": _EVENTS}),
            _approval(api, own, found),
        ),
        asyncio.gather(_states(api, service), _bans(api, service), _lane_place(api, found)),
        asyncio.gather(measured_of(api, found, found.environment), _jobs(api, found)),
    )
    last = found.stages[-1].environment if found.stages else None
    state = states.get(place or "")
    going_back = offer(found, states.get(last or ""))
    legs, back = way_of(found), way_back(found)
    sentence = in_a_sentence(legs, back)
    stage = found.stage(place) if place else None
    rules = next((each for each in found.definition.environments if each.name == place), None)
    live = None if state is None or state.live is None or state.live.deployment_id == deployment_id else state.live
    return ShownDeployment(
        deployment=found,
        where=place,
        stage=stage,
        rules=rules,
        state=state,
        legs=legs,
        back=back,
        drawing=phases("way", f"The way of {found.version}", sentence, frames_of(legs), box_of(back)),
        sentence=sentence,
        approval=approval,
        rollout=[] if rules is None or rules.external else legs_of(rules.rollout),
        measured=measured,
        jobs=jobs,
        rollback=going_back,
        back_steps=await _back_steps(api, going_back),
        bans=[each for each in bans if found.version == each.version or found.git_commit_sha == each.git_commit_sha],
        events=events.items[::-1],
        more_events=events.next_cursor is not None,
        meanwhile=[each for each in events.items[::-1] if since is not None and each.at > since and not each.refused],
        comparison=comparison(found.git_repo, None if live is None else live.git_commit_sha, found.git_commit_sha),
        commit_page=commit_page(found.git_repo, found.git_commit_sha),
        usual_seconds=None if stop is None else stop.usual_seconds,
        turn_at=_turn_at(stop, deployment_id),
        position=position(found),
        moves=_moves(found),
        means=MEANS,
    )


async def _approval(api: Inside, own: str, deployment: Deployment) -> WantedApproval | None:
    """None where nothing can wait for one, which is most of the time."""
    stage = deployment.stage(deployment.environment) if deployment.environment else None
    waits = stage is not None and stage.status is StageStatus.WAITING and stage.approval_expires_at is not None
    if not waits or deployment.closed:
        return None
    found = await api.get(f"{own}/approval", WantedApproval)
    return found if found.waits else None


def _moves(deployment: Deployment) -> bool:
    if deployment.rollback is not None and deployment.rollback.status is RollbackStatus.RUNNING:
        return True
    stage = deployment.stage(deployment.environment) if deployment.environment else None
    under_way = stage is None or stage.status not in {*_SETTLED, StageStatus.WAITING}
    return under_way and not deployment.closed


async def _states(api: Inside, service: str) -> dict[str, EnvironmentShown]:
    """None of a service that was deleted: its deployments stay."""
    try:
        return {each.environment: each for each in (await api.get(f"{service}/environments", EnvironmentStates)).items}
    except RefusedByApi as refused:
        if refused.problem.status != 404:
            raise
        return {}


async def _lane_place(api: Inside, deployment: Deployment) -> LanePlace | None:
    """What is expected where it stands, as long as it is on its way."""
    if deployment.status.final or deployment.status is DeploymentStatus.LIVE:
        return None
    try:
        lanes = await api.get("/api/dashboard/lanes", LanePage, {"service_name": deployment.service_name})
    except RefusedByApi as refused:
        if refused.problem.status != 404:
            raise
        return None
    places = [place for lane in lanes.items for place in lane.places]
    return next((place for place in places if place.environment == where(deployment)), None)


def _turn_at(place: LanePlace | None, deployment_id: str) -> int | None:
    waiting = [] if place is None else place.line
    return next((each.begins_at for each in waiting if each.deployment_id == deployment_id), None)


async def _bans(api: Inside, service: str) -> Sequence[BanOut]:
    try:
        return (await api.get(f"{service}/bans", Bans)).items
    except RefusedByApi as refused:
        if refused.problem.status != 404:
            raise
        return []


async def _jobs(api: Inside, deployment: Deployment) -> list[ShownJob]:
    """Its last ones, the oldest first: of its stages and its rollback. Some are another CI's, some removed by age."""
    early = [getattr(deployment, f"{name}_job_id") for name in ("source", "definition", "build", "test")]
    ids: list[str] = [each for each in early if each]
    ids += [each for stage in deployment.stages for each in stage.job_ids]
    ids += [] if deployment.rollback is None else deployment.rollback.job_ids
    ids = [each for each in ids if is_uuid(each)]  # what another CI calls its jobs can be anything

    async def one(job_id: str) -> ShownJob | None:
        try:
            return await api.get(f"/api/dashboard/jobs/{job_id}", ShownJob)
        except RefusedByApi:
            return None

    found = await asyncio.gather(*(one(each) for each in dict.fromkeys(ids[-_JOBS:])))
    return [each for each in found if each is not None]


async def _back_steps(api: Inside, found: RollbackOffer | None) -> Sequence[Step] | None:
    if found is None or found.steps is not None or found.target_id is None:
        return None if found is None else found.steps
    try:
        target = await api.get(f"/api/dashboard/deployments/{found.target_id}", Deployment)
    except RefusedByApi:
        return None
    return with_targets_steps(found, target)
