"""Chain ApplyService: ValidateService → ApplyService."""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.clock import Clock, epoch_millis
from activities.services.links import ApplyService, ValidateService
from activities.stores.interfaces import EventStore, ServiceStore


def build_apply_service_chain(
    services: ServiceStore, events: EventStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``write`` and ``change_id`` in, ``service`` out. A validation error stops it before anything is written."""
    return build_chain("ApplyService", [ValidateService(), ApplyService(services, events, clock=clock)], middleware)
