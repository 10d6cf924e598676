"""The contract of MetricStore, on every implementation."""

import asyncio
import uuid
from collections.abc import Callable

import pytest

from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.creation import create_tables
from activities.stores.dynamo.metrics import DynamoMetricStore
from activities.stores.dynamo.table import MetricTables
from activities.stores.interfaces.metrics import MetricStore
from activities.stores.memory.metrics import MemoryMetricStore
from activities.stores.settings import StoreSettings
from tests.stores.agents import NOW, StoppedClock
from workflows.contracts.deployments.metrics import Incident, MetricsQuery, Sample
from workflows.contracts.errors import ValidationFailed

ROW = ("production", "error_rate", "a # strange / source")
DAY = 86_400_000


def sample(at: int, value: float, row: tuple[str, str, str] = ROW) -> Sample:
    environment, metric, source = row
    return Sample(environment=environment, metric=metric, source=source, at=at, value=value, by="ci")


@pytest.fixture(scope="module")
def tables() -> MetricTables:
    return MetricTables(metrics=f"metrics-{uuid.uuid4().hex[:12]}")


@pytest.fixture(params=["memory", "aws_endpoint", "dynamodb_local_endpoint"])
def store(request: pytest.FixtureRequest, clients_of: Callable[[str], AwsClients], tables: MetricTables) -> MetricStore:
    if request.param == "memory":
        return MemoryMetricStore()
    clients = clients_of(request.param)
    asyncio.run(create_tables(clients, tables))
    return DynamoMetricStore(clients, tables, StoppedClock(NOW))


@pytest.fixture
def deployment() -> str:
    return str(uuid.uuid4())


async def test_equal_time_and_row_replaces_and_the_newest_come_first(store: MetricStore, deployment: str) -> None:
    values = {NOW - 3: 0.1 + 0.2, NOW - 1: -0.0, NOW - 2: 1e300}
    for at, value in values.items():
        await store.keep(deployment, [sample(at, value)])
    await store.keep(deployment, [sample(NOW - 2, 5.0), sample(NOW - 2, 6.0)])
    found = await store.newest(deployment, ROW, 0, 10)
    assert [(each.at, each.value) for each in found] == [(NOW - 1, 0.0), (NOW - 2, 6.0), (NOW - 3, 0.1 + 0.2)]
    assert str(found[0].value) == "-0.0"
    assert found[0] == sample(NOW - 1, -0.0)
    assert [each.at for each in await store.newest(deployment, ROW, NOW - 2, 10)] == [NOW - 1, NOW - 2]
    assert [each.at for each in await store.newest(deployment, ROW, 0, 1)] == [NOW - 1]
    assert await store.newest(str(uuid.uuid4()), ROW, 0, 10) == []


async def test_rows_are_known_by_name(store: MetricStore, deployment: str) -> None:
    other = ("staging", "error_rate", "b")
    await store.keep(deployment, [sample(NOW, 1, other), sample(NOW, 1)])
    await store.keep(deployment, [sample(NOW + 1, 1)])
    assert await store.rows(deployment) == [ROW, other]
    assert await store.rows(str(uuid.uuid4())) == []


async def test_a_list_is_paged_and_filtered(store: MetricStore, deployment: str) -> None:
    rows = [("production", metric, source) for metric in ("error_rate", "latency_ms") for source in ("a", "b")]
    for at in range(7):
        await store.keep(deployment, [sample(NOW + at, at, row) for row in rows])

    async def all_of(**asked: str | int) -> list[Sample]:
        query = MetricsQuery.model_validate({"deployment_id": deployment, "limit": 3, **asked})
        found: list[Sample] = []
        while True:
            page = await store.list(query)
            assert len(page.items) <= 3
            found += page.items
            if page.next_cursor is None:
                return found
            query = query.model_copy(update={"cursor": page.next_cursor})

    everything = await all_of()
    assert len(everything) == 28
    assert len({(each.at, each.metric, each.source) for each in everything}) == 28
    assert [each.at for each in everything] == sorted((each.at for each in everything), reverse=True)
    assert len(await all_of(metric="error_rate")) == 14
    assert len(await all_of(metric="error_rate", source="a", environment="production")) == 7
    assert await all_of(environment="staging") == []
    assert {each.at for each in await all_of(since=NOW + 2, until=NOW + 4)} == {NOW + 2, NOW + 3, NOW + 4}
    with pytest.raises(ValidationFailed):
        await store.list(MetricsQuery(deployment_id=deployment, cursor="x"))


async def test_an_incident_acts_upon_one_deployment(store: MetricStore) -> None:
    service, incident = f"svc-{uuid.uuid4().hex[:8]}", "fingerprint of \ud800 strange kind" * 20
    first, other = (Incident(deployment_id=each, version=each, at=NOW) for each in ("d1", "d2"))
    both = await asyncio.gather(*(store.claim(service, "production", incident, each) for each in (first, other)))
    assert both.count(None) == 1, "one wins"
    winner, loser = (first, other) if both[0] is None else (other, first)
    assert await store.claim(service, "production", incident, loser) == winner
    assert await store.claim(service, "production", incident, winner) is None, "the same may go on"
    assert await store.claim(service, "staging", incident, loser) is None, "it is another environment's"
    await store.unclaim(service, "production", incident, loser.deployment_id)
    assert await store.claim(service, "production", incident, loser) == winner
    await store.unclaim(service, "production", incident, winner.deployment_id)
    assert await store.claim(service, "production", incident, loser) is None


@pytest.mark.parametrize("endpoint", ["aws_endpoint", "dynamodb_local_endpoint"])
async def test_what_is_too_old_is_gone(
    endpoint: str, clients_of: Callable[[str], AwsClients], tables: MetricTables, deployment: str
) -> None:
    clients = clients_of(endpoint)
    await create_tables(clients, tables)
    now = DynamoMetricStore(clients, tables, StoppedClock(NOW))
    by = Incident(deployment_id="d1", version="1", at=NOW)
    await now.keep(deployment, [sample(NOW, 1)])
    await now.claim("shop", deployment, "i", by)
    later = DynamoMetricStore(clients, tables, lambda: NOW + 29 * DAY)
    assert len(await later.newest(deployment, ROW, 0, 9)) == 1
    assert await later.claim("shop", deployment, "i", by.model_copy(update={"deployment_id": "d2"})) is None
    gone = DynamoMetricStore(clients, tables, lambda: NOW + 32 * DAY)
    assert await gone.newest(deployment, ROW, 0, 9) == []
    assert await gone.rows(deployment) == []
    assert (await gone.list(MetricsQuery(deployment_id=deployment))).items == []


def test_ages_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDCI_KEEP_METRICS", "60d")
    monkeypatch.setenv("HYBRIDCI_KEEP_INCIDENTS", "2h")
    settings = StoreSettings()
    assert (settings.keep_metrics, settings.keep_incidents) == (60 * 86_400, 7_200)
    monkeypatch.setenv("HYBRIDCI_KEEP_METRICS", "1d")
    with pytest.raises(ValueError, match="must be 8d at least"):
        StoreSettings()
