"""Read chain RetrieveService: RetrieveService. Answers a service, as it is now or as it was."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.services.links import RetrieveService
from activities.stores.interfaces import ServiceStore


def build_retrieve_service_chain(store: ServiceStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``service_name`` (and ``version``) in, ``service`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("RetrieveService", [RetrieveService(store)], middleware, level=logging.DEBUG)
