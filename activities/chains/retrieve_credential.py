"""Read chain RetrieveCredential: RetrieveCredential. Answers what is kept of one credential."""

import logging
from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.credentials.links import RetrieveCredential
from activities.stores.interfaces import CredentialStore


def build_retrieve_credential_chain(store: CredentialStore, middleware: Sequence[Middleware] = ()) -> NamedChain:
    """``credential_id`` in, ``credential`` out. Logged at DEBUG: reads change nothing."""
    return build_chain("RetrieveCredential", [RetrieveCredential(store)], middleware, level=logging.DEBUG)
