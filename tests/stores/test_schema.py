"""Creating the schema, the settings that name it, and what a server that does not answer means."""

import asyncio
from collections.abc import Callable

import pytest

from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.table import TTL_ATTRIBUTE, JobTables, create_tables
from activities.stores.interfaces import WriteOutcome
from activities.stores.open import ensure_schema, open_stores
from activities.stores.settings import StoreSettings
from tests import servers
from tests.stores.conftest import settings_for
from tests.stores.lives import make_job
from workflows.contracts.errors import Unavailable
from workflows.contracts.ids import new_job_id
from workflows.contracts.records import JobQuery, JobWrite


async def test_the_schema_can_be_created_at_the_same_time_and_again(aws_endpoint: str) -> None:
    settings = settings_for(aws_endpoint)
    await asyncio.gather(*(ensure_schema(settings) for _ in range(3)))
    stores = open_stores(settings)
    assert await stores.jobs.write(JobWrite(job=make_job())) is WriteOutcome.APPLIED
    await ensure_schema(settings)
    assert (await stores.jobs.queue_stats()).total == 1
    assert await stores.artifacts.list(new_job_id(), 1) == []
    stores.close()


@pytest.mark.parametrize("endpoint_fixture", ["aws_endpoint", "dynamodb_local_endpoint"])
async def test_tables_are_on_demand_and_days_expire(
    clients_of: Callable[[str], AwsClients], tables: JobTables, endpoint_fixture: str
) -> None:
    clients = clients_of(endpoint_fixture)
    await asyncio.gather(*(create_tables(clients, tables) for _ in range(4)))
    for name in (tables.jobs, tables.job_lists, tables.statistics):
        table = clients.dynamodb.describe_table(TableName=name)["Table"]
        assert table.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    expiry = clients.dynamodb.describe_time_to_live(TableName=tables.statistics)["TimeToLiveDescription"]
    assert (expiry.get("TimeToLiveStatus"), expiry.get("AttributeName")) == ("ENABLED", TTL_ATTRIBUTE)


async def test_a_table_of_something_else_is_left_alone(
    clients_of: Callable[[str], AwsClients], tables: JobTables
) -> None:
    await create_tables(clients_of("aws_endpoint"), tables)
    with pytest.raises(Unavailable, match="exists with other keys"):
        await create_tables(clients_of("aws_endpoint"), JobTables(tables.statistics, tables.job_lists, tables.jobs))


async def test_without_tables_and_bucket_everything_is_unavailable(aws_endpoint: str) -> None:
    await everything_is_unavailable(settings_for(aws_endpoint))


async def test_without_a_server_everything_is_unavailable() -> None:
    await everything_is_unavailable(settings_for(f"http://{servers.HOST}:{servers.free_port()}"))


async def everything_is_unavailable(settings: StoreSettings) -> None:
    stores = open_stores(settings)
    job_id = new_job_id()
    calls = (
        stores.jobs.get(job_id),
        stores.jobs.list(JobQuery()),
        stores.jobs.write(JobWrite(job=make_job())),
        stores.jobs.queue_stats(),
        stores.artifacts.list(job_id, 1),
        anext(stores.logs.read(job_id, 1)),
    )
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes), outcomes
    stores.close()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("DYNAMODB_TABLE_STATISTICS", "counters")
    monkeypatch.setenv("DYNAMODB_ENDPOINT_URL", "")
    settings = StoreSettings()
    assert JobTables.of(settings) == JobTables(
        "hybrid-ci-cd-jobs-production", "hybrid-ci-cd-job-lists-production", "counters"
    )
    assert (settings.bucket, settings.aws_region) == ("hybrid-ci-cd-logs-production", "eu-west-1")
    assert settings.dynamodb_endpoint_url is None
