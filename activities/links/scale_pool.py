"""Link ScalePool: how many agents a scaler may run in a pool, and how long its jobs may wait."""

from typing import Final

from codeuchain import Context

from activities.agents.pool_changes import change_pool
from activities.chaining.links import require
from activities.clock import Clock
from activities.events.signatures import Signature
from activities.links.agent_contexts import PoolContext
from activities.stores.interfaces import AgentStore
from workflows.contracts.agents import Pool, PoolBounds
from workflows.contracts.deployments import AuditEvent
from workflows.contracts.errors import FieldError, ValidationFailed

SCALED: Final = "pool.scaled"


class ScalePool:
    """``name``, ``bounds``, ``signed`` → ``pool``. Raises ValidationFailed, Unavailable."""

    def __init__(self, store: AgentStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def call(self, ctx: Context[PoolContext]) -> Context[PoolContext]:
        """Also for a pool that has no agent yet: a scaler is what makes them. The same bounds again change nothing."""
        name, signed = require(ctx, "name", str), require(ctx, "signed", Signature)
        bounds = require(ctx, "bounds", PoolBounds)
        if bounds.min_agents > bounds.max_agents:
            problem = f"is {bounds.max_agents}, less than min_agents, which is {bounds.min_agents}"
            raise ValidationFailed(
                f"Pool {name} was not scaled: max_agents {problem}.", [FieldError(field="max_agents", message=problem)]
            )

        def change(present: Pool | None, now: int) -> tuple[Pool, list[AuditEvent]] | None:
            before = present.bounds if present is not None else None
            if before == bounds:
                return None
            pool = present or Pool(name=name, created_at=now, updated_at=now)
            message = f"{name} may have {bounds.min_agents} to {bounds.max_agents} agents"
            details = {"bounds": bounds.model_dump(), "before": None if before is None else before.model_dump()}
            event = signed.event(SCALED, now, message, pool=name, details=details)
            return pool.model_copy(update={"bounds": bounds, "updated_by": signed.by}), [event]

        return ctx.insert("pool", await change_pool(self._store, self._clock, name, change))
