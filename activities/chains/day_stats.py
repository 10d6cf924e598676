"""Read chain DayStats: ReadDayStats. Answers one day's counters."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.jobs.links import ReadDayStats
from activities.stores.interfaces import JobStore


def build_day_stats_chain(store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``day`` in, ``day_stats`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("DayStats", [ReadDayStats(store)], middleware, level=logging.DEBUG)
