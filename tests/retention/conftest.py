"""The same stores in memory and on the embedded servers, empty for each test."""

import uuid
from collections.abc import AsyncIterator

import pytest

from activities.stores.open import open_memory_stores, open_stores
from activities.stores.settings import StoreSettings
from tests.retention.house import House


@pytest.fixture(params=["memory", "embedded"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "memory":
        yield House(open_memory_stores())
        return
    url = request.getfixturevalue("aws_endpoint")
    name = f"test-{uuid.uuid4().hex[:12]}"
    stores = open_stores(StoreSettings(environment=name, dynamodb_endpoint_url=url, s3_endpoint_url=url))
    await stores.prepare()
    yield House(stores)
    stores.close()
