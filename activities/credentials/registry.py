"""Credentials as the API asks for them: issue, rotate, revoke, show, list.

These chains run in the API's process and never in a workflow: nothing of a credential goes through Temporal.
Deliberately not here: secrets (``api.auth.issuing`` makes them) and whether somebody may do it (``api.auth.guard``).
"""

from collections.abc import Sequence

from codeuchain import Middleware

from activities.chaining.chains import run_chain
from activities.clock import Clock, epoch_millis
from activities.credentials.chains import (
    build_claim_credential_chain,
    build_issue_credential_chain,
    build_list_credentials_chain,
    build_retrieve_credential_chain,
    build_revoke_credential_chain,
    build_rotate_credential_chain,
)
from activities.stores.interfaces.credentials import CredentialStore
from workflows.contracts.access import Credential, CredentialKind, CredentialPage
from workflows.contracts.who import WhoAndWhy


class CredentialRegistry:
    """What was handed out. Safe for concurrent use. Every method raises Unavailable when the store does not answer."""

    def __init__(
        self, store: CredentialStore, clock: Clock = epoch_millis, middleware: Sequence[Middleware] = ()
    ) -> None:
        self._clock = clock
        self._issue = build_issue_credential_chain(store, middleware, clock=clock)
        self._rotate = build_rotate_credential_chain(store, middleware, clock=clock)
        self._claim = build_claim_credential_chain(store, middleware, clock=clock)
        self._revoke = build_revoke_credential_chain(store, middleware, clock=clock)
        self._retrieve = build_retrieve_credential_chain(store, middleware)
        self._list = build_list_credentials_chain(store, middleware)

    async def issue(self, credential: Credential, *, signed: WhoAndWhy) -> Credential:
        """Keep a new one."""
        data = {"credential": credential, "signed": signed}
        return await run_chain(self._issue, data, result="credential", kind=Credential)

    async def rotate(
        self, replaced: Credential, successor: Credential, *, overlap_seconds: int, signed: WhoAndWhy
    ) -> Credential:
        """Keep ``successor``; the older one, which is returned, works until the overlap ends. Raises InvalidState."""
        until = self._clock() + overlap_seconds * 1000
        data = {"replaced": replaced, "credential": successor, "until": until, "signed": signed}
        return await run_chain(self._rotate, data, result="revoked", kind=Credential)

    async def claim(
        self, credential_id: str, *, owner: str, machine: bool, makers: list[str], signed: WhoAndWhy
    ) -> Credential:
        """Whose an ownerless key is; ``makers``: who says so. Raises NotFound, InvalidState."""
        whose = {"owner": owner, "machine": machine, "makers": makers}
        data = {"credential_id": credential_id, **whose, "signed": signed}
        return await run_chain(self._claim, data, result="claimed", kind=Credential)

    async def revoke(
        self, credential_id: str, *, grace_seconds: int = 0, signed_out: bool = False, signed: WhoAndWhy
    ) -> Credential:
        """End it, after the grace; ``signed_out``: by who used it, and was done. Doing it again changes nothing. Raises
        NotFound.
        """
        until = self._clock() + grace_seconds * 1000
        data = {"credential_id": credential_id, "until": until, "signed_out": signed_out, "signed": signed}
        return await run_chain(self._revoke, data, result="revoked", kind=Credential)

    async def get(self, credential_id: str) -> Credential:
        """As last written. Raises NotFound."""
        return await run_chain(self._retrieve, {"credential_id": credential_id}, result="credential", kind=Credential)

    async def list(self, kind: CredentialKind, *, limit: int = 50, cursor: str | None = None) -> CredentialPage:
        """One page, newest first. Raises ValidationFailed for a foreign cursor."""
        question = {"kind": kind, "limit": limit, "cursor": cursor}
        return await run_chain(self._list, question, result="page", kind=CredentialPage)
