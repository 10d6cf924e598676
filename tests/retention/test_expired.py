"""What DynamoDB's TTL removes and the embedded server does not: sweeps remove it there, and nothing else."""

import uuid

import pytest

from activities.stores.open import open_stores
from activities.stores.settings import StoreSettings
from tests.retention.house import DAY, NOW
from workflows.contracts.access import Credential, CredentialKind, Grant, Role


def credential(**changes: object) -> Credential:
    return Credential(
        credential_id=str(uuid.uuid4()), kind=CredentialKind.SESSION, digest="0" * 64, subject="ann",
        grants=[Grant(role=Role.VIEWER)], created_at=NOW - 300 * DAY,
    ).model_copy(update=changes)  # fmt: skip


async def test_what_has_expired_goes_where_nothing_else_removes_it(aws_endpoint: str) -> None:
    name = f"test-{uuid.uuid4().hex[:12]}"
    stores = open_stores(
        StoreSettings(environment=name, dynamodb_endpoint_url=aws_endpoint, s3_endpoint_url=aws_endpoint)
    )
    await stores.prepare()
    lives, ended = credential(), credential(expires_at=NOW - 200 * DAY)
    recent, revoked = credential(expires_at=NOW - 50 * DAY), credential(revoked_at=NOW - 101 * DAY)
    for each in (lives, ended, recent, revoked):
        await stores.credentials.put(each, [])
    assert (await stores.storage.expired(NOW, 100, remove=False)).objects == 4
    assert (await stores.storage.expired(NOW, 3, remove=False)).more
    assert (await stores.storage.expired(NOW, 100, remove=True)).objects == 4
    assert (await stores.storage.expired(NOW, 100, remove=True)).objects == 0
    page = await stores.credentials.list(CredentialKind.SESSION, limit=10, cursor=None)
    assert {each.credential_id for each in page.items} == {lives.credential_id, recent.credential_id}
    assert await stores.credentials.get(ended.credential_id) is None
    stores.close()


@pytest.mark.parametrize("remove", [False, True])
async def test_on_aws_itself_no_table_is_scanned(*, remove: bool) -> None:
    stores = open_stores(StoreSettings(environment="nowhere"))
    assert (await stores.storage.expired(NOW, 100, remove=remove)).objects == 0
    stores.close()
