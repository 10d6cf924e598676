"""EvidenceStore on the table of events: the feed and the lists as they lie there, and the seals beside them.

All copies are read by a scan of the table, a page at a time: they stand in as many lists as there are jobs, and nobody
knows in which somebody has put one. Deliberately not here: how events are kept (``events``, ``feed``).
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from activities.stores.documents import load_events
from activities.stores.dynamo.batches import Item, get_batch
from activities.stores.dynamo.client import AwsClients, ConditionFailed, WriteConflict
from activities.stores.dynamo.events import entries_of
from activities.stores.dynamo.feed import feed_of
from activities.stores.dynamo.items import is_new
from activities.stores.dynamo.table import (
    FEED_PREFIX,
    HEAD_PLACE,
    SEAL_IS_NEW,
    SEALS_LIST,
    SEEN_PLACE,
    SENT_FURTHER,
    SENT_LIST,
    feed_list,
    number_place,
    seen_list,
    subject_list,
)
from activities.stores.dynamo.transactions import read_item
from activities.stores.interfaces.evidence import CopyName, EventCopy
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.seals import LAST_PLACE, SignedSeal, StoredRow, number_at
from workflows.contracts.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

_ROWS: Final = 400
_SCANNED: Final = 25_000
"""Items of one answer: AWS ends it at 1 MB, the embedded server would send all there is."""
_LONG_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 2.0
_ROW_FIELDS: Final = ("place", "subject", "number", "before", "after", "event")
_COPY_FIELDS: Final = ("list_shard", "place", "event")
_SEAL_FIELDS: Final = ("place", "text", "signature", "leaves")
_SEALS_ON: Final = 10
_DELETED_AT_ONCE: Final = 25
_ROUNDS: Final = 8


class DynamoEvidenceStore:
    """See EvidenceStore. On one table (see ``table``)."""

    def __init__(self, clients: AwsClients, table: str) -> None:
        self._clients, self._table = clients, table
        self._known = 0
        """The last seal that was seen: the search for a newer one begins there."""

    async def heads(self) -> dict[int, int]:
        """See EvidenceStore."""
        return await feed_of(self._clients, self._table).heads()

    async def stored_rows(self, shard: int, behind: str, upto: str) -> list[StoredRow]:
        """See EvidenceStore."""
        if upto <= behind:
            return []
        items = await self._between(feed_list(shard), f"{behind}\x00", upto, _ROW_FIELDS)
        return [StoredRow(shard, *(_text(item, name) for name in _ROW_FIELDS)) for item in items]

    async def place_before(self, subject: str, number: int) -> str:
        """See EvidenceStore. A row that was numbered without knowing it has it at its subject."""
        attribute = f"after_{number}"
        item = await read_item(self._clients, self._table, _key(subject_list(subject), HEAD_PLACE), attribute)
        return "" if item is None else _text(item, attribute)

    def copies_of(self, event: AuditEvent) -> list[CopyName]:
        """See EvidenceStore."""
        return [CopyName(partition, place) for partition, place in entries_of(event)]

    async def copies(self) -> AsyncGenerator[Sequence[EventCopy], None]:
        """See EvidenceStore."""
        request: Any = {
            "TableName": self._table,
            "Limit": _SCANNED,
            "FilterExpression": "attribute_exists(#event) AND NOT begins_with(#list_shard, :feed)",
            "ExpressionAttributeValues": {":feed": {"S": FEED_PREFIX}},
            "ProjectionExpression": ", ".join(f"#{name}" for name in _COPY_FIELDS),
            "ExpressionAttributeNames": {f"#{name}": name for name in _COPY_FIELDS},
        }
        while True:
            began = time.monotonic()
            answer = await self._clients.call(self._clients.patient_dynamodb.scan, **request)
            took = time.monotonic() - began
            yield [_copy(item) for item in cast("Sequence[Item]", answer["Items"])]
            last = answer.get("LastEvaluatedKey")
            if not last:
                return
            request["ExclusiveStartKey"] = last
            if took > _LONG_SECONDS:  # the embedded server lets nobody write meanwhile
                await asyncio.sleep(min(took, _LONGEST_PAUSE_SECONDS))

    async def copies_at(self, names: Sequence[CopyName]) -> list[EventCopy]:
        """See EvidenceStore."""
        keys = [_key(name.list_name, name.place) for name in dict.fromkeys(names)]
        return [_copy(item) for item in await get_batch(self._clients, self._table, keys)]

    async def remove(self, rows: Sequence[StoredRow]) -> None:
        """See EvidenceStore."""
        events = load_events([row.document for row in rows])
        copies = [_key(name.list_name, name.place) for event in events for name in self.copies_of(event)]
        await self._delete([*copies, *(_key(seen_list(event.event_id), SEEN_PLACE) for event in events)])
        await self._delete([_key(feed_list(row.shard), row.place) for row in rows])

    async def add_seal(self, seal: SignedSeal) -> bool:
        """See EvidenceStore."""
        item = {
            **_key(SEALS_LIST, number_place(seal.number)),
            "text": {"S": seal.text},
            "signature": {"S": seal.signature},
            "leaves": {"L": [{"S": each} for each in seal.leaves]},
        }
        try:
            put = self._clients.dynamodb.put_item
            await self._clients.call(put, TableName=self._table, Item=item, **is_new(SEAL_IS_NEW))
        except ConditionFailed:
            return False
        return True

    async def seals(self, behind: int, limit: int) -> list[SignedSeal]:
        """See EvidenceStore. What somebody put between two numbers is no seal."""
        place = number_place(behind)
        while True:
            items = await self._between(SEALS_LIST, f"{place}\x00", LAST_PLACE, _SEAL_FIELDS, limit)
            found = [seal for item in items if (seal := _seal(item)) is not None]
            if found or not items:
                self._known = max(self._known, *(seal.number for seal in found), 0)
                return found
            place = _text(items[-1], "place")

    async def last_seal(self, below: int | None = None) -> SignedSeal | None:
        """See EvidenceStore."""
        if self._known and below is None:
            last: SignedSeal | None = None
            while found := await self.seals(self._known - 1 if last is None else last.number, _SEALS_ON):
                last = found[-1]
            if last is not None:
                return last
            self._known = 0
        upto = LAST_PLACE if below is None else number_place(below - 1)
        begin = ""
        while items := await self._between(SEALS_LIST, number_place(1), upto, _SEAL_FIELDS, 1, back_from=begin):
            found_one = _seal(items[0])
            if found_one is not None:
                self._known = max(self._known, found_one.number)
                return found_one
            begin = _text(items[0], "place")
        return None

    async def sent(self, destination: str) -> int:
        """See EvidenceStore."""
        item = await read_item(self._clients, self._table, _key(SENT_LIST, destination), "number")
        return 0 if item is None else int(item["number"]["N"])

    async def mark_sent(self, destination: str, number: int) -> None:
        """See EvidenceStore."""
        with suppress(ConditionFailed):
            await self._clients.call(
                self._clients.dynamodb.put_item,
                TableName=self._table,
                Item={**_key(SENT_LIST, destination), "number": {"N": str(number)}},
                ConditionExpression=SENT_FURTHER,
                ExpressionAttributeNames={"#number": "number"},
                ExpressionAttributeValues={":number": {"N": str(number)}},
            )

    async def _between(
        self,
        list_shard: str,
        first: str,
        last: str,
        fields: Sequence[str],
        limit: int = _ROWS,
        *,
        back_from: str | None = None,
    ) -> Sequence[Item]:
        """``back_from``: the last ones first, those before this place; empty: from the end."""
        request: QueryInputTypeDef = {
            "TableName": self._table,
            "KeyConditionExpression": "list_shard = :list AND place BETWEEN :first AND :last",
            "ExpressionAttributeValues": {":list": {"S": list_shard}, ":first": {"S": first}, ":last": {"S": last}},
            "ConsistentRead": True,
            "Limit": limit,
            "ScanIndexForward": back_from is None,
            "ProjectionExpression": ", ".join(f"#{name}" for name in fields),
            "ExpressionAttributeNames": {f"#{name}": name for name in fields},
        }
        if back_from:
            request["ExclusiveStartKey"] = _key(list_shard, back_from)
        answer = await self._clients.call(self._clients.dynamodb.query, **request)
        return cast("Sequence[Item]", answer["Items"])

    async def _delete(self, keys: Sequence[Item]) -> None:
        """Raises Unavailable."""
        for begin in range(0, len(keys), _DELETED_AT_ONCE):
            rest: list[Any] = [{"DeleteRequest": {"Key": key}} for key in keys[begin : begin + _DELETED_AT_ONCE]]
            for attempt in range(_ROUNDS):
                with suppress(WriteConflict):
                    answer = await self._clients.call(
                        self._clients.dynamodb.batch_write_item, RequestItems={self._table: rest}
                    )
                    rest = [*answer.get("UnprocessedItems", {}).get(self._table, [])]
                if not rest:
                    break
                await asyncio.sleep(random.uniform(0.01, 0.05 * 2**attempt))  # noqa: S311 - not a secret
            else:
                raise Unavailable(f"Table {self._table} deletes less than is asked of it. Try again later.")


def _copy(item: Item) -> EventCopy:
    return EventCopy(CopyName(_text(item, "list_shard"), _text(item, "place")), _text(item, "event"))


def _seal(item: Item) -> SignedSeal | None:
    number = number_at(_text(item, "place"))
    if not number:
        return None
    leaves: Any = item.get("leaves", {}).get("L", [])
    return SignedSeal(
        number=number,
        text=_text(item, "text"),
        signature=_text(item, "signature"),
        leaves=[str(each.get("S", "")) for each in leaves],
    )


def _text(item: Item, name: str) -> str:
    """The attribute as text, whatever somebody has made of it; empty when there is none."""
    value: Mapping[str, Any] = item.get(name, {})
    return str(value.get("S", value.get("N", "")))


def _key(list_shard: str, place: str) -> dict[str, Any]:
    return {"list_shard": {"S": list_shard}, "place": {"S": place}}
