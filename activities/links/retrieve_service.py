"""Link RetrieveService: a service as it is now, or one of its versions."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.deployment_contexts import ServiceReadContext
from activities.stores.interfaces import ServiceStore
from workflows.contracts.errors import NotFound


class RetrieveService:
    """``service_name`` and, for an older one, ``version`` → ``service``. Raises NotFound, Unavailable."""

    def __init__(self, store: ServiceStore) -> None:
        self._store = store

    async def call(self, ctx: Context[ServiceReadContext]) -> Context[ServiceReadContext]:
        """A consistent read."""
        name, version = require(ctx, "service_name", str), ctx.get("version")
        service = await self._store.get(name, version)
        if service is not None:
            return ctx.insert("service", service)
        if version is None:
            raise NotFound(
                f"There is no service {name}. Register it first: `hybridci service apply -f FILE`.", service_name=name
            )
        raise NotFound(
            f"There is no version {version} of service {name}. Ask without a version for the present one.",
            service_name=name,
            version=version,
        )
