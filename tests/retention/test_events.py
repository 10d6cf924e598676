"""Which events must stay when segments go, and how a sweep asks for it."""

from dataclasses import dataclass, field

from activities.retention.events import Keeps, SealedEvents
from activities.retention.needed import NeededDeployments
from tests.retention.house import House
from tests.stores.releases import make_event
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.feed import FeedRow
from workflows.contracts.deployments.deployment import DeploymentStatus
from workflows.contracts.statuses import JobStatus
from workflows.contracts.storage.retention import SweepPlace


@dataclass(frozen=True)
class Done:
    events: int = 0
    segments: int = 0
    kept: int = 0
    next_seal: int | None = None


@dataclass
class Segments:
    """Stands for ``activities.evidence.removal``: one segment for each event."""

    events: list[AuditEvent]
    next_seal: int | None = None
    asked: list[tuple[int, int, bool]] = field(default_factory=list[tuple[int, int, bool]])

    async def __call__(self, older_than: int, keeps: Keeps, budget: int, *, start: int, dry_run: bool) -> Done:
        self.asked.append((older_than, start, dry_run))
        rows = [FeedRow(shard=0, sequence=1, subject="s", number=1, event=event) for event in self.events]
        kept = [await keeps(row) for row in rows]
        return Done(kept.count(False), kept.count(False), kept.count(True), self.next_seal)


async def test_events_of_what_is_live_or_waits_stay(house: House) -> None:
    live = await house.deployment(400, DeploymentStatus.LIVE)
    target, old = await house.deployment(500), await house.deployment(600)
    await house.environment([live, target])
    parked, ended = await house.job(400, status=JobStatus.DEAD_LETTERED), await house.job(400)
    stay = [
        make_event(deployment_id=live.deployment_id), make_event(deployment_id=target.deployment_id),
        make_event(job_id=parked.job_id), make_event(job_id=ended.job_id, deployment_id=live.deployment_id),
    ]  # fmt: skip
    go = [
        make_event(deployment_id=old.deployment_id), make_event(job_id=ended.job_id), make_event(agent_id="a"),
        make_event(job_id="gone", deployment_id="gone"),
    ]  # fmt: skip
    stores = house.stores
    segments = Segments([*stay, *go], next_seal=7)
    needed = NeededDeployments(stores.deployments, stores.environments, 10)
    events = SealedEvents(segments, stores.jobs, stores.deployments, needed)
    swept = await events.sweep(house.now, SweepPlace(), dry_run=False)
    assert (swept.removed, swept.looked_at, swept.more, swept.place.front) == (4, 8, True, "7")
    segments.next_seal = None
    again = await events.sweep(house.now, swept.place, dry_run=True)
    assert (again.more, again.place) == (False, SweepPlace())
    assert segments.asked == [(house.now, 0, False), (house.now, 7, True)]
