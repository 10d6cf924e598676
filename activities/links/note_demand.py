"""Link NoteDemand: a job's demand for labels is known before the job waits, so that agents poll for it."""

from typing import Final

from codeuchain import Context

from activities.chaining.links import CreationContext, WriteContext, require
from activities.clock import Clock
from activities.stores.interfaces import AgentStore
from workflows.contracts.jobs import Job
from workflows.contracts.labels import normalised
from workflows.contracts.records import JobWrite

REFRESH_MILLIS: Final = 60_000
"""A demand is kept for days; one that this process has just noted need not be written again for every job."""
_MAX_KNOWN: Final = 10_000


class NoteDemand:
    """``write`` or ``job`` → nothing new. Raises Unavailable. Costs nothing for a job without requirements."""

    def __init__(self, store: AgentStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._noted: dict[tuple[str, ...], int] = {}

    async def call(self, ctx: Context[CreationContext | WriteContext]) -> Context[CreationContext | WriteContext]:
        """Before the record's write: a job that waits without its demand would wait unseen."""
        job = _job(ctx)
        if not job.requires:
            return ctx
        requires, now = normalised(job.requires), self._clock()
        known = (job.pool, *requires)
        if now - self._noted.get(known, -REFRESH_MILLIS) >= REFRESH_MILLIS:
            await self._store.demand(job.pool, requires, now)
            if len(self._noted) >= _MAX_KNOWN:
                self._noted.clear()
            self._noted[known] = now
        return ctx


def _job(ctx: Context[CreationContext | WriteContext]) -> Job:
    if isinstance(write := ctx.get("write"), JobWrite):
        return write.job
    return require(ctx, "job", Job)
