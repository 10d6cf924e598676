"""Link CountDeployments: how many were created on one day."""

from codeuchain import Context

from activities.chaining.links import require
from activities.days import check_day
from activities.links.deployment_contexts import DeploymentReadContext
from activities.stores.interfaces import DeploymentStore


class CountDeployments:
    """``day`` (``YYYY-MM-DD``, UTC) → ``day_count``. Raises ValidationFailed for another form, Unavailable."""

    def __init__(self, store: DeploymentStore) -> None:
        self._store = store

    async def call(self, ctx: Context[DeploymentReadContext]) -> Context[DeploymentReadContext]:
        """Reads a counter."""
        return ctx.insert("day_count", await self._store.day_count(check_day(require(ctx, "day", str))))
