"""Chain IssueCredential: IssueCredential. For each secret that is handed out."""

from collections.abc import Callable, Sequence

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain
from activities.credentials.links import IssueCredential
from activities.stores.interfaces import CredentialStore


def build_issue_credential_chain(
    store: CredentialStore, clock: Callable[[], int], middleware: Sequence[Middleware] = ()
) -> NamedChain:
    """``credential`` and ``signed`` in, ``credential`` out."""
    return build_chain("IssueCredential", [IssueCredential(store, clock=clock)], middleware)
