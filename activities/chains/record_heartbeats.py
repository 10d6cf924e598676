"""Chain RecordHeartbeats: RecordHeartbeats."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.agents.links import RecordHeartbeats
from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.stores.interfaces import AgentStore


def build_record_heartbeats_chain(
    store: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``received`` in, ``recorded`` out. Logged at DEBUG: it runs every few seconds."""
    return build_chain("RecordHeartbeats", [RecordHeartbeats(store, clock=clock)], middleware, level=logging.DEBUG)
