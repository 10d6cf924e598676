"""The implementations that the contract suite runs against, each on empty tables of its own."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.jobs import DynamoJobStore
from activities.stores.dynamo.table import JobTables, create_tables
from activities.stores.interfaces import ArtifactStore, JobStore, LogStore
from activities.stores.memory import MemoryJobStore
from activities.stores.open import Stores, ensure_schema, open_memory_stores, open_stores
from activities.stores.settings import StoreSettings
from tests.stores.dynamodb_local import dynamodb_local


@pytest.fixture(scope="session")
def dynamodb_local_endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cache = request.config.cache
    folder: Path = cache.mkdir("dynamodb-local") if cache else tmp_path_factory.mktemp("cache")
    with dynamodb_local(folder, tmp_path_factory.mktemp("dynamodb-local")) as url:
        yield url


def endpoint(request: pytest.FixtureRequest, implementation: str) -> str:
    fixture = "aws_endpoint" if implementation == "embedded" else "dynamodb_local_endpoint"
    return str(request.getfixturevalue(fixture))


def settings_for(url: str) -> StoreSettings:
    return StoreSettings(environment=f"test-{uuid.uuid4().hex[:12]}", dynamodb_endpoint_url=url, s3_endpoint_url=url)


@pytest.fixture(params=["memory", "embedded", "dynamodb-local"])
async def jobs(request: pytest.FixtureRequest) -> AsyncIterator[JobStore]:
    if request.param == "memory":
        yield MemoryJobStore()
        return
    settings = settings_for(endpoint(request, request.param))
    clients = AwsClients(settings)
    await create_tables(clients, JobTables.of(settings))
    yield DynamoJobStore(clients, JobTables.of(settings))
    clients.close()


@pytest.fixture(params=["memory", "embedded"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield open_memory_stores()
        return
    settings = settings_for(endpoint(request, request.param))
    await ensure_schema(settings)
    opened = open_stores(settings)
    yield opened
    opened.close()


@pytest.fixture
def logs(stores: Stores) -> LogStore:
    return stores.logs


@pytest.fixture
def artifacts(stores: Stores) -> ArtifactStore:
    return stores.artifacts
