"""Read chain ListJobs: ListJobs. Answers one page of records."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.jobs.links import ListJobs
from activities.stores.interfaces import JobStore


def build_list_jobs_chain(store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``query`` in, ``page`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("ListJobs", [ListJobs(store)], middleware, level=logging.DEBUG)
