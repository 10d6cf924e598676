"""The numbers of events, given in the transactions that keep them; and the feed, read by these numbers.

Every event gets the next number of one shard of the feed, and the next one of its subject. Both are conditions of the
transaction: nobody else has given them meanwhile. So there is never a gap, however long a transaction takes, and no
reading back.

A transaction may take any shard. A process takes the one that it used last and that is free, whose last number it
therefore knows: one process alone needs few of them, two keep to different ones, and a transaction that hangs holds up
its own shard only. Where two meet, one of them fails, reads, and goes to another.

A subject's number is known to who has given the last one. Who knows what another process has given the first ones to
presumes it: a wrong presumption fails, and then there is a read. Where that event's place is, only the store knows: it
copies it, and readers look it up.

Deliberately not here: what else a transaction has (``events``), in which order a follower shows what stands in several
shards (``contracts.audit.feed``).
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from activities.stores.documents import load_events
from activities.stores.dynamo.batches import Item, get_batch
from activities.stores.dynamo.client import AwsClients, WriteConflict
from activities.stores.dynamo.table import (
    HEAD_PLACE,
    NUMBER_AND_HASH_FOLLOW,
    NUMBER_FOLLOWS,
    NUMBER_IS_FIRST,
    feed_list,
    head_list,
    number_place,
    subject_list,
)
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.feed import FeedRow, Position
from workflows.contracts.audit.subjects import chained, subject_of
from workflows.newest import Newest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

_MAX_KNOWN_SUBJECTS: Final = 5_000
_MOST_ROWS: Final = 200
"""Of one request: 32 KiB each at most, and an answer has at most 1 MB."""
_ATTRIBUTES: Final = ("place", "subject", "number", "before", "after", "event")


@dataclass(frozen=True, slots=True)
class _Last:
    """A subject's last event: its number, hash and place. The zeroth is none. Of a presumed one no place is known."""

    number: int = 0
    digest: str = ""
    place: Position | None = None


@dataclass(slots=True)
class Numbered:
    """Events with the numbers that they get when the transaction is carried out."""

    actions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    head: int = 0
    subjects: dict[str, _Last] = field(default_factory=dict[str, _Last])


class Feed:
    """The feed in one process, for one event loop. ``shards``: how many there are."""

    def __init__(self, clients: AwsClients, table: str, shards: int) -> None:
        self._clients, self._table, self._shards = clients, table, shards
        self._free = asyncio.Semaphore(shards)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Of the subjects that this process gives numbers of now: side by side, all but one would fail."""
        self._busy: set[int] = set()
        self._heads: dict[int, int] = {}
        """Of the shards that this process knows, the one that it used last at the end."""
        self._subjects: Newest[str, _Last] = Newest(_MAX_KNOWN_SUBJECTS)

    @asynccontextmanager
    async def numbered(
        self,
        events: Sequence[tuple[AuditEvent, str]],
        new_subject: str | None = None,
        presumed: Sequence[tuple[AuditEvent, str]] = (),
    ) -> AsyncGenerator[list[dict[str, Any]]]:
        """The actions that give these events (with their documents) their numbers; inside, the transaction is sent.

        ``new_subject``: probably none of its events is kept yet; ``presumed``: these are, and no others of their
        subject. Raises Unavailable, and what is raised inside.
        """
        subjects = [subject_of(event) for event, _ in events]
        async with AsyncExitStack() as turns:
            for turn in [self._turns.setdefault(subject, asyncio.Lock()) for subject in sorted({*subjects})]:
                await turns.enter_async_context(turn)
            await turns.enter_async_context(self._free)
            shard = self._take()
            try:
                given = {**_given(presumed), **({} if new_subject is None else {new_subject: _Last()})}
                await self._learn(shard, subjects, given)
                documents = [document for _, document in events]
                made = self._number(shard, list(zip(subjects, documents, strict=True)), given)
                try:
                    yield made.actions
                except WriteConflict:
                    raise  # nothing was given: what is known is as good as before
                except BaseException:
                    # Somebody else has given the numbers, or nobody can tell whether this transaction did.
                    self._heads.pop(shard, None)
                    for subject in subjects:
                        self._subjects.pop(subject, None)
                    raise
                self._heads.pop(shard, None)
                self._heads[shard] = made.head
                for subject, last in made.subjects.items():
                    self._subjects[subject] = last
            finally:
                self._busy.remove(shard)

    async def heads(self) -> dict[int, int]:
        """The last number of every shard that has one; read consistently, in one request."""
        items = await get_batch(self._clients, self._table, [_key(head_list(shard)) for shard in range(self._shards)])
        numbers = {item["list_shard"]["S"]: int(item["number"]["N"]) for item in items}
        return {shard: numbers[name] for shard in range(self._shards) if (name := head_list(shard)) in numbers}

    async def rows(self, shard: int, behind: int, upto: int) -> list[FeedRow]:
        """The events of a shard with numbers above ``behind``, up to ``upto``: in order, as many as one answer has."""
        if upto <= behind:
            return []
        request: QueryInputTypeDef = {
            "TableName": self._table,
            "KeyConditionExpression": "list_shard = :list AND place BETWEEN :first AND :last",
            "ExpressionAttributeValues": {
                ":list": {"S": feed_list(shard)},
                ":first": {"S": number_place(behind + 1)},
                ":last": {"S": number_place(min(upto, behind + _MOST_ROWS))},
            },
            "ProjectionExpression": ", ".join(f"#{name}" for name in _ATTRIBUTES),
            "ExpressionAttributeNames": {f"#{name}": name for name in _ATTRIBUTES},
            "ConsistentRead": True,
        }
        answer = await self._clients.call(self._clients.dynamodb.query, **request)
        return await self._with_places(_rows(shard, answer["Items"]))

    async def last_of(self, subject: str) -> FeedRow | None:
        """A subject's last event."""
        for item in await self._read([subject_list(subject)]):
            at = _position(item["last"]["S"])
            return next(iter(await self.rows(at.shard, at.sequence - 1, at.sequence)), None)
        return None

    def _take(self) -> int:
        known = next((shard for shard in reversed(self._heads) if shard not in self._busy), None)
        shard = known if known is not None else random.choice(self._idle())  # noqa: S311 - not a secret
        self._busy.add(shard)
        return shard

    def _idle(self) -> list[int]:
        return [shard for shard in range(self._shards) if shard not in self._busy]

    async def _with_places(self, rows: Sequence[FeedRow]) -> list[FeedRow]:
        """The rows with the place of the event before each, also of those that were written without knowing it."""
        names = {subject_list(row.subject) for row in rows if _lacks_place(row)}
        if not names:
            return [*rows]
        items = {item["list_shard"]["S"]: item for item in await self._read(sorted(names))}
        return [_with_place(row, items.get(subject_list(row.subject), {})) for row in rows]

    async def _learn(self, shard: int, subjects: Iterable[str], given: Mapping[str, _Last]) -> None:
        """Read what is not known of the numbers that the next transaction goes on from, in one request or none."""
        unknown = {subject_list(each): each for each in subjects if each not in self._subjects and each not in given}
        head = head_list(shard)
        names = [*unknown, *(() if shard in self._heads else (head,))]
        if not names:
            return
        found = {item["list_shard"]["S"]: item for item in await self._read(names)}
        for name, subject in unknown.items():
            self._subjects[subject] = _last(found[name]) if name in found else _Last()
        if head in names:
            self._heads[shard] = int(found[head]["number"]["N"]) if head in found else 0

    async def _read(self, names: Sequence[str]) -> list[Item]:
        return await get_batch(self._clients, self._table, [_key(name) for name in names])

    def _number(self, shard: int, documents: Sequence[tuple[str, str]], given: Mapping[str, _Last]) -> Numbered:
        before = self._heads[shard]
        made = Numbered(head=before)
        first = {subject: self._subjects.get(subject) or given.get(subject, _Last()) for subject, _ in documents}
        for subject, document in documents:
            last = made.subjects.get(subject) or first[subject]
            made.head += 1
            made.actions.append(_row(self._table, Position(shard=shard, sequence=made.head), subject, last, document))
            digest = chained(last.digest, subject, last.number + 1, document)
            made.subjects[subject] = _Last(last.number + 1, digest, Position(shard=shard, sequence=made.head))
        made.actions.append(_number(self._table, head_list(shard), before, {"number": {"N": str(made.head)}}))
        made.actions += [_goes_on(self._table, each, first[each], last) for each, last in made.subjects.items()]
        return made


def feed_of(clients: AwsClients, table: str) -> Feed:
    """The feed in this table, the same for all stores on these clients: they give numbers in turn."""
    key = f"feed {table}"
    feed = clients.shared.get(key)
    if not isinstance(feed, Feed):
        clients.shared[key] = feed = Feed(clients, table, clients.settings.dynamodb_event_shards)
    return feed


def _row(table: str, at: Position, subject: str, last: _Last, document: str) -> dict[str, Any]:
    item = {
        "list_shard": {"S": feed_list(at.shard)},
        "place": {"S": number_place(at.sequence)},
        "subject": {"S": subject},
        "number": {"N": str(last.number + 1)},
        "event": {"S": document},
    }
    if last.number:
        item["before"] = {"S": last.digest}
    if last.place is not None:
        item["after"] = {"S": f"{last.place.shard}-{last.place.sequence}"}
    return {"Put": {"TableName": table, "Item": item}}


def _number(table: str, name: str, before: int, attributes: Item) -> dict[str, Any]:
    """Give numbers, unless others have."""
    condition: dict[str, Any] = {"ConditionExpression": NUMBER_IS_FIRST}
    if before:
        condition = {
            "ConditionExpression": NUMBER_FOLLOWS,
            "ExpressionAttributeNames": {"#number": "number"},
            "ExpressionAttributeValues": {":before": {"N": str(before)}},
        }
    return {"Put": {"TableName": table, "Item": {**_key(name), **attributes}, **condition}}


def _goes_on(table: str, subject: str, first: _Last, last: _Last) -> dict[str, Any]:
    """The subject's last event is ``last``, unless others have given numbers since ``first``."""
    place = last.place
    if place is None:
        raise ValueError("a subject without an event has no last one")
    names = {name: f"#{name}" for name in ("number", "hash", "last")}
    values: Item = {
        ":number": {"N": str(last.number)},
        ":hash": {"S": last.digest},
        ":last": {"S": f"{place.shard}-{place.sequence}"},
    }
    changes, condition = [f"#{name} = :{name}" for name in names], NUMBER_IS_FIRST
    if first.number:
        condition, values = NUMBER_FOLLOWS, {**values, ":before": {"N": str(first.number)}}
    if first.number and first.place is None:
        condition, values = NUMBER_AND_HASH_FOLLOW, {**values, ":hash_before": {"S": first.digest}}
        changes.append("#after = #last")
        names[_after(first.number + 1)] = "#after"
    return {
        "Update": {
            "TableName": table,
            "Key": _key(subject_list(subject)),
            "UpdateExpression": "SET " + ", ".join(changes),
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {short: name for name, short in names.items()},
            "ExpressionAttributeValues": values,
        }
    }


def _given(presumed: Sequence[tuple[AuditEvent, str]]) -> dict[str, _Last]:
    """By subject the last of these events, were they the only ones."""
    last: dict[str, _Last] = {}
    for event, document in presumed:
        subject = subject_of(event)
        before = last.get(subject, _Last())
        number = before.number + 1
        last[subject] = _Last(number, chained(before.digest, subject, number, document))
    return last


def _after(number: int) -> str:
    return f"after_{number}"


def _lacks_place(row: FeedRow) -> bool:
    return row.number > 1 and row.after is None


def _with_place(row: FeedRow, subject: Item) -> FeedRow:
    found = subject.get(_after(row.number)) if _lacks_place(row) else None
    return row if found is None else row.model_copy(update={"after": _position(found["S"])})


def _last(item: Item) -> _Last:
    return _Last(int(item["number"]["N"]), item["hash"]["S"], _position(item["last"]["S"]))


def _position(text: str) -> Position:
    shard, _, sequence = text.partition("-")
    return Position(shard=int(shard), sequence=int(sequence))


def _rows(shard: int, items: Sequence[Mapping[str, Any]]) -> list[FeedRow]:
    events = load_events([item["event"]["S"] for item in items])
    return [
        FeedRow(
            shard=shard,
            sequence=int(item["place"]["S"]),
            subject=item["subject"]["S"],
            number=int(item["number"]["N"]),
            before=item["before"]["S"] if "before" in item else "",
            after=_position(item["after"]["S"]) if "after" in item else None,
            event=event,
        )
        for item, event in zip(items, events, strict=True)
    ]


def _key(name: str) -> dict[str, Any]:
    return {"list_shard": {"S": name}, "place": {"S": HEAD_PLACE}}
