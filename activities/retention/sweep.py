"""One sweep of one kind: by the policy, from where the last one stopped, as far as one sweep may go.

Deliberately not here: what may go (``turn``, ``needed``), how a list is walked (``walk``), how a thing is taken away
(``chains``), in which order kinds are swept (``workflows.retention``).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from codeuchain import Middleware

from activities.bounded import gather_bounded
from activities.clock import Clock
from activities.retention.chains import (
    build_remove_artifacts_chain,
    build_remove_deployment_chain,
    build_remove_job_chain,
    build_remove_logs_chain,
)
from activities.retention.events import Progress
from activities.retention.needed import NeededDeployments
from activities.retention.turn import Chains, Read, SweepTurn
from activities.retention.walk import PAGE, Bounds, Fate, Walk, counted
from activities.stores.interfaces.artifacts import ArtifactStore
from activities.stores.interfaces.deployments import DeploymentStore
from activities.stores.interfaces.environments import EnvironmentStore
from activities.stores.interfaces.jobs import JobStore
from activities.stores.interfaces.logs import LogStore
from activities.stores.interfaces.storage import StorageStore
from workflows.contracts.jobs import JobSummary
from workflows.contracts.storage.retention import (
    RetentionPolicy,
    SweepPlace,
    SweepResult,
    SweepState,
    SweepTask,
    Swept,
    SweptKind,
)

_FOR_EVER: Final = "kept for ever"
_UNSEALED: Final = "kept: nothing removes sealed segments in this version"
MOST_ENTRIES: Final = 20_000
"""Of the list of jobs, in one sweep, when artifacts are looked for whose jobs said how long they are kept."""
_DEPLOYMENTS: Final = Bounds(front=1000)
"""Each names its jobs to the jobs' turn."""


class RemovesEvents(Protocol):
    """Removing whole sealed segments of the audit trail, whose seals stay."""

    async def sweep(self, until: int, place: SweepPlace, progress: Progress, *, dry_run: bool) -> Swept:
        """What is older than ``until`` (epoch ms), of things that are neither live nor wait."""
        ...


@dataclass(frozen=True, slots=True)
class SweepStores:
    """The stores that a sweep reads and removes from. ``events`` None: nothing removes events."""

    jobs: JobStore
    deployments: DeploymentStore
    environments: EnvironmentStore
    logs: LogStore
    artifacts: ArtifactStore
    storage: StorageStore
    events: RemovesEvents | None = None


class Sweeper:
    """One worker's, by its policy. Safe to repeat, and to run twice at once: what is gone already is no matter."""

    def __init__(
        self,
        stores: SweepStores,
        policy: RetentionPolicy,
        clock: Clock,
        middleware: Sequence[Middleware] = (),
        bounds: Bounds | None = None,
    ) -> None:
        self.policy, self._stores, self._clock, self._bounds = policy, stores, clock, bounds
        needed = NeededDeployments(stores.deployments, stores.environments, policy.live_versions)
        self._read = Read(stores.jobs, stores.deployments, stores.logs, stores.artifacts, needed)
        self._chains = Chains(
            job=build_remove_job_chain(stores.jobs, stores.logs, stores.artifacts, middleware),
            logs=build_remove_logs_chain(stores.jobs, stores.logs, middleware, clock=clock),
            artifacts=build_remove_artifacts_chain(stores.jobs, stores.artifacts, middleware, clock=clock),
            deployment=build_remove_deployment_chain(stores.deployments, middleware),
        )

    async def run(self, task: SweepTask, progress: Progress, so_far: Swept | None = None) -> Swept:
        """Remove what of one kind may go, as much as one sweep may. ``so_far``: how far the try before has come.

        ``progress`` gets what was done, after every hundred entries. Raises Unavailable.
        """
        age = self.policy.age(task.kind)
        swept = so_far or Swept(kind=task.kind, place=await self._place(task.kind))
        if task.kind is SweptKind.ARTIFACTS:
            swept = await self._expiring(self._turn(task, age or 0), progress, swept)
            if age is None and swept.removed:
                return swept
        if age is None:
            return swept.model_copy(update={"note": _FOR_EVER})
        turn = self._turn(task, age)
        match task.kind:
            case SweptKind.DEPLOYMENTS:
                return await self._deployments(turn, progress, swept)
            case SweptKind.JOBS:
                swept = await self._first(turn, task.first, progress, swept)
                return await self._jobs(turn, turn.job, progress, swept)
            case SweptKind.LOGS:
                return await self._jobs(turn, turn.log, progress, swept)
            case SweptKind.ARTIFACTS:
                return await self._jobs(turn, turn.artifact, progress, swept)
            case SweptKind.EVENTS:
                if self._stores.events is None:
                    return swept.model_copy(update={"note": _UNSEALED})
                return await self._stores.events.sweep(turn.until, swept.place, progress, dry_run=task.dry_run)
            case SweptKind.EXPIRED:
                return await self._expired(task, swept)

    async def keep(self, result: SweepResult) -> None:
        """Where the next sweep goes on, and how this one went. A preview is not kept."""
        before = await self._stores.storage.sweeps()
        places = before.places | {each.kind: each.place for each in result.kinds}
        kinds = [each.model_copy(update={"ids": [], "job_ids": []}) for each in result.kinds]
        last = result.model_copy(update={"kinds": kinds})
        await self._stores.storage.keep_sweeps(SweepState(places=places, last=last, last_at=self._clock()))

    async def _place(self, kind: SweptKind) -> SweepPlace:
        return (await self._stores.storage.sweeps()).places.get(kind, SweepPlace())

    def _turn(self, task: SweepTask, age: int) -> SweepTurn:
        now, jobs = self._clock(), self.policy.jobs
        return SweepTurn(
            self._read,
            self._chains,
            until=now - age * 1000,
            jobs_until=None if jobs is None else now - jobs * 1000,
            dry_run=task.dry_run,
            gone=frozenset(task.gone if task.dry_run else ()),  # whoever may write to Temporal could say them
        )

    async def _deployments(self, turn: SweepTurn, progress: Progress, swept: Swept) -> Swept:
        store = self._stores.deployments
        walk = Walk(
            oldest=lambda behind, limit: store.oldest(behind, turn.until, limit),
            one=turn.deployment,
            progress=progress,
            swept=swept,
            bounds=self._bounds or _DEPLOYMENTS,
            named=turn.dry_run,
        )
        return await walk.run()

    async def _jobs(
        self, turn: SweepTurn, one: Callable[[JobSummary], Awaitable[Fate]], progress: Progress, swept: Swept
    ) -> Swept:
        store = self._stores.jobs
        walk = Walk(
            oldest=lambda behind, limit: store.oldest(behind, turn.until, limit),
            one=one,
            progress=progress,
            swept=swept,
            bounds=self._bounds or Bounds(),
        )
        return await walk.run()

    async def _expiring(self, turn: SweepTurn, progress: Progress, swept: Swept) -> Swept:
        """Artifacts whose jobs said how long they are kept: found by the entries of the list alone, in a circle."""
        now, left = self._clock(), MOST_ENTRIES
        while left > 0:
            page = await self._stores.jobs.oldest(swept.place.expiring, now, PAGE)
            due = [each.summary for each in page if _is_due(each.summary, now)]
            fates = await gather_bounded(lambda job: turn.expired_artifact(job, now), due)
            swept = counted(swept, [each for each in fates if isinstance(each, Fate)])
            left -= PAGE
            swept = swept.model_copy(
                update={
                    "looked_at": swept.looked_at + len(due),
                    "failed": swept.failed + sum(isinstance(each, Exception) for each in fates),
                    "place": swept.place.model_copy(update={"expiring": page[-1].place if len(page) == PAGE else ""}),
                }
            )
            progress(swept)
            if not swept.place.expiring:
                break
        return swept

    async def _first(self, turn: SweepTurn, job_ids: Sequence[str], progress: Progress, swept: Swept) -> Swept:
        """One that fails now is found in the circle of those that stayed."""
        for begin in range(0, len(job_ids), PAGE):
            fates = await gather_bounded(turn.job_of, dict.fromkeys(job_ids[begin : begin + PAGE]))
            swept = counted(swept, [each for each in fates if isinstance(each, Fate)])
            failed = sum(isinstance(each, Exception) for each in fates)
            looked_at = swept.looked_at + len(fates)
            swept = swept.model_copy(update={"looked_at": looked_at, "failed": swept.failed + failed})
            progress(swept)
        return swept

    async def _expired(self, task: SweepTask, swept: Swept) -> Swept:
        bounds = self._bounds or Bounds()
        found = await self._stores.storage.expired(self._clock(), bounds.front, remove=not task.dry_run)
        return swept.model_copy(update={"looked_at": found.objects, "removed": found.objects, "more": found.more})


def _is_due(job: JobSummary, now: int) -> bool:
    return job.artifacts_expire_at is not None and job.artifacts_expire_at <= now and job.status.final
