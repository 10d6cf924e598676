"""Chain ScalePool: ScalePool."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.pool_links import ScalePool
from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.stores.interfaces import AgentStore


def build_scale_pool_chain(
    store: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``name``, ``bounds`` and ``signed`` in, ``pool`` out."""
    return build_chain("ScalePool", [ScalePool(store, clock=clock)], middleware)
