"""How a pool's record is changed: made when it is not there, under its revision, tried again when another one was
faster.
"""

from collections.abc import Callable, Sequence
from typing import Final

from activities.clock import Clock
from activities.stores.interfaces.agents import AgentStore
from workflows.contracts.agents import Pool
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.errors import Unavailable

TRIES: Final = 8
"""How often a change is tried against others of the same record: more than people can make at once."""

PoolChange = Callable[[Pool | None, int], tuple[Pool, Sequence[AuditEvent]] | None]
"""From the record, if there is one, and the time (ms) to what is to be kept, or None when it is so already."""


async def change_pool(store: AgentStore, clock: Clock, name: str, change: PoolChange) -> Pool | None:
    """The record as it is afterwards; None when there is none and ``change`` wants none. Raises Unavailable."""
    for _ in range(TRIES):
        present, now = await store.pool(name), clock()
        made = change(present, now)
        if made is None:
            return present
        revision = present.revision + 1 if present is not None else 1
        created_at = present.created_at if present is not None else now
        pool = made[0].model_copy(update={"revision": revision, "created_at": created_at, "updated_at": now})
        if await store.put_pool(pool, made[1]):
            return pool
    raise Unavailable(f"The record of pool {name} changes faster than this change can be stored. Try again.", pool=name)
