"""Read chain RetrieveJob: RetrieveJob. Answers one record."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.jobs.links import RetrieveJob
from activities.stores.interfaces import JobStore


def build_retrieve_job_chain(store: JobStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``job_id`` in, ``job`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("RetrieveJob", [RetrieveJob(store)], middleware, level=logging.DEBUG)
