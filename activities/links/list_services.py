"""Link ListServices: one page of services as they are now."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.deployment_contexts import ServiceReadContext
from activities.stores.interfaces import ServiceStore


class ListServices:
    """``limit`` and, behind the first page, ``cursor`` → ``page``. Raises ValidationFailed for a foreign cursor,
    Unavailable.
    """

    def __init__(self, store: ServiceStore) -> None:
        self._store = store

    async def call(self, ctx: Context[ServiceReadContext]) -> Context[ServiceReadContext]:
        """By name."""
        page = await self._store.list(limit=require(ctx, "limit", int), cursor=ctx.get("cursor"))
        return ctx.insert("page", page)
