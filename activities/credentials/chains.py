"""Chains of credentials. Reads are logged at DEBUG: they change nothing."""

from collections.abc import Sequence
from logging import DEBUG
from typing import Final

from codeuchain import Middleware

from activities.chaining.chains import NamedChain, build_chain, chain_of
from activities.clock import Clock, epoch_millis
from activities.credentials.links import (
    ClaimCredential,
    IssueCredential,
    ListCredentials,
    RetrieveCredential,
    RevokeCredential,
    RotateCredential,
)
from activities.stores.interfaces.credentials import CredentialStore


def build_rotate_credential_chain(
    store: CredentialStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``replaced``, ``credential``, ``until`` and ``signed`` in, ``revoked`` out: a new secret for an old one.

    In this order: when the process ends between the two, the old secret works until its overlap ends and another
    rotation is refused by name, while the other way round a secret that nobody has seen would stay valid.
    """
    links = [RotateCredential(store, clock=clock), IssueCredential(store, clock=clock)]
    return build_chain("RotateCredential", links, middleware)


def build_claim_credential_chain(
    store: CredentialStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``credential_id``, ``owner``, ``machine`` and ``signed`` in, ``claimed`` out."""
    return build_chain("ClaimCredential", [RetrieveCredential(store), ClaimCredential(store, clock=clock)], middleware)


def build_revoke_credential_chain(
    store: CredentialStore, middleware: Sequence[Middleware] = (), *, clock: Clock = epoch_millis
) -> NamedChain:
    """``credential_id``, ``until``, ``signed_out`` and ``signed`` in, ``revoked`` out."""
    links = [RetrieveCredential(store), RevokeCredential(store, clock=clock)]
    return build_chain("RevokeCredential", links, middleware)


build_issue_credential_chain: Final = chain_of(IssueCredential)
build_retrieve_credential_chain: Final = chain_of(RetrieveCredential, level=DEBUG)
build_list_credentials_chain: Final = chain_of(ListCredentials, level=DEBUG)
