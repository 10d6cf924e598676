"""The contract of AgentStore: records under their revision, heartbeats beside them, pools, demands."""

import asyncio
import random
from collections.abc import Callable

import pytest

from activities.bounded import gather_bounded
from activities.stores.demands import KEPT_SECONDS
from activities.stores.dynamo.agents import AgentItems, DynamoAgentStore
from activities.stores.dynamo.batches import put_batch
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.creation import create_tables
from activities.stores.dynamo.table import AgentTables, pool_list
from activities.stores.interfaces.agents import AgentStore
from tests.stores.agents import NOW, make_agent, make_beat, make_pool
from tests.stores.conftest import AgentStores
from tests.stores.lives import NOON
from tests.stores.releases import make_event
from tests.stores.trails import trail
from workflows.contracts.agents import Agent, AgentQuery, PoolBounds
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.errors import Unavailable, ValidationFailed


async def test_an_agent_is_read_with_its_last_heartbeat(registry: AgentStores) -> None:
    agent = make_agent(
        labels={"os": "linux", "spot": ""}, capacity=0, note="", paused_at=0, paused_until=0, public_keys=["k" * 44]
    )
    beat = make_beat(cpu_percent=0.0, running=["a", "b"], skew_ms=-3, sequence=0, quarantine_reason="")
    assert await registry.agents.get("build-1") is None
    assert await registry.agents.put(agent, [])
    assert await registry.agents.get("build-1") == agent
    await registry.agents.beat([beat])
    wanted = agent.model_copy(update={"beat": beat})
    assert await registry.agents.get("build-1") == wanted
    assert await registry.agents.of_pool("default") == [wanted]
    assert (await registry.agents.list(AgentQuery())).items == [wanted]
    await registry.agents.beat([newer := beat.model_copy(update={"sequence": 1, "cpu_percent": None, "running": []})])
    assert await registry.agents.get("build-1") == agent.model_copy(update={"beat": newer})


async def test_a_record_follows_the_one_before_it_and_events_go_with_it(registry: AgentStores) -> None:
    store, first, event = registry.agents, make_agent(), make_event("e1", agent_id="build-1")
    second = first.model_copy(update={"revision": 2, "draining": True})
    assert not await store.put(second, [event])
    assert await store.put(first, [event])
    assert await store.put(first, [event]), "the same again"
    assert not await store.put(first.model_copy(update={"draining": True}), [make_event("lost")])
    assert not await store.put(first.model_copy(update={"revision": 3}), [make_event("lost")])
    assert await store.put(second, [event, make_event("e2", at=NOON + 1, agent_id="build-1")])
    assert not await store.put(first, [make_event("lost")])
    assert await store.get("build-1") == second
    assert [each.event_id for each in await trail(registry.events, EventQuery(agent_id="build-1"))] == ["e2", "e1"]
    assert len(await trail(registry.events)) == 2


async def test_one_of_many_racing_changes_of_an_agent_wins(registry: AgentStores) -> None:
    racing = [make_agent(hostname=f"host-{number}") for number in range(12)]
    made = await asyncio.gather(*(registry.agents.put(each, [make_event(each.hostname)]) for each in racing))
    assert made.count(True) == 1
    first = racing[made.index(True)]
    moves = [first.model_copy(update={"revision": 2, "pool": f"pool-{number}"}) for number in range(12)]
    made = await asyncio.gather(*(registry.agents.put(each, [make_event(each.pool)]) for each in moves))
    assert made.count(True) == 1
    winner = moves[made.index(True)]
    assert await registry.agents.get("build-1") == winner
    found = [await registry.agents.of_pool(pool) for pool in ("default", *(each.pool for each in moves))]
    assert [each for pool in found for each in pool] == [winner]
    assert {each.event_id for each in await trail(registry.events)} == {first.hostname, winner.pool}


async def test_an_agent_leaves_its_pool_when_it_enters_another(registry: AgentStores) -> None:
    store, agent = registry.agents, make_agent()
    await store.put(agent, [])
    await store.beat([make_beat()])
    moved = agent.model_copy(update={"revision": 2, "pool": "gpu"})
    assert await store.put(moved, [])
    assert await store.of_pool("default") == []
    assert await store.of_pool("gpu") == [moved], "what it said in the other pool counts no more"
    await store.beat([make_beat(sequence=9)])  # it was on its way
    assert await store.get("build-1") == moved
    assert await store.of_pool("default") == []
    await store.beat([beat := make_beat(pool="gpu", sequence=10)])
    assert await store.of_pool("gpu") == [moved.model_copy(update={"beat": beat})]
    assert (await store.list(AgentQuery(pool="default"))).items == []
    assert [each.pool for each in (await store.list(AgentQuery())).items] == ["gpu"]


async def test_a_forgotten_agent_is_gone_from_everywhere(registry: AgentStores) -> None:
    store, agent = registry.agents, make_agent(pool="gpu", revision=1)
    await store.forget("build-1")
    await store.put(agent, [])
    await store.put(make_agent("build-2", pool="gpu"), [])
    await store.beat([make_beat(pool="gpu")])
    await store.put(agent.model_copy(update={"revision": 2}), [])
    await store.forget("build-1", 1)
    assert await store.get("build-1") is not None, "it changed since"
    await asyncio.gather(store.forget("build-1", 2), store.forget("build-1"))
    assert await store.get("build-1") is None
    assert [each.agent_id for each in await store.of_pool("gpu")] == ["build-2"]
    assert [each.agent_id for each in (await store.list(AgentQuery())).items] == ["build-2"]
    assert await store.put(agent, [])
    assert await store.get("build-1") == agent, "and what it said before is not remembered"


async def test_more_heartbeats_than_a_batch_takes_are_all_kept(registry: AgentStores) -> None:
    agents = [make_agent(f"build-{number:03d}", pool=f"pool-{number % 2}") for number in range(60)]
    await gather_bounded(lambda agent: registry.agents.put(agent, []), agents)
    for sequence in (1, 2):
        beats = [make_beat(agent.agent_id, pool=agent.pool, sequence=sequence) for agent in agents]
        random.Random(7).shuffle(beats)
        await registry.agents.beat(beats)
    await registry.agents.beat([])
    for pool in ("pool-0", "pool-1"):
        found = await registry.agents.of_pool(pool)
        assert [each.agent_id for each in found] == [each.agent_id for each in agents if each.pool == pool]
        assert {each.beat.sequence for each in found if each.beat is not None} == {2}
        assert all(each.beat is not None and each.beat.agent_id == each.agent_id for each in found)
    for query in (AgentQuery(limit=50), AgentQuery(limit=9, pool="pool-1")):
        listed = await all_of(registry.agents, query)
        assert [each.agent_id for each in listed] == [a.agent_id for a in agents if query.pool in {None, a.pool}]
        assert all(each.beat is not None for each in listed)


async def all_of(store: AgentStore, query: AgentQuery) -> list[Agent]:
    found: list[Agent] = []
    for _ in range(100):
        page = await store.list(query)
        assert len(page.items) <= query.limit
        found += page.items
        if page.next_cursor is None:
            return found
        query = query.model_copy(update={"cursor": page.next_cursor})
    raise AssertionError("the list does not end")


async def test_an_agents_cursor_is_good_for_its_own_list_only(registry: AgentStores) -> None:
    for name in ("a", "b"):
        await registry.agents.put(make_agent(name), [])
    cursor = (await registry.agents.list(AgentQuery(limit=1))).next_cursor
    for query in (AgentQuery(pool="gpu", cursor=cursor), AgentQuery(cursor="x")):
        with pytest.raises(ValidationFailed):
            await registry.agents.list(query)


async def test_pools_are_kept_under_their_revision(registry: AgentStores) -> None:
    store, pool, event = registry.agents, make_pool(public_keys=["k" * 44]), make_event("scaled", pool="default")
    scaled = pool.model_copy(update={"revision": 2, "bounds": PoolBounds(max_agents=0), "public_keys": []})
    assert await store.pool("default") is None
    assert await store.pools() == []
    assert not await store.put_pool(scaled, [event])
    assert await store.put_pool(pool, [])
    assert await store.put_pool(pool, []), "the same again"
    assert await store.put_pool(scaled, [event])
    assert not await store.put_pool(pool.model_copy(update={"updated_by": "ann"}), [make_event("lost")])
    await asyncio.gather(*(store.put_pool(make_pool(name), []) for name in ("arm", "zoo", "b")))
    assert await store.pool("default") == scaled
    assert [each.name for each in await store.pools()] == ["arm", "b", "default", "zoo"]
    assert await trail(registry.events) == [event]


async def test_demands_are_the_latest_of_a_week(registry: AgentStores) -> None:
    store, clock = registry.agents, registry.clock
    await store.demand("default", ["gpu=*"], NOW)
    await store.demand("default", ["!spot", "os=linux"], NOW + 5)
    await store.demand("default", ["os=linux"], NOW + 3)
    await store.demand("gpu", ["os=linux"], NOW)
    await store.demand("default", ["gpu=*"], NOW + 9)
    await store.demand("default", ["gpu=*"], NOW + 1)  # it was on its way
    clock.now = NOW + 10
    found = [(each.requires, each.last_used_at) for each in await store.demands("default")]
    assert found == [(["gpu=*"], NOW + 9), (["!spot", "os=linux"], NOW + 5), (["os=linux"], NOW + 3)]
    clock.now = NOW + 4 + KEPT_SECONDS * 1000
    assert [each.requires for each in await store.demands("default")] == [["gpu=*"], ["!spot", "os=linux"]]
    assert await store.demands("nobody") == []
    clock.now = NOW
    await asyncio.gather(*(store.demand("raced", ["os=linux"], NOW + number) for number in range(8)))
    assert [(each.requires, each.last_used_at) for each in await store.demands("raced")] == [(["os=linux"], NOW + 7)]
    await gather_bounded(lambda n: store.demand("many", [f"n={n:03d}"], NOW + n), range(120))
    assert [each.requires for each in await store.demands("many")] == [[f"n={n:03d}"] for n in range(119, 19, -1)]


async def test_what_a_batch_leaves_is_written_again(
    clients_of: Callable[[str], AwsClients], agent_tables: AgentTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under throttling: the server takes one item of each batch, or none."""
    clients = clients_of("aws_endpoint")
    await create_tables(clients, agent_tables)
    store, write, takes = DynamoAgentStore(clients, agent_tables), clients.dynamodb.batch_write_item, 20

    def reluctant(RequestItems: dict[str, list[object]]) -> object:  # noqa: N803 - boto3's name
        ((table, items),) = RequestItems.items()
        if takes:
            write(RequestItems={table: items[:takes]})  # pyright: ignore[reportArgumentType]
        return {"UnprocessedItems": {table: items[takes:]} if items[takes:] else {}}

    monkeypatch.setattr(clients.dynamodb, "batch_write_item", reluctant)
    agents = [make_agent(f"build-{number}") for number in range(30)]
    await gather_bounded(lambda agent: store.put(agent, []), agents)
    await store.beat([make_beat(agent.agent_id) for agent in agents])
    assert all(agent.beat is not None for agent in await store.of_pool("default"))
    takes = 0
    monkeypatch.setattr("activities.stores.dynamo.batches._ROUNDS", 3)
    with pytest.raises(Unavailable, match="Try again later"):
        await store.beat([make_beat(agent.agent_id, sequence=2) for agent in agents])


async def test_a_pool_of_thousands_is_read_whole(
    clients_of: Callable[[str], AwsClients], agent_tables: AgentTables
) -> None:
    """Many pages and many batches, each agent with its own heartbeat. Speed is measured by `hybridci bench`."""
    clients, count = clients_of("aws_endpoint"), 2_000
    await create_tables(clients, agent_tables)
    store, agents = DynamoAgentStore(clients, agent_tables), [make_agent(f"build-{n:05d}") for n in range(count)]
    puts = [put["Put"] for agent in agents for put in AgentItems(agent_tables.agents, agent).put(None)]
    members = [put["Item"] for put in puts if put["Item"]["list_shard"]["S"].startswith(pool_list("default"))]
    await put_batch(clients, agent_tables.agents, members)
    await store.beat([make_beat(agent.agent_id, running=["a" * 36]) for agent in agents])
    found = await store.of_pool("default")
    assert [each.agent_id for each in found] == [agent.agent_id for agent in agents]
    assert all(each.beat is not None for each in found)
