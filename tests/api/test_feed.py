"""Following the feed: from a place on, nothing twice, nothing left out, nothing of others; slow ones and outages."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest

from activities.stores.memory.events import MemoryEventStore
from api.audit import follow, routes
from api.audit.events import as_events
from api.audit.follow import Ended, FeedFollower, FeedQuiet, Told
from api.audit.positions import heads_of, position_of
from api.audit.tail import Tail
from tests.api.conftest import Bench
from tests.api.gate import Gate
from tests.api.live import serving, until
from tests.stores.releases import make_event
from workflows.contracts.audit.feed import FeedRow
from workflows.contracts.errors import Unavailable

EVENTS = "/api/events"


class Stream:
    """A follower over HTTP: what it was told so far."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.position = ""

    async def begun(self) -> None:
        """Where it stands is known before anything happens."""
        async for line in self._lines:
            if line.startswith("id: "):
                self.position = line.removeprefix("id: ")
                return

    async def event(self) -> dict[str, Any]:
        """The next one, as CloudEvent; of the end, ``{"reason": …}``."""
        async with asyncio.timeout(10):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name == "id":
                    self.position = value
                elif name == "data":
                    return json.loads(value)
        raise AssertionError("the stream ended")

    async def ids(self, count: int) -> list[str]:
        return [(await self.event())["id"] for _ in range(count)]


@asynccontextmanager
async def following(
    client: httpx.AsyncClient, query: str = "", *, behind: str | None = None, key: str | None = None
) -> AsyncGenerator[Stream]:
    headers = {"Accept": "text/event-stream"}
    headers |= {"Last-Event-ID": behind} if behind is not None else {}
    headers |= {"Authorization": f"Bearer {key}"} if key is not None else {}
    async with client.stream("GET", f"{EVENTS}?follow=true{query}", headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        stream = Stream(answer.aiter_lines())
        async with asyncio.timeout(10):
            await stream.begun()
        yield stream


@pytest.fixture
async def gate(bench: Bench) -> Gate:
    return Gate(bench)


async def test_a_follower_is_told_what_happens_as_cloud_events(bench: Bench) -> None:
    await bench.stores.events.append(make_event("before"))
    async with serving(bench.app) as client, following(client) as stream:
        assert stream.position == "0-1"
        await bench.stores.events.append(make_event("first", deployment_id="d", reason="ü", details={"n": 1.5}))
        told = await stream.event()
        assert {name: value for name, value in told.items() if name != "data"} == {
            "specversion": "1.0",
            "id": "first",
            "source": "/hybridci/development",
            "type": "deployment.approved",
            "subject": "deployments/d",
            "time": "2023-11-14T12:00:00.000Z" if told["time"].startswith("2023") else told["time"],
            "datacontenttype": "application/json",
            "sequence": "1",
            "position": "0-2",
        }
        assert told["time"].endswith("Z")
        assert (told["data"]["reason"], told["data"]["details"]) == ("ü", {"n": 1.5})
        assert told["data"]["time"] == told["time"]
        listed = (await client.get(f"{EVENTS}?format=cloudevents&deployment_id=d")).json()["items"]
        placed = {"sequence", "position"}
        assert listed == [{name: value for name, value in told.items() if name not in placed}]


async def test_going_on_behind_the_last_event_brings_nothing_twice_and_leaves_nothing_out(bench: Bench) -> None:
    store = bench.stores.events
    for number in range(130):  # more than a page of what is kept
        await store.append(make_event(f"{number:03d}", deployment_id=f"d-{number % 3}"))
    async with serving(bench.app) as client:
        async with following(client, "&start=first") as stream:
            assert await stream.ids(70) == [f"{number:03d}" for number in range(70)]
            position = stream.position
        await store.append(make_event("while away"))
        async with following(client, behind=position) as stream:
            wanted = [*(f"{number:03d}" for number in range(70, 130)), "while away"]
            assert await stream.ids(len(wanted)) == wanted
            await store.append(make_event("live"))
            assert await stream.ids(1) == ["live"]


async def test_a_follower_sees_only_what_its_grants_reach(gate: Gate) -> None:
    bench = gate.bench
    own = (await gate.make({"role": "operator", "services": ["checkout"]}))["key"]
    pool = (await gate.make({"role": "operator", "pools": ["arm"]}, name="pool"))["key"]
    viewer = (await gate.make({"role": "viewer"}, name="viewer"))["key"]
    assert await gate.status(viewer, "GET", f"{EVENTS}?follow=true") == 403
    async with (
        serving(bench.app) as client,
        following(client, key=own) as of_service,
        following(client, "&start=first", key=own) as from_the_first,
        following(client, key=pool) as of_pool,
        following(client, "&service_name=cart") as all_of_cart,
    ):
        for name in ("cart", "checkout"):
            await bench.stores.events.append(make_event(f"{name}-1", service_name=name))
        await bench.stores.events.append(make_event("arm-1", action="pool.scaled", pool="arm"))
        await bench.stores.events.append(make_event("x86-1", action="pool.scaled", pool="x86"))
        await bench.stores.events.append(make_event("cart-2", service_name="cart", pool="arm"))
        await bench.stores.events.append(make_event("checkout-2", service_name="checkout"))
        assert await of_service.ids(2) == ["checkout-1", "checkout-2"]
        assert await from_the_first.ids(2) == ["checkout-1", "checkout-2"], "nobody's key is told to it either"
        assert await of_pool.ids(2) == ["arm-1", "cart-2"]
        assert await all_of_cart.ids(2) == ["cart-1", "cart-2"]


async def test_a_follower_and_a_list_can_be_narrowed_by_type_pool_environment_and_actor(bench: Bench) -> None:
    made = [
        make_event("a", action="pool.scaled", pool="arm", by="ann"),
        make_event("b", action="environment.held", service_name="cart", environment="production", by="bob"),
        make_event("c", action="pool.scaled", pool="x86", by="bob", details={"pool": "arm"}),
    ]
    queries = {"&action=pool.": ["a", "c"], "&pool=arm": ["a"], "&environment=production": ["b"], "&by=bob": ["b", "c"]}
    async with serving(bench.app) as client:
        for query, wanted in queries.items():
            async with following(client, query) as stream:
                for event in made:
                    await bench.stores.events.append(event.model_copy(update={"event_id": f"{event.event_id}{query}"}))
                assert [each[0] for each in await stream.ids(len(wanted))] == wanted, query
            listed = (await client.get(f"{EVENTS}?{query[1:]}&limit=50")).json()["items"]
            assert {event["event_id"][0] for event in listed} == set(wanted), query


@pytest.mark.parametrize("position", ["x", "0", "0-", "-1", "0-1.", "0-1,1-2", "0-" + "9" * 16, "100-1", "0-1." * 70])
async def test_a_place_that_nobody_handed_out_is_refused_by_its_name(bench: Bench, position: str) -> None:
    answer = await bench.admin.get(f"{EVENTS}?follow=true", headers={"Last-Event-ID": position})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "last-event-id" in answer.json()["errors"][0]["field"].lower()


async def test_a_follower_ends_with_where_to_go_on_when_the_server_stops(bench: Bench) -> None:
    async with serving(bench.app) as client, following(client) as stream:
        await bench.stores.events.append(make_event("one"))
        await stream.event()
        bench.stop.append(True)
        assert await stream.event() == {"reason": "the server is stopping", "position": "0-1"}


async def test_a_key_that_was_revoked_is_followed_no_longer(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "SIGN_OF_LIFE_SECONDS", 0.05)
    made = await gate.make({"role": "operator"})
    async with serving(gate.bench.app) as client, following(client, "&action=none.", key=made["key"]) as stream:
        revoked = await gate.bench.admin.delete(f"/api/access/keys/{made['key_id']}")
        assert revoked.status_code in {200, 204}
        assert (await stream.event())["reason"] == "the key is not known any more"


async def test_nor_on_a_feed_that_is_never_quiet(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_ASK_AGAIN_MS", 0)
    made = await gate.make({"role": "operator"})
    async with serving(gate.bench.app) as client, following(client, "&action=busy.", key=made["key"]) as stream:
        revoked = await gate.bench.admin.delete(f"/api/access/keys/{made['key_id']}")
        assert revoked.status_code in {200, 204}
        await gate.bench.stores.events.append(make_event("one", action="busy.one"))
        assert (await stream.event())["id"] == "one"
        assert (await stream.event())["reason"] == "the key is not known any more"


async def test_json_lines_are_for_programs(bench: Bench) -> None:
    async with (
        serving(bench.app) as client,
        client.stream("GET", f"{EVENTS}?follow=true&stream=jsonl&start=first") as answer,
    ):
        assert answer.headers["content-type"] == "application/jsonl"
        await bench.stores.events.append(make_event("one"))
        async with asyncio.timeout(10):
            lines = answer.aiter_lines()
            assert json.loads(await anext(lines)) == {"position": "0-0"}
            assert json.loads(await anext(lines))["id"] == "one"


class CountingStore(MemoryEventStore):
    """Counts reads, and can fail or lose a row."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.down = False
        self.lost: set[int] = set()

    async def heads(self) -> dict[int, int]:
        self.reads += 1
        if self.down:
            raise Unavailable("away")
        return await super().heads()

    async def rows(self, shard: int, behind: int, upto: int) -> list[FeedRow]:
        return [row for row in await super().rows(shard, behind, upto) if row.sequence not in self.lost]


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


async def add(store: MemoryEventStore, *ids: str) -> None:
    for each in ids:
        await store.append(make_event(each))


async def take(told: AsyncGenerator[Told, None], count: int) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            each = await anext(told)
            if isinstance(each, Ended):
                raise AssertionError(each.reason)
            if not isinstance(each, FeedQuiet):
                found += [shown.row.event.event_id for shown in each]
    return found


async def test_nothing_is_read_while_nobody_follows_and_once_for_all_who_do(store: CountingStore) -> None:
    tail = Tail(store, tick_seconds=0.01)
    await asyncio.sleep(0.05)
    assert store.reads == 0
    async with tail.followed(), tail.followed(), tail.followed():
        before = store.reads
        assert tail.followers == 3
        await asyncio.sleep(0.2)
        assert 1 < store.reads - before <= 21, "one read of the heads at a tick"
    before = store.reads
    await asyncio.sleep(0.05)
    assert (store.reads, tail.followers) == (before, 0)


async def test_a_follower_that_is_too_slow_is_cut_with_where_to_go_on(store: CountingStore) -> None:
    tail = Tail(store, tick_seconds=0.01, kept=5)
    async with tail.followed(), aclosing(FeedFollower(tail, None, lambda _: True).told()) as slow:
        assert await anext(slow) == FeedQuiet("0-0")
        await add(store, "0", "1")
        assert await take(slow, 2) == ["0", "1"]
        await add(store, *map(str, range(2, 20)))
        await until(lambda: tail.count == 20)
        ended = await anext(slow)
        assert isinstance(ended, Ended)
        assert (ended.position, ended.reason.partition(":")[0]) == ("0-2", "too slow")
        async with aclosing(FeedFollower(tail, heads_of(ended.position), lambda _: True).told()) as again:
            assert await take(again, 18) == [str(number) for number in range(2, 20)]


async def test_a_follower_that_comes_from_a_process_that_is_ahead_gets_nothing_twice(store: CountingStore) -> None:
    await add(store, "0", "1", "2")
    tail = Tail(store, tick_seconds=3600)
    async with tail.followed():
        await tail.tick()
        await add(store, "3", "4")
        async with aclosing(FeedFollower(tail, {0: 4}, lambda _: True).told()) as ahead:
            assert await anext(ahead) == FeedQuiet("0-4")
            await tail.tick()
            assert await take(ahead, 1) == ["4"]


async def test_followers_outlast_a_store_that_does_not_answer(store: CountingStore) -> None:
    tail = Tail(store, tick_seconds=0.01)
    store.down = True
    with pytest.raises(Unavailable):
        async with tail.followed():
            pytest.fail("nobody can follow what cannot be read")
    store.down = False
    async with tail.followed(), aclosing(FeedFollower(tail, None, lambda _: True).told()) as told:
        await anext(told)
        store.down = True
        await add(store, "0")
        await asyncio.sleep(0.1)
        assert tail.count == 0
        store.down = False
        assert await take(told, 1) == ["0"]


async def test_an_event_that_was_removed_from_the_store_holds_nobody_up_for_ever(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.audit.tail._MISSING_SECONDS", 0.05)
    await add(store, "0", "1", "2")
    store.lost = {2, 5}
    tail = Tail(store, tick_seconds=0.01)
    async with tail.followed(), aclosing(FeedFollower(tail, {}, lambda _: True).told()) as told:
        assert await take(told, 2) == ["0", "2"]
        await add(store, "3", "4", "5")
        assert await take(told, 2) == ["3", "5"]


async def test_a_sign_of_life_moves_the_place_on_past_what_is_not_for_this_follower(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "SIGN_OF_LIFE_SECONDS", 0.05)
    tail = Tail(store, tick_seconds=0.01)
    async with tail.followed(), aclosing(FeedFollower(tail, None, lambda _: False).told()) as told:
        assert await anext(told) == FeedQuiet("0-0")
        await add(store, "0", "1")
        await until(lambda: tail.count == 2)
        quiet = [await anext(told) for _ in range(2)][-1]
        assert quiet == FeedQuiet("0-2")

        async def once() -> AsyncGenerator[Told, None]:
            yield quiet

        assert b"".join([piece async for piece in as_events(once())]).endswith(b": following\nid: 0-2\n\n")


def test_a_position_is_read_as_it_was_written() -> None:
    for heads in ({}, {0: 1}, {0: 12, 7: 3, 63: 10**14}):
        assert heads_of(position_of(heads)) == heads


async def test_who_goes_away_is_followed_no_longer_and_the_feed_is_read_no_more(bench: Bench) -> None:
    tail = bench.app.state.services.tail
    async with serving(bench.app) as client:
        async with following(client), following(client):
            assert tail.followers == 2
        await until(lambda: tail.followers == 0)
