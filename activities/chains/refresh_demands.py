"""Chain RefreshDemands: RefreshDemands. For jobs that wait longer than a demand is kept."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.jobs.links import RefreshDemands
from activities.stores.interfaces import AgentStore


def build_refresh_demands_chain(
    agents: AgentStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``jobs`` in, ``refreshed`` out. Logged at DEBUG: it runs for every page of open jobs."""
    return build_chain("RefreshDemands", [RefreshDemands(agents, clock=clock)], middleware, level=logging.DEBUG)
