"""Read chain ListCredentials: ListCredentials. Answers a page of the credentials of one kind."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.credentials.links import ListCredentials
from activities.stores.interfaces import CredentialStore


def build_list_credentials_chain(store: CredentialStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``kind``, ``limit`` and ``cursor`` in, ``page`` out. Logged at DEBUG: reads change nothing."""
    return build_chain("ListCredentials", [ListCredentials(store)], middleware, level=logging.DEBUG)
