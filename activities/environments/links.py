"""Links of environments: what a chain does with an environment's record, one step each; first what they hand on."""

from typing import TypedDict, cast

from codeuchain import Context

from activities.chaining.links import StoreLink, require
from activities.stores.interfaces.environments import EnvironmentStore
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite
from workflows.contracts.errors import InvalidState, NotFound

Keys = list[tuple[str, str]]
"""Each a service and an environment of it."""


class EnvironmentContext(TypedDict, total=False):
    """What the chains of environments hand on."""

    write: EnvironmentWrite
    outcome: WriteOutcome
    service_name: str
    environment: str
    state: EnvironmentState
    states: list[EnvironmentState]
    keys: Keys


class RecordEnvironment(StoreLink[EnvironmentStore]):
    """``write`` → ``outcome``; STALE says that a newer state is stored. Raises InvalidState, Unavailable."""

    async def call(self, ctx: Context[EnvironmentContext]) -> Context[EnvironmentContext]:
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


class RetrieveEnvironment(StoreLink[EnvironmentStore]):
    """``service_name`` and ``environment`` → ``state``. Raises NotFound, Unavailable."""

    async def call(self, ctx: Context[EnvironmentContext]) -> Context[EnvironmentContext]:
        """A consistent read: what was written last."""
        service_name, environment = require(ctx, "service_name", str), require(ctx, "environment", str)
        state = await self._store.get(service_name, environment)
        if state is None:
            raise NotFound(
                f"Nothing has reached the environment {environment} of {service_name} yet. Start a deployment, or "
                f"look at the service for the environments it defines.",
                service_name=service_name,
                environment=environment,
            )
        return ctx.insert("state", state)


class ListEnvironments(StoreLink[EnvironmentStore]):
    """``service_name`` → ``states``, those that were ever used. Raises Unavailable."""

    async def call(self, ctx: Context[EnvironmentContext]) -> Context[EnvironmentContext]:
        """By name."""
        return ctx.insert("states", await self._store.of_service(require(ctx, "service_name", str)))


class FindEnvironments(StoreLink[EnvironmentStore]):
    """``keys``, each a service and an environment of it → ``states``, those that were ever used. Raises Unavailable."""

    async def call(self, ctx: Context[EnvironmentContext]) -> Context[EnvironmentContext]:
        """In no order."""
        return ctx.insert("states", await self._store.named(cast(Keys, require(ctx, "keys", list))))


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
