"""The contract of the feed: every event has a place, numbers have no gap, each subject's events hang together.

Two writers are two processes: each has its own clients, and so its own idea of the last numbers.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from activities.bounded import gather_bounded
from activities.stores.documents import dump_event
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.creation import create_tables
from activities.stores.dynamo.deployments import DynamoDeploymentStore
from activities.stores.dynamo.events import DynamoEventStore
from activities.stores.dynamo.table import DeploymentTables
from activities.stores.interfaces.deployments import DeploymentStore
from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.memory.deployments import MemoryDeploymentStore
from activities.stores.memory.events import MemoryEventStore
from tests.stores.conftest import settings_for
from tests.stores.lives import NOON
from tests.stores.releases import make_deployment, make_event
from tests.stores.trails import trail
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.feed import FeedRow, in_order
from workflows.contracts.audit.subjects import chained
from workflows.contracts.deployments.deployment import DeploymentStatus, DeploymentWrite
from workflows.contracts.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Writer:
    """One process's stores."""

    events: EventStore
    deployments: DeploymentStore
    clients: AwsClients | None


@pytest.fixture(params=["memory", "embedded", "dynamodb-local"])
async def writers(request: pytest.FixtureRequest) -> AsyncIterator[list[Writer]]:
    if request.param == "memory":
        events = MemoryEventStore()
        yield [Writer(events, MemoryDeploymentStore(events), None)] * 2
        return
    url = request.getfixturevalue("aws_endpoint" if request.param == "embedded" else "dynamodb_local_endpoint")
    settings = settings_for(url)
    tables = DeploymentTables.of(settings)
    processes = [AwsClients(settings) for _ in range(2)]
    await create_tables(processes[0], tables)
    yield [
        Writer(DynamoEventStore(clients, tables.events), DynamoDeploymentStore(clients, tables), clients)
        for clients in processes
    ]
    for clients in processes:
        clients.close()


async def whole_feed(store: EventStore) -> list[FeedRow]:
    """Every row, each shard to its head; fails for a gap."""
    found: list[FeedRow] = []
    for shard, head in (await store.heads()).items():
        at = 0
        while at < head:
            rows = await store.rows(shard, at, head)
            assert [row.sequence for row in rows] == list(range(at + 1, at + 1 + len(rows))), "a gap"
            assert rows, f"shard {shard} ends at {at} of {head}"
            assert {row.shard for row in rows} == {shard}
            found += rows
            at = rows[-1].sequence
    return found


def check_chains(rows: Sequence[FeedRow]) -> None:
    """Each subject's events are numbered without a gap, and each names the hash and the place of the one before."""
    by_subject: dict[str, list[FeedRow]] = {}
    for row in rows:
        by_subject.setdefault(row.subject, []).append(row)
    for subject, own in by_subject.items():
        own.sort(key=lambda row: row.number)
        digest, before = "", None
        for number, row in enumerate(own, start=1):
            assert row.number == number, subject
            assert row.before == digest, (subject, number)
            place = None if row.after is None else (row.after.shard, row.after.sequence)
            assert place == before, (subject, number)
            digest = chained(digest, subject, number, dump_event(row.event))
            before = (row.shard, row.sequence)


async def test_every_event_of_two_busy_processes_is_in_the_feed_once(writers: list[Writer]) -> None:
    events = [make_event(f"{n:03d}", at=NOON + n, deployment_id=f"d-{n % 7}") for n in range(120)]

    async def append(number: int) -> None:
        await writers[number % 2].events.append(events[number])
        if number % 5 == 0:  # and once more, by the other one
            await writers[1 - number % 2].events.append(events[number])

    assert await gather_bounded(append, list(range(len(events)))) == [None] * len(events)
    rows = await whole_feed(writers[0].events)
    assert sorted(row.event.event_id for row in rows) == [event.event_id for event in events]
    assert {row.event for row in map(_hashable, rows)} == {dump_event(event) for event in events}
    check_chains(rows)
    assert await writers[1].events.heads() == await writers[0].events.heads()


@dataclass(frozen=True, slots=True)
class _Text:
    event: str


def _hashable(row: FeedRow) -> _Text:
    return _Text(dump_event(row.event))


async def test_many_events_of_one_subject_at_once_are_all_kept(writers: list[Writer]) -> None:
    """As when somebody tries a hundred passwords: in one process they wait for each other, in two they try again."""
    events = [make_event(f"e{number}", deployment_id="d") for number in range(100)]
    await asyncio.gather(*(writers[0].events.append(event) for event in events[:90]))
    await asyncio.gather(*(writers[number % 2].events.append(event) for number, event in enumerate(events[90:])))
    rows = await whole_feed(writers[1].events)
    assert {row.event.event_id for row in rows} == {event.event_id for event in events}
    check_chains(rows)


async def test_a_record_and_its_events_get_their_numbers_together_or_not_at_all(writers: list[Writer]) -> None:
    """Stale and repeated writes give no numbers; more events than a transaction takes all get one."""
    deployment = make_deployment()
    many = [make_event(f"many-{n:02d}", at=NOON + n, deployment_id=deployment.deployment_id) for n in range(30)]
    first = DeploymentWrite(deployment=deployment, events=many)
    assert await writers[0].deployments.write(first) is WriteOutcome.APPLIED
    for writer in writers:
        assert await writer.deployments.write(first) is WriteOutcome.STALE
        late = DeploymentWrite(deployment=deployment, events=[make_event("late", deployment_id="d")])
        assert await writer.deployments.write(late) is WriteOutcome.STALE
    newer = deployment.model_copy(update={"sequence": 2})
    last = make_event("last", at=NOON + 99, deployment_id=deployment.deployment_id)
    write = DeploymentWrite(deployment=newer, previous=DeploymentStatus.PENDING, events=[many[-1], last])
    assert await writers[1].deployments.write(write) is WriteOutcome.APPLIED
    rows = await whole_feed(writers[0].events)
    check_chains(rows)
    own = sorted(rows, key=lambda row: row.number)
    assert [row.event for row in own] == [*many, last]
    assert {row.subject for row in rows} == {f"deployments/{deployment.deployment_id}"}


async def test_a_follower_reads_each_subject_in_its_order_at_any_moment(writers: list[Writer]) -> None:
    """It reads while two processes write, and shows every event once, each subject's in their order."""
    read: dict[int, int] = {}
    shown: list[FeedRow] = []
    done = asyncio.Event()

    async def follow() -> None:
        while True:
            await asyncio.sleep(0.001)
            last_round = done.is_set()
            heads = await writers[0].events.heads()
            parts = [await writers[0].events.rows(shard, read.get(shard, 0), head) for shard, head in heads.items()]
            for row in in_order(read, [row for part in parts for row in part]):
                read[row.shard] = row.sequence
                shown.append(row)
            if last_round:
                return

    async def write(subject: int) -> None:
        for number in range(12):  # one after the other: each is kept before the next one is written
            event = make_event(f"{subject}-{number}", at=NOON, deployment_id=f"d-{subject}")
            await writers[(subject + number) % 2].events.append(event)

    following = asyncio.create_task(follow())
    await asyncio.gather(*(write(subject) for subject in range(6)))
    done.set()
    await following
    assert Counter(row.event.event_id for row in shown) == Counter(f"{s}-{n}" for s in range(6) for n in range(12))
    for subject in range(6):
        own = [row.event.event_id for row in shown if row.event.deployment_id == f"d-{subject}"]
        assert own == [f"{subject}-{number}" for number in range(12)]


def slowed(clients: AwsClients, hold: threading.Event, marked: str) -> Callable[..., Any]:
    """``transact_write_items``, but a transaction that holds ``marked`` is sent only when it is let go."""
    send = clients.dynamodb.transact_write_items

    def transact(**request: Any) -> Any:
        if marked in str(request):
            hold.wait(10)
        return send(**request)

    return transact


async def test_a_transaction_that_takes_longer_than_its_neighbours_is_not_passed_over(
    writers: list[Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = writers[0].clients
    if clients is None:
        await writers[0].events.append(make_event("alone"))
        assert len(await whole_feed(writers[0].events)) == 1  # in memory nothing takes time
        return
    hold = threading.Event()
    monkeypatch.setattr(clients.dynamodb, "transact_write_items", slowed(clients, hold, "slow-one"))
    slow = asyncio.create_task(writers[0].events.append(make_event("slow-one", deployment_id="d-slow")))
    begun = time.monotonic()
    for number in range(20):
        await writers[number % 2].events.append(make_event(f"{number}", deployment_id="d"))
    assert time.monotonic() - begun < 8, "the others did not wait for it"
    before = await whole_feed(writers[1].events)
    assert len(before) == 20
    read = {row.shard: row.sequence for row in sorted(before, key=lambda row: row.sequence)}
    assert not slow.done()
    hold.set()
    await slow
    heads = await writers[1].events.heads()
    new = [
        row for shard, head in heads.items() for row in await writers[1].events.rows(shard, read.get(shard, 0), head)
    ]
    assert [row.event.event_id for row in in_order(read, new)] == ["slow-one"]
    check_chains(await whole_feed(writers[0].events))


async def test_a_lost_answer_leaves_neither_a_gap_nor_a_second_row(
    writers: list[Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction was carried out, and its writer hears nothing: it looks before it gives the next number."""
    clients = writers[0].clients
    lost = make_event("lost", deployment_id="d")
    if clients is None:
        await writers[0].events.append(lost)
    else:
        send = clients.dynamodb.transact_write_items

        def transact(**request: Any) -> Any:
            send(**request)
            raise Unavailable("the connection broke")

        with monkeypatch.context() as broken:
            broken.setattr(clients.dynamodb, "transact_write_items", transact)
            with pytest.raises(Unavailable):
                await writers[0].events.append(lost)
    await writers[0].events.append(lost)
    await writers[0].events.append(make_event("next", deployment_id="d"))
    rows = await whole_feed(writers[1].events)
    assert [row.event.event_id for row in sorted(rows, key=lambda row: row.number)] == ["lost", "next"]
    check_chains(rows)


def kept_before_there_was_a_feed(table: str, event: AuditEvent) -> list[dict[str, Any]]:
    """The items that the version before the feed (241d277) kept of an event."""
    place = {"S": f"{event.at:015d}#{event.event_id}"}
    entry = {
        "place": place,
        "event": {"S": dump_event(event)},
        "by": {"S": event.by},
        "action": {"S": event.action},
        "deployment_id": {"S": event.deployment_id or ""},
    }
    lists = ("all#0", f"deployment#{event.deployment_id}#0")
    seen = {"list_shard": {"S": f"seen#{event.event_id}"}, "place": {"S": "seen"}}
    items = [seen, *({"list_shard": {"S": name}, **entry} for name in lists)]
    return [{"Put": {"TableName": table, "Item": item}} for item in items]


async def test_events_of_before_the_feed_stay_readable_and_the_feed_begins_behind_them(
    writers: list[Writer], request: pytest.FixtureRequest
) -> None:
    clients = writers[0].clients
    if clients is None:
        assert await writers[0].events.heads() == {}  # nothing in memory outlives its version
        return
    table = DeploymentTables.of(clients.settings).events
    old = make_event("old", at=NOON, deployment_id="d")
    clients.dynamodb.transact_write_items(TransactItems=kept_before_there_was_a_feed(table, old))  # pyright: ignore
    assert await trail(writers[0].events) == [old]
    assert await writers[0].events.heads() == {}
    await writers[1].events.append(old)  # written again by this version: it is kept once
    new = make_event("new", at=NOON + 1, deployment_id="d")
    await writers[1].events.append(new)
    assert await trail(writers[0].events) == [new, old]
    rows = await whole_feed(writers[0].events)
    assert [(row.event, row.number, row.before) for row in rows] == [(new, 1, "")]
