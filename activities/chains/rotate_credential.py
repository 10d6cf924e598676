"""Chain RotateCredential: RotateCredential, IssueCredential. A new secret for an old one.

In this order: when the process ends between the two, the old secret works until its overlap ends and another rotation
is refused by name, while the other way round a secret that nobody has seen would stay valid.
"""

from collections.abc import Callable, Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.credentials.links import IssueCredential, RotateCredential
from activities.stores.interfaces import CredentialStore


def build_rotate_credential_chain(
    store: CredentialStore, clock: Callable[[], int], middleware: Sequence[Middleware] = ()
) -> NamedChain:
    """``replaced``, ``credential``, ``until`` and ``signed`` in, ``revoked`` out."""
    links = [RotateCredential(store, clock=clock), IssueCredential(store, clock=clock)]
    return build_chain("RotateCredential", links, middleware)
