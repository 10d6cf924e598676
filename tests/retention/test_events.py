"""Which events must stay when segments go, and how a sweep asks for it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from activities.evidence.keys import SealKey
from activities.evidence.removal import remove_segments
from activities.evidence.sealer import Sealer
from activities.evidence.verifier import Verifier
from activities.retention.events import Keeps, SealedEvents
from activities.retention.needed import NeededDeployments
from activities.retention.sweep import SweepStores
from tests.evidence.conftest import Clock
from tests.retention.house import DAY, House, days
from tests.stores.releases import make_event
from tests.stores.trails import trail
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.feed import FeedRow
from workflows.contracts.audit.verification import Finding, RemovedEvents
from workflows.contracts.deployments.deployment import DeploymentStatus
from workflows.contracts.statuses import JobStatus
from workflows.contracts.storage.retention import SweepPlace, Swept, SweptKind


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

    async def __call__(
        self, older_than: int, keeps: Keeps, budget: int, *, start: int, dry_run: bool, beat: Callable[[int], None]
    ) -> Done:
        self.asked.append((older_than, start, dry_run))
        rows = [FeedRow(shard=0, sequence=1, subject="s", number=1, event=event) for event in self.events]
        kept = [await keeps(row) for row in rows]
        beat(kept.count(False))
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
    told: list[Swept] = []
    swept = await events.sweep(house.now, SweepPlace(), told.append, dry_run=False)
    assert told == [Swept(kind=SweptKind.EVENTS, removed=4)]
    assert (swept.removed, swept.looked_at, swept.more, swept.place.front) == (4, 8, True, "7")
    segments.next_seal = None
    again = await events.sweep(house.now, swept.place, told.append, dry_run=True)
    assert (again.more, again.place) == (False, SweepPlace())
    assert segments.asked == [(house.now, 0, False), (house.now, 7, True)]


async def test_sealed_segments_go_by_the_policy_and_verifying_says_so(house: House) -> None:
    """With the real removal: old events go, those of a live deployment and of today stay, the trail is whole."""
    stores, now = house.stores, house.now
    live = await house.deployment(400, DeploymentStatus.LIVE)
    await house.environment([live])
    key, clock = SealKey(b"k" * 32), Clock(now - 300 * DAY)
    sealer = Sealer(stores.evidence, key, clock)
    for number in range(6):
        await stores.events.append(make_event(f"old{number}", at=clock.now + number, agent_id="a"))
    await sealer.seal_new()
    clock.now += DAY
    await stores.events.append(make_event("live", at=clock.now, deployment_id=live.deployment_id))
    await sealer.seal_new()
    clock.now = now
    await stores.events.append(make_event("young", at=now, agent_id="a"))
    await sealer.seal_new()
    remove = partial(remove_segments, stores.evidence, sealer)
    needed = NeededDeployments(stores.deployments, stores.environments, 10)

    def with_events(swept: SweepStores) -> SweepStores:
        return replace(swept, events=SealedEvents(remove, stores.jobs, stores.deployments, needed))

    policy = days(events=100)
    would = await house.sweep(policy, dry_run=True, stores=with_events)
    assert await house.sweep(policy, stores=with_events) == would == {SweptKind.EVENTS: 6}
    left = {event.event_id for event in await trail(stores.events)}
    assert left == {"live", "young"}
    told = [each async for each in Verifier(stores.evidence, clock, {key.key_id: key.public_key}).run()]
    assert not [each for each in told if isinstance(each, Finding)]
    assert sum(each.events for each in told if isinstance(each, RemovedEvents)) == 6
    assert await house.sweep(policy, stores=with_events) == {}, "nothing more goes"
