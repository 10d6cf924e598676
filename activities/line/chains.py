"""Chains of the line, of one link each. Reads are logged at DEBUG: they are many and change nothing."""

from collections.abc import Sequence
from logging import DEBUG
from typing import Final

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain, chain_of
from activities.clock import Clock, epoch_millis
from activities.line.links import ChangeLine, RetrieveLine
from activities.stores.interfaces.environments import LineStore


def build_change_line_chain(
    store: LineStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``change`` and ``change_id`` in, ``changed`` out."""
    return build_chain("ChangeLine", [ChangeLine(store, clock=clock)], middleware)


build_retrieve_line_chain: Final = chain_of(RetrieveLine, level=DEBUG)
