"""Read chain ListEvents: ListEvents. Answers one page of the audit trail."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.events.links import ListEvents
from activities.stores.interfaces import EventStore


def build_list_events_chain(store: EventStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``query`` in, ``page`` out. Logged at DEBUG: reads are many and change nothing."""
    return build_chain("ListEvents", [ListEvents(store)], middleware, level=logging.DEBUG)
