"""Chain RevokeCredential: RetrieveCredential, RevokeCredential. Ends what was handed out."""

from collections.abc import Callable, Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.credentials.links import RetrieveCredential, RevokeCredential
from activities.stores.interfaces import CredentialStore


def build_revoke_credential_chain(
    store: CredentialStore, clock: Callable[[], int], middleware: Sequence[Middleware] = ()
) -> NamedChain:
    """``credential_id``, ``until`` and ``signed`` in, ``revoked`` out."""
    return build_chain(
        "RevokeCredential", [RetrieveCredential(store), RevokeCredential(store, clock=clock)], middleware
    )
