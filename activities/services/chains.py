"""Chains of services. Reads are logged at DEBUG: they are many and change nothing."""

from collections.abc import Sequence
from logging import DEBUG
from typing import Final

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain, chain_of
from activities.clock import Clock, epoch_millis
from activities.services.links import (
    ApplyService,
    ChangeStandingOfService,
    DecideOnPolicy,
    ListServices,
    RetrieveService,
    ValidateService,
)
from activities.services.standing import Occupancy
from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.services import ServiceStore


def build_apply_service_chain(
    services: ServiceStore,
    events: EventStore,
    middleware: Sequence[Middleware] = (),
    *,
    clock: Clock = epoch_millis,
    occupancy: Occupancy | None = None,
) -> NamedChain:
    """``write`` and ``change_id`` in, ``service`` out. A validation error stops it before anything is written."""
    return build_chain(
        "ApplyService",
        [ValidateService(), ApplyService(services, events, clock=clock, occupancy=occupancy)],
        middleware,
    )


def build_decide_policy_chain(
    services: ServiceStore,
    events: EventStore,
    middleware: Sequence[Middleware] = (),
    *,
    clock: Clock = epoch_millis,
    occupancy: Occupancy | None = None,
) -> NamedChain:
    """``decision`` and ``change_id`` in, ``service`` out."""
    links = [DecideOnPolicy(services, events, clock=clock, occupancy=occupancy)]
    return build_chain("DecidePolicy", links, middleware)


def build_change_standing_chain(
    services: ServiceStore,
    events: EventStore,
    middleware: Sequence[Middleware] = (),
    *,
    clock: Clock = epoch_millis,
    occupancy: Occupancy | None = None,
) -> NamedChain:
    """``standing`` and ``change_id`` in, ``service`` out."""
    links = [ChangeStandingOfService(services, events, clock=clock, occupancy=occupancy)]
    return build_chain("ChangeStanding", links, middleware)


build_retrieve_service_chain: Final = chain_of(RetrieveService, level=DEBUG)
build_list_services_chain: Final = chain_of(ListServices, level=DEBUG)
