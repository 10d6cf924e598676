"""Links of pools: what a chain does with a pool's record, one step each; first what they hand on."""

from typing import Final, TypedDict, cast

from codeuchain import Context

from activities.chaining.links import StoreLink, require
from activities.events.trail import noted
from activities.pools.changes import change_pool
from activities.stores.interfaces.agents import AgentStore
from workflows.contracts.agents import Agent, Pool, PoolBounds, RequirementDemand
from workflows.contracts.audit.details import PoolKeysPinned, PoolScaled
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.errors import FieldError, NotFound, ValidationFailed
from workflows.contracts.who import WhoAndWhy

_MAX_KEYS: Final = 8


class PoolContext(TypedDict, total=False):
    """What the chains of pools hand on. ``agent`` is one that registers."""

    agent: Agent
    name: str
    bounds: PoolBounds
    keys: list[str]
    signed: WhoAndWhy
    pool: Pool
    pools: list[Pool]
    demands: list[RequirementDemand]


class NotePool(StoreLink[AgentStore]):
    """``agent`` → nothing new. Raises Unavailable; the agent then registers again, and it is done then."""

    async def call(self, ctx: Context[PoolContext]) -> Context[PoolContext]:
        """One read, and a write only when there is something new."""
        agent = require(ctx, "agent", Agent)

        def change(present: Pool | None, now: int) -> tuple[Pool, list[AuditEvent]] | None:
            known = present.public_keys if present is not None else []
            keys = list(dict.fromkeys([*agent.public_keys, *known]))[:_MAX_KEYS]
            if present is not None and keys == known:
                return None
            pool = present or Pool(name=agent.pool, created_at=now, updated_at=now, updated_by=agent.registered_by)
            return pool.model_copy(update={"public_keys": keys}), []

        await change_pool(self._store, self._clock, agent.pool, change)
        return ctx


class ScalePool(StoreLink[AgentStore]):
    """``name``, ``bounds``, ``signed`` → ``pool``. Raises ValidationFailed, Unavailable."""

    async def call(self, ctx: Context[PoolContext]) -> Context[PoolContext]:
        """Also for a pool that has no agent yet: a scaler is what makes them. The same bounds again change nothing."""
        name, signed = require(ctx, "name", str), require(ctx, "signed", WhoAndWhy)
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
            event = noted(PoolScaled(bounds=bounds, before=before), signed, now, message, pool=name)
            return pool.model_copy(update={"bounds": bounds, "updated_by": signed.by or ""}), [event]

        return ctx.insert("pool", await change_pool(self._store, self._clock, name, change))


class PinSealingKeys(StoreLink[AgentStore]):
    """``name``, ``keys``, ``signed`` → ``pool``. Raises Unavailable."""

    async def call(self, ctx: Context[PoolContext]) -> Context[PoolContext]:
        """In place of those that were pinned; also for a pool that has no agent yet."""
        name, signed = require(ctx, "name", str), require(ctx, "signed", WhoAndWhy)
        keys = cast("list[str]", require(ctx, "keys", list))

        def change(present: Pool | None, now: int) -> tuple[Pool, list[AuditEvent]] | None:
            before = present.sealing_keys if present is not None else []
            if before == keys:
                return None
            pool = present or Pool(name=name, created_at=now, updated_at=now)
            message = f"values for {name} are sealed to {len(keys)} keys that were pinned"
            event = noted(PoolKeysPinned(keys=keys, before=before), signed, now, message, pool=name)
            return pool.model_copy(update={"sealing_keys": keys, "updated_by": signed.by or ""}), [event]

        pool = await change_pool(self._store, self._clock, name, change)
        return ctx.insert("pool", pool or Pool(name=name, created_at=self._clock(), updated_at=self._clock()))


class RetrievePool(StoreLink[AgentStore]):
    """``name`` → ``pool``. Raises NotFound, Unavailable."""

    async def call(self, ctx: Context[PoolContext]) -> Context[PoolContext]:
        """A consistent read."""
        name = require(ctx, "name", str)
        pool = await self._store.pool(name)
        if pool is None:
            raise NotFound(
                f"Nothing is known of a pool {name[:64]}: no agent registered in it yet, and nobody set its bounds. "
                "`hybridci pool list` shows those there are.",
                pool=name,
            )
        return ctx.insert("pool", pool)


class ListPools(StoreLink[AgentStore]):
    """Nothing → ``pools``, by name. Raises Unavailable."""

    async def call(self, ctx: Context[PoolContext]) -> Context[PoolContext]:
        """All of them; a few hundred at most."""
        return ctx.insert("pools", await self._store.pools())


class ListDemands(StoreLink[AgentStore]):
    """``name`` → ``demands`` of the pool, the latest first. Raises Unavailable."""

    async def call(self, ctx: Context[PoolContext]) -> Context[PoolContext]:
        """Also for a pool of which nothing else is known."""
        return ctx.insert("demands", await self._store.demands(require(ctx, "name", str)))
