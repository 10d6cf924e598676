"""How a credential ends: taken away, signed out, or by itself; and how long it is remembered."""

from typing import Any

import pytest

from activities.credentials.registry import CredentialRegistry
from activities.stores.dynamo.credentials import kept_until
from activities.stores.open import open_memory_stores
from workflows.contracts.access import Credential, CredentialKind
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.rules import ApprovalPolicy
from workflows.contracts.who import WhoAndWhy

NOW = 1_000_000
ADMIN = WhoAndWhy(by="admin")
DAY = 86_400


def made(kind: CredentialKind, **changes: Any) -> Credential:
    credential = Credential(credential_id="c", kind=kind, digest="", subject="bob", grants=[], created_at=1)
    return credential.model_copy(update=changes)


@pytest.mark.parametrize("kind", [CredentialKind.KEY, CredentialKind.SESSION, CredentialKind.TOKEN])
@pytest.mark.parametrize("ended", [{}, {"expires_at": NOW - 1}, {"revoked_at": NOW - 1, "signed_out": True}])
async def test_what_a_person_used_can_be_revoked_whatever_ended_it_before(
    kind: CredentialKind, ended: dict[str, Any]
) -> None:
    stores = open_memory_stores()
    registry = CredentialRegistry(stores.credentials, lambda: NOW)
    await registry.issue(made(kind, **ended), signed=ADMIN)
    revoked = await registry.revoke("c", signed=ADMIN)
    assert (revoked.revoked_at, revoked.signed_out, revoked.revision) == (NOW, False, 2)
    assert await registry.revoke("c", signed=ADMIN) == revoked, "again"
    assert await registry.revoke("c", signed_out=True, signed=ADMIN) == revoked, "signing out takes nothing back"
    assert len((await stores.events.list(EventQuery())).items) == 2, "issued, and ended once"


async def test_signing_out_is_kept_as_that() -> None:
    registry = CredentialRegistry(open_memory_stores().credentials, lambda: NOW)
    await registry.issue(made(CredentialKind.SESSION, expires_at=NOW + 5), signed=ADMIN)
    for _ in range(2):
        left = await registry.revoke("c", signed_out=True, signed=ADMIN)
        assert (left.revoked_at, left.signed_out, left.revision) == (NOW, True, 2)


@pytest.mark.parametrize("ended", [{"expires_at": NOW + 5}, {"revoked_at": NOW}])
async def test_an_agents_token_that_ends_anyway_stays_as_it_is(ended: dict[str, int]) -> None:
    registry = CredentialRegistry(open_memory_stores().credentials, lambda: NOW)
    token = await registry.issue(made(CredentialKind.AGENT, **ended), signed=ADMIN)
    assert await registry.revoke("c", grace_seconds=60, signed=ADMIN) == token


def test_what_ended_is_remembered_for_longer_than_an_approval_can_wait() -> None:
    (longest,) = (each.le for each in ApprovalPolicy.model_fields["expires_seconds"].metadata if hasattr(each, "le"))
    for kind in (CredentialKind.KEY, CredentialKind.SESSION, CredentialKind.TOKEN):
        until = kept_until(made(kind, expires_at=NOW, revoked_at=NOW * 2), 100 * DAY)
        assert until is not None
        assert until - NOW // 1000 > longest
    assert kept_until(made(CredentialKind.AGENT, revoked_at=NOW), 100 * DAY) == NOW // 1000 + 7 * DAY
    assert kept_until(made(CredentialKind.KEY), 100 * DAY) is None
    assert kept_until(made(CredentialKind.KEY, revoked_at=NOW), 365 * DAY) == NOW // 1000 + 365 * DAY
