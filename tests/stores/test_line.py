"""The contract of LineStore: one record, written in order with its event."""

import asyncio
from collections.abc import Callable

import pytest

from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.creation import create_tables
from activities.stores.dynamo.events import DynamoEventStore
from activities.stores.dynamo.line import DynamoLineStore
from activities.stores.dynamo.table import DeploymentTables
from activities.stores.interfaces.environments import LineStore
from activities.stores.interfaces.events import EventStore
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.line import MemoryLineStore
from tests.stores.conftest import settings_for
from tests.stores.releases import make_event
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.line import LineState, LineStop, StopKind, StopScope

Stores = tuple[LineStore, EventStore]


@pytest.fixture(params=["memory", "aws_endpoint", "dynamodb_local_endpoint"])
async def stores(request: pytest.FixtureRequest, clients_of: Callable[[str], AwsClients]) -> Stores:
    if request.param == "memory":
        events = MemoryEventStore()
        return MemoryLineStore(events), events
    clients, tables = clients_of(request.param), DeploymentTables.of(settings_for("http://unused"))
    await create_tables(clients, tables)
    return DynamoLineStore(clients, tables), DynamoEventStore(clients, tables.events)


def line_of(revision: int, *stop_ids: str) -> LineState:
    stops = [
        LineStop(
            stop_id=each,
            kind=StopKind.HOLD,
            name=each,
            scope=StopScope(all_services=True),
            starts_at=1,
            by="ann",
            created_at=1,
        )
        for each in stop_ids
    ]
    return LineState(stops=stops, changes=[f"c{revision}"], revision=revision, updated_at=revision)


async def test_the_line_is_read_as_it_was_written_and_only_the_next_one_is_taken(stores: Stores) -> None:
    lines, events = stores
    assert await lines.get() == LineState()
    assert not await lines.put(line_of(2, "a"), [make_event("early")])
    assert await lines.put(line_of(1, "a"), [make_event("first")])
    assert not await lines.put(line_of(1, "b"), [make_event("again")])
    assert await lines.put(line_of(2, "a", "b"), [make_event("second")])
    assert await lines.get() == line_of(2, "a", "b")
    found = (await events.list(EventQuery())).items
    assert sorted(event.event_id for event in found) == ["first", "second"]


async def test_one_of_12_racing_changes_is_the_next(stores: Stores) -> None:
    lines, events = stores
    tries = [line_of(1, f"s{number}") for number in range(12)]
    taken = await asyncio.gather(*(lines.put(each, [make_event(each.stops[0].stop_id)]) for each in tries))
    assert taken.count(True) == 1
    kept = tries[taken.index(True)]
    assert await lines.get() == kept
    assert [event.event_id for event in (await events.list(EventQuery())).items] == [kept.stops[0].stop_id]
