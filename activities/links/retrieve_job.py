"""Link RetrieveJob: one record by its id."""

from codeuchain import Context

from activities.chaining.links import ReadContext, require
from activities.stores.interfaces import JobStore
from workflows.contracts.errors import NotFound


class RetrieveJob:
    """``job_id`` → ``job``. Raises NotFound, Unavailable."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def call(self, ctx: Context[ReadContext]) -> Context[ReadContext]:
        """A consistent read: what was written last."""
        job_id = require(ctx, "job_id", str)
        job = await self._store.get(job_id)
        if job is None:
            raise NotFound(f"There is no job {job_id}. List the jobs to find the one you mean.", job_id=job_id)
        return ctx.insert("job", job)
