"""Link CreateJob: the record's first write."""

from codeuchain import Context

from activities.chaining.links import CreationContext, require
from activities.jobs.transitions import Operation, check_transition
from activities.stores.interfaces import JobStore
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite


class CreateJob:
    """``job`` and, when there are any, its ``events`` → ``outcome``; STALE says that the record was there already.

    Raises InvalidState, Unavailable.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def call(self, ctx: Context[CreationContext]) -> Context[CreationContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = JobWrite(job=require(ctx, "job", Job), events=ctx.get("events") or [])
        check_transition(Operation.CREATE, write)
        return ctx.insert("outcome", await self._store.write(write))
