"""Chains of bans. Reads are logged at DEBUG: they are many and change nothing."""

from collections.abc import Sequence
from logging import DEBUG
from typing import Final

from codeuchain import Middleware

from activities.bans.links import (
    DropBans,
    FindAffected,
    KeepBan,
    KeepLeftVersion,
    RequireNoBan,
    RetrieveBans,
    SelectBans,
)
from activities.chaining.chains import NamedChain, build_chain, chain_of
from activities.clock import Clock, epoch_millis
from activities.stores.interfaces.environments import EnvironmentStore
from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.services import BanStore


def build_ban_chain(
    bans: BanStore,
    events: EventStore,
    environments: EnvironmentStore,
    middleware: Sequence[Middleware] = (),
    *,
    clock: Clock = epoch_millis,
) -> NamedChain:
    """``command`` and ``change_id`` in, ``result`` out."""
    return build_chain("Ban", [KeepBan(bans, events, clock=clock), FindAffected(environments)], middleware)


def build_ban_left_version_chain(
    bans: BanStore, events: EventStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``left`` in, ``result`` out."""
    return build_chain("BanLeftVersion", [KeepLeftVersion(bans, events, clock=clock)], middleware)


def build_lift_ban_chain(
    bans: BanStore, events: EventStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``lift`` and ``change_id`` in, ``result`` out."""
    return build_chain("LiftBan", [DropBans(bans, events, clock=clock)], middleware)


build_retrieve_bans_chain: Final = chain_of(RetrieveBans, level=DEBUG)
build_select_bans_chain: Final = chain_of(SelectBans, level=DEBUG)
build_require_no_ban_chain: Final = chain_of(RequireNoBan, level=DEBUG)
