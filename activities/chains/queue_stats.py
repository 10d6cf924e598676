"""Queue chain QueueStats: ReadQueueStats. Answers the queue in numbers."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.jobs.links import ReadQueueStats
from activities.stores.interfaces import JobStore


def build_queue_stats_chain(store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """Nothing in, ``queue_stats`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("QueueStats", [ReadQueueStats(store)], middleware, level=logging.DEBUG)
