"""Read chain ListRunningJobs: ListRunningJobs. Answers one page of the jobs that agents are working on."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.jobs.links import ListRunningJobs
from activities.stores.interfaces import JobStore


def build_list_running_jobs_chain(store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``query`` in, ``page`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("ListRunningJobs", [ListRunningJobs(store)], middleware, level=logging.DEBUG)
