"""Creating the schema, the settings that name it, and what a server that does not answer means."""

import asyncio
from collections.abc import Callable
from dataclasses import astuple, replace

import pytest

from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.creation import create_tables
from activities.stores.dynamo.table import TTL_ATTRIBUTE, AgentTables, DeploymentTables, JobTables
from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.open import ensure_schema, open_stores
from activities.stores.settings import StoreSettings
from tests import servers
from tests.stores.agents import make_agent, make_beat, make_pool
from tests.stores.conftest import settings_for
from tests.stores.lives import make_job
from tests.stores.releases import make_deployment, make_event, make_service, make_state
from workflows.contracts.agents import AgentQuery
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.deployment import DeploymentQuery, DeploymentWrite
from workflows.contracts.deployments.environments import EnvironmentWrite
from workflows.contracts.errors import Unavailable
from workflows.contracts.ids import new_job_id
from workflows.contracts.records import JobQuery, JobWrite


async def test_the_schema_can_be_created_at_the_same_time_and_again(aws_endpoint: str) -> None:
    settings = settings_for(aws_endpoint)
    await asyncio.gather(*(ensure_schema(settings) for _ in range(3)))
    stores = open_stores(settings)
    assert await stores.jobs.write(JobWrite(job=make_job())) is WriteOutcome.APPLIED
    for name in ("cart", "checkout", "search"):
        deployment = make_deployment(service_name=name)
        await stores.deployments.write(DeploymentWrite(deployment=deployment, events=[make_event(name)]))
    await ensure_schema(settings)
    assert (await stores.jobs.queue_stats()).total == 1
    assert (await stores.deployments.stats()).total == 3
    assert len((await stores.events.list(EventQuery())).items) == 3
    assert (await stores.services.list(limit=1, cursor=None)).items == []
    assert await stores.environments.of_service("cart") == []
    assert await stores.artifacts.list(new_job_id(), 1) == []
    assert await stores.agents.put(make_agent(), [make_event("agent")])
    assert [agent.agent_id for agent in await stores.agents.of_pool("default")] == ["build-1"]
    stores.close()


@pytest.mark.parametrize("endpoint_fixture", ["aws_endpoint", "dynamodb_local_endpoint"])
async def test_tables_are_on_demand_and_days_expire(
    clients_of: Callable[[str], AwsClients],
    tables: JobTables,
    deployment_tables: DeploymentTables,
    agent_tables: AgentTables,
    endpoint_fixture: str,
) -> None:
    clients = clients_of(endpoint_fixture)
    await asyncio.gather(*(create_tables(clients, tables) for _ in range(4)))
    await create_tables(clients, deployment_tables)
    await create_tables(clients, agent_tables)
    for name in (*astuple(tables), *astuple(deployment_tables), *astuple(agent_tables)):
        table = clients.dynamodb.describe_table(TableName=name)["Table"]
        assert table.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    for name in (tables.statistics, agent_tables.agents):
        expiry = clients.dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        assert (expiry.get("TimeToLiveStatus"), expiry.get("AttributeName")) == ("ENABLED", TTL_ATTRIBUTE)


async def test_a_table_of_something_else_is_left_alone(
    clients_of: Callable[[str], AwsClients], tables: JobTables, deployment_tables: DeploymentTables
) -> None:
    await create_tables(clients_of("aws_endpoint"), tables)
    with pytest.raises(Unavailable, match="exists with other keys"):
        await create_tables(clients_of("aws_endpoint"), replace(tables, jobs=tables.statistics, statistics=tables.jobs))
    with pytest.raises(Unavailable, match="DYNAMODB_TABLE_"):
        await create_tables(clients_of("aws_endpoint"), replace(deployment_tables, services=tables.job_lists))


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
        stores.deployments.get(job_id),
        stores.deployments.list(DeploymentQuery()),
        stores.deployments.write(DeploymentWrite(deployment=make_deployment(), events=[make_event()])),
        stores.deployments.stats(),
        stores.deployments.day_count("2025-11-21"),
        stores.services.get("checkout"),
        stores.services.list(limit=1, cursor=None),
        stores.services.put(make_service(), expected_version=None, events=[]),
        stores.environments.write(EnvironmentWrite(state=make_state())),
        stores.environments.of_service("checkout"),
        stores.events.append(make_event()),
        stores.events.list(EventQuery()),
        stores.agents.get("build-1"),
        stores.agents.put(make_agent(), []),
        stores.agents.of_pool("default"),
        stores.agents.list(AgentQuery()),
        stores.agents.beat([make_beat()]),
        stores.agents.forget("build-1"),
        stores.agents.pool("default"),
        stores.agents.pools(),
        stores.agents.put_pool(make_pool(), []),
        stores.agents.demand("default", ["gpu=*"], 1),
        stores.agents.demands("default"),
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
        "hybrid-ci-cd-jobs-production",
        "hybrid-ci-cd-job-lists-production",
        "counters",
        "hybrid-ci-cd-events-production",
    )
    monkeypatch.setenv("DYNAMODB_TABLE_EVENTS", "trail")
    assert DeploymentTables.of(StoreSettings()) == DeploymentTables(
        deployments="hybrid-ci-cd-deployments-production",
        deployment_lists="hybrid-ci-cd-deployment-lists-production",
        services="hybrid-ci-cd-services-production",
        environments="hybrid-ci-cd-environments-production",
        events="trail",
        statistics="counters",
    )
    monkeypatch.setenv("DYNAMODB_TABLE_AGENTS", "hosts")
    assert AgentTables.of(StoreSettings()) == AgentTables(agents="hosts", events="trail")
    assert (settings.bucket, settings.aws_region) == ("hybrid-ci-cd-logs-production", "eu-west-1")
    assert settings.dynamodb_endpoint_url is None
