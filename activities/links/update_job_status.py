"""Link UpdateJobStatus: a record moves in the queue."""

from codeuchain import Context

from activities.chaining.links import WriteContext, require
from activities.jobs.transitions import Operation, check_transition
from activities.stores.interfaces import JobStore
from workflows.contracts.records import JobWrite


class UpdateJobStatus:
    """``write`` → ``outcome``; STALE says that a newer state is stored. Raises InvalidState, Unavailable.

    ``operation`` decides which changes it may write.
    """

    def __init__(self, store: JobStore, operation: Operation) -> None:
        self._store = store
        self._operation = operation

    async def call(self, ctx: Context[WriteContext]) -> Context[WriteContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = require(ctx, "write", JobWrite)
        check_transition(self._operation, write)
        return ctx.insert("outcome", await self._store.write(write))
