"""Events go in whole sealed segments, whose seals stay: where a sweep asks for it, and which events must stay.

Deliberately not here: how segments are removed and what is said of it (``activities.evidence``), which hands in
``remove_segments``.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from activities.retention.needed import NeededDeployments, has_ended
from activities.stores.interfaces.deployments import DeploymentStore
from activities.stores.interfaces.jobs import JobStore
from workflows.contracts.audit.feed import FeedRow
from workflows.contracts.storage.retention import SweepPlace, Swept, SweptKind

Progress = Callable[[Swept], None]
MOST_EVENTS: Final = 20_000
"""In one sweep."""


class SegmentsRemoved(Protocol):
    """What one call removed, or would. ``kept``: segments that are old enough and hold an event that must stay.

    ``next_seal``: where the next call goes on; None: at the beginning, nothing older is left.
    """

    @property
    def events(self) -> int: ...  # noqa: D102 - the class says what it is
    @property
    def segments(self) -> int: ...  # noqa: D102
    @property
    def kept(self) -> int: ...  # noqa: D102
    @property
    def next_seal(self) -> int | None: ...  # noqa: D102


Keeps = Callable[[FeedRow], Awaitable[bool]]


class RemoveSegments(Protocol):
    """Remove sealed segments whose newest event is older than ``older_than`` (epoch ms), up to ``budget`` events."""

    async def __call__(
        self, older_than: int, keeps: Keeps, budget: int, *, start: int, dry_run: bool, beat: Callable[[int], None]
    ) -> SegmentsRemoved:
        """Repeatable, also after a kill. ``beat`` hears now and then how many went. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class SealedEvents:
    """Implements ``RemovesEvents``."""

    remove: RemoveSegments
    jobs: JobStore
    deployments: DeploymentStore
    needed: NeededDeployments

    async def sweep(self, until: int, place: SweepPlace, progress: Progress, *, dry_run: bool) -> Swept:
        """What is older than ``until`` (epoch ms), of things that are neither live nor wait. Raises Unavailable."""

        def beat(removed: int) -> None:
            progress(Swept(kind=SweptKind.EVENTS, removed=removed, place=place))

        living = LivingThings(self.jobs, self.deployments, self.needed)
        start = int(place.front) if place.front.isdecimal() else 0
        done = await self.remove(until, living.has, MOST_EVENTS, start=start, dry_run=dry_run, beat=beat)
        return Swept(
            kind=SweptKind.EVENTS,
            looked_at=done.segments + done.kept,
            removed=done.events,
            more=done.next_seal is not None,
            place=SweepPlace(front="" if done.next_seal is None else str(done.next_seal)),
        )


@dataclass(slots=True)
class LivingThings:
    """Which jobs and deployments are live or wait, for one sweep: each is looked up once."""

    jobs: JobStore
    deployments: DeploymentStore
    needed: NeededDeployments
    _known: dict[str, bool] = field(default_factory=dict[str, bool])

    async def has(self, row: FeedRow) -> bool:
        """Whether the event is of one of them."""
        event = row.event
        if event.deployment_id is not None and await self._is(f"d{event.deployment_id}", self._deployment):
            return True
        return event.job_id is not None and await self._is(f"j{event.job_id}", self._job)

    async def _is(self, key: str, look: Callable[[str], Awaitable[bool]]) -> bool:
        if key not in self._known:
            self._known[key] = await look(key[1:])
        return self._known[key]

    async def _job(self, job_id: str) -> bool:
        job = await self.jobs.get(job_id)
        return job is not None and not job.status.final

    async def _deployment(self, deployment_id: str) -> bool:
        deployment = await self.deployments.get(deployment_id)
        if deployment is None:
            return False
        if not has_ended(deployment):
            return True
        return deployment_id in await self.needed.of_service(deployment.service_name)
