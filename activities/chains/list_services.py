"""Read chain ListServices: ListServices. Answers one page of services."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.services.links import ListServices
from activities.stores.interfaces import ServiceStore


def build_list_services_chain(store: ServiceStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``limit`` (and ``cursor``) in, ``page`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("ListServices", [ListServices(store)], middleware, level=logging.DEBUG)
