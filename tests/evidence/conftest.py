"""An audit trail in memory and on the embedded server, and the hands of somebody with full access to where it lies."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pytest

from activities.evidence.keys import SealKey
from activities.evidence.sealer import Sealer
from activities.stores.documents import load_events
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.creation import create_tables
from activities.stores.dynamo.events import DynamoEventStore
from activities.stores.dynamo.evidence import DynamoEvidenceStore
from activities.stores.dynamo.table import SEALS_LIST, DeploymentTables, feed_list, number_place
from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.evidence import CopyName, EvidenceStore
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.evidence import MemoryEvidenceStore
from tests.stores.conftest import settings_for
from tests.stores.lives import NOON
from tests.stores.releases import make_event
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.seals import LAST_PLACE, SignedSeal, StoredRow, row_place

KEY = SealKey(b"k" * 32)
MINUTE = 60_000


class Clock:
    """Stands still until it is set."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class Intruder(Protocol):
    """Whoever may write to the storage itself."""

    def put_row(self, row: StoredRow) -> None: ...
    def delete_row(self, row: StoredRow) -> None: ...
    def put_copy(self, name: CopyName, document: str) -> None: ...
    def delete_copy(self, name: CopyName) -> None: ...
    def put_seal(self, seal: SignedSeal) -> None: ...
    def delete_seal(self, number: int) -> None: ...
    def put_at_seals(self, place: str, seal: SignedSeal) -> None: ...


@dataclass(frozen=True, slots=True)
class Trail:
    """One audit trail."""

    events: EventStore
    evidence: EvidenceStore
    clock: Clock
    intruder: Intruder

    def sealer(self, key: SealKey = KEY, **more: Any) -> Sealer:
        return Sealer(self.evidence, key, self.clock, **more)

    async def keep(self, count: int, *, prefix: str = "e", at: int | None = None, **about: Any) -> list[AuditEvent]:
        begin = self.clock.now if at is None else at
        named = {"deployment_id": "d-1", "service_name": "checkout", **about}
        events = [make_event(f"{prefix}-{n:04d}", at=begin + n, **named) for n in range(count)]
        for event in events:
            await self.events.append(event)
        return events

    async def seal(self) -> list[SignedSeal]:
        """Everything that is new."""
        sealer, made = self.sealer(), list[SignedSeal]()
        while (seal := await sealer.seal_new()) is not None:
            made.append(seal)
        return made

    async def rows(self) -> list[StoredRow]:
        found: list[StoredRow] = []
        for shard in await self.evidence.heads():
            place = row_place(0)
            while page := await self.evidence.stored_rows(shard, place, LAST_PLACE):
                found += page
                place = page[-1].place
        return found

    async def row_of(self, event: AuditEvent) -> StoredRow:
        return next(row for row in await self.rows() if f'"{event.event_id}"' in row.document)


class _MemoryIntruder:
    def __init__(self, events: MemoryEventStore, evidence: MemoryEvidenceStore) -> None:
        self._events, self._evidence = events, evidence

    def put_row(self, row: StoredRow) -> None:
        self._events.stored[row.sequence or -1] = row

    def delete_row(self, row: StoredRow) -> None:
        del self._events.stored[row.sequence or -1]

    def put_copy(self, name: CopyName, document: str) -> None:
        self._events.documents[name.place.partition("#")[2]] = document

    def delete_copy(self, name: CopyName) -> None:
        del self._events.documents[name.place.partition("#")[2]]

    def put_seal(self, seal: SignedSeal) -> None:
        self._evidence.kept[seal.number] = seal

    def delete_seal(self, number: int) -> None:
        del self._evidence.kept[number]

    def put_at_seals(self, place: str, seal: SignedSeal) -> None:
        """There are no places but numbers."""


class _DynamoIntruder:
    def __init__(self, clients: AwsClients, table: str) -> None:
        self._dynamodb, self._table = clients.dynamodb, table

    def put_row(self, row: StoredRow) -> None:
        kind = "N" if row.number.isdecimal() else "S"
        item: dict[str, Any] = {
            "subject": {"S": row.subject},
            "number": {kind: row.number},
            "event": {"S": row.document},
        }
        item |= {name: {"S": text} for name, text in (("before", row.before), ("after", row.after)) if text}
        self._put(feed_list(row.shard), row.place, item)

    def delete_row(self, row: StoredRow) -> None:
        self._delete(feed_list(row.shard), row.place)

    def put_copy(self, name: CopyName, document: str) -> None:
        event = load_events([document])[0]
        self._put(name.list_name, name.place, {"event": {"S": document}, "action": {"S": event.action}})

    def delete_copy(self, name: CopyName) -> None:
        self._delete(name.list_name, name.place)

    def put_seal(self, seal: SignedSeal) -> None:
        self.put_at_seals(number_place(seal.number), seal)

    def put_at_seals(self, place: str, seal: SignedSeal) -> None:
        leaves = {"L": [{"S": each} for each in seal.leaves]}
        item = {"text": {"S": seal.text}, "signature": {"S": seal.signature}, "leaves": leaves}
        self._put(SEALS_LIST, place, item)

    def delete_seal(self, number: int) -> None:
        self._delete(SEALS_LIST, number_place(number))

    def _put(self, list_shard: str, place: str, item: Any) -> None:
        key = {"list_shard": {"S": list_shard}, "place": {"S": place}}
        self._dynamodb.put_item(TableName=self._table, Item={**key, **item})

    def _delete(self, list_shard: str, place: str) -> None:
        key: Any = {"list_shard": {"S": list_shard}, "place": {"S": place}}
        self._dynamodb.delete_item(TableName=self._table, Key=key)


@pytest.fixture(params=["memory", "embedded"])
async def trail(request: pytest.FixtureRequest) -> AsyncIterator[Trail]:
    clock = Clock(NOON)
    if request.param == "memory":
        events = MemoryEventStore()
        evidence = MemoryEvidenceStore(events)
        yield Trail(events, evidence, clock, _MemoryIntruder(events, evidence))
        return
    settings = settings_for(request.getfixturevalue("aws_endpoint"))
    tables = DeploymentTables.of(settings)
    clients = AwsClients(settings)
    await create_tables(clients, tables)
    store = DynamoEvidenceStore(clients, tables.events)
    yield Trail(DynamoEventStore(clients, tables.events), store, clock, _DynamoIntruder(clients, tables.events))
    clients.close()


def changed(row: StoredRow, **changes: Any) -> StoredRow:
    return replace(row, **changes)
