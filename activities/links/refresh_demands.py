"""Link RefreshDemands: what waiting jobs demand is kept as long as they wait, also when that is weeks."""

from typing import cast

from codeuchain import Context

from activities.bounded import gather_bounded
from activities.chaining.links import WriteContext, require
from activities.clock import Clock
from activities.stores.interfaces import AgentStore
from workflows.contracts.jobs import JobSummary
from workflows.contracts.labels import normalised
from workflows.contracts.statuses import QueueStatus


class RefreshDemands:
    """``jobs`` → ``refreshed``, the number of their demands. Raises Unavailable."""

    def __init__(self, store: AgentStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def call(self, ctx: Context[WriteContext]) -> Context[WriteContext]:
        """One write for each demand, however many jobs make it; none for jobs without requirements."""
        jobs = cast("list[JobSummary]", require(ctx, "jobs", list))
        waiting = [job for job in jobs if job.requires and job.queue_status is QueueStatus.QUEUED]
        demands = {(job.pool, *normalised(job.requires)) for job in waiting}
        for failure in await gather_bounded(self._refresh, sorted(demands)):
            if failure is not None:
                raise failure
        return ctx.insert("refreshed", len(demands))

    async def _refresh(self, demand: tuple[str, ...]) -> None:
        pool, *requires = demand
        await self._store.demand(pool, requires, self._clock())
