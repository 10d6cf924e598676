"""Link RetrieveEnvironment: the record of one environment of a service."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.deployment_contexts import EnvironmentReadContext
from activities.stores.interfaces import EnvironmentStore
from workflows.contracts.errors import NotFound


class RetrieveEnvironment:
    """``service_name`` and ``environment`` → ``state``. Raises NotFound, Unavailable."""

    def __init__(self, store: EnvironmentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[EnvironmentReadContext]) -> Context[EnvironmentReadContext]:
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
