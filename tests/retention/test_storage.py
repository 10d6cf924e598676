"""What goes where nothing else removes it: what has expired on the embedded server, objects of a bucket."""

import asyncio
import uuid

import pytest

from activities.stores.dynamo.client import AwsClients
from activities.stores.interfaces.amounts import Amount
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


async def test_more_objects_than_one_listing_has_go_and_are_counted(aws_endpoint: str) -> None:
    name = f"test-{uuid.uuid4().hex[:12]}"
    settings = StoreSettings(environment=name, dynamodb_endpoint_url=aws_endpoint, s3_endpoint_url=aws_endpoint)
    stores, clients = open_stores(settings), AwsClients(settings)
    await stores.prepare()
    for first in range(0, 1005, 15):
        keys = [f"artifacts/job-1/0001/f{number:04d}" for number in range(first, first + 15)]
        keys += ["artifacts/job-10/0001/a"] if first == 0 else []
        puts = (clients.call_s3(clients.s3.put_object, Bucket=settings.bucket, Key=key, Body=b"xy") for key in keys)
        await asyncio.gather(*puts)
    assert await stores.artifacts.stored("job-1") == Amount(1005, 2010)
    part = await stores.storage.artifacts(500)
    assert (part.objects >= 500, part.more) == (True, True)
    assert await stores.artifacts.remove("job-1") == Amount(1005, 2010)
    assert await stores.artifacts.remove("job-1") == Amount()
    assert await stores.artifacts.stored("job-10") == Amount(1, 2), "another job's, whose id begins alike"
    rules = clients.s3.get_bucket_lifecycle_configuration(Bucket=settings.bucket)["Rules"]
    assert [rule.get("AbortIncompleteMultipartUpload") for rule in rules] == [{"DaysAfterInitiation": 7}]
    assert all("Expiration" not in rule for rule in rules), "an age in the bucket knows nothing of what is live"
    clients.close()
    stores.close()
