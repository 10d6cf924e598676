"""Link RecordEnvironment: the state of an environment's lock, checked against itself before it is written."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.deployment_contexts import EnvironmentWriteContext
from activities.stores.interfaces import EnvironmentStore
from workflows.contracts.environments import EnvironmentState, EnvironmentWrite
from workflows.contracts.errors import InvalidState


class RecordEnvironment:
    """``write`` → ``outcome``; STALE says that a newer state is stored. Raises InvalidState, Unavailable."""

    def __init__(self, store: EnvironmentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[EnvironmentWriteContext]) -> Context[EnvironmentWriteContext]:
        """Repeating it changes nothing: the store's sequence condition holds."""
        write = require(ctx, "write", EnvironmentWrite)
        state = write.state
        problem = _contradiction(state)
        if problem is not None:
            raise InvalidState(
                f"The record of environment {state.environment} of {state.service_name} was not written: {problem}. "
                f"Look at its workflow: it is ahead of its record.",
                service_name=state.service_name,
                environment=state.environment,
            )
        return ctx.insert("outcome", await self._store.write(write))


def _contradiction(state: EnvironmentState) -> str | None:
    waiting = [ticket.deployment_id for ticket in state.queue]
    if len(set(waiting)) != len(waiting):
        return "a deployment waits twice in its line"
    holder = state.holder
    if holder is not None and holder.fence > state.fence:
        return f"its holder's turn {holder.fence} was never given out: the last one is {state.fence}"
    if holder is not None and holder.deployment_id in waiting:
        return f"its holder {holder.deployment_id} also waits in its line"
    return None
