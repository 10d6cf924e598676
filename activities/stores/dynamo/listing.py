"""Pages of any list: its shards, each newest first, merged.

Each shard is asked for about its part of the page; one that runs out is asked for more. Filters drop entries after they
were read, so the reads of a page are bounded, and a page can come back short with a cursor.

A query names the oldest time it wants (``windows``): DynamoDB would not need that, but the embedded server reads all
that a query's key condition matches before it looks at the limit.

Deliberately not here: which list a query reads and what the entries' texts are (``jobs``, ``deployments``, ``events``).
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from activities.stores.cursors import ListQuery, Positions, decode_cursor, encode_cursor
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.table import partition, place, shards_of, time_and_id
from activities.stores.dynamo.windows import Windows

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

_FILTERED_READ: Final = 500
"""How many entries one query looks at, at most, when a filter drops some."""
_MAX_QUERIES: Final = 8
"""Queries per shard and page, so that a filter that matches nothing costs a bounded time."""

_LAST_ID: Final = "\U0010ffff"
"""Sorts behind every id, as code points and as UTF-8."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One page: its entries' texts, newest first, and the cursor of the next; None when there is none."""

    texts: list[str]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which entries of a list are wanted: how attributes begin, from when to when (ms, both included), and what their
    text holds.
    """

    begins: Mapping[str, str] = field(default_factory=dict[str, str])
    since: int = 0
    until: int | None = None
    holds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    place: str
    text: str


@dataclass(slots=True)
class _Shard:
    """One shard's part of a page: what was read and not yet taken, and where the next query goes on."""

    number: int
    position: str | None
    """The last place that was taken, or dropped by the filter."""
    read_to: str | None
    window: int
    """How far back from the page's start the next query looks, in ms; 0 for all there is."""
    found: deque[_Found] = field(default_factory=deque[_Found])
    last_read: str | None = None
    """The oldest place that a query found."""
    queries: int = 0
    exhausted: bool = False

    @property
    def must_read(self) -> bool:
        """Nobody knows what comes next in this shard."""
        return not self.found and not self.exhausted

    @property
    def finished(self) -> bool:
        """Nothing comes next in this shard."""
        return self.exhausted and not self.found

    def take(self) -> _Found:
        taken = self.found.popleft()
        self.position = taken.place
        return taken


class Lister:
    """Pages over one table of lists, whose entries keep their text in the attribute ``text``."""

    def __init__(self, clients: AwsClients, table: str, text: str, clock: Callable[[], float] = time.time) -> None:
        self._clients, self._table, self._text, self._clock = clients, table, text, clock
        self._windows = Windows()

    async def page(
        self, query: ListQuery, name: str, filters: Mapping[str, str], choice: Choice | None = None
    ) -> Listed:
        """One page of the list ``name``, newest first: the entries whose attributes are as ``filters`` says.

        ``choice`` leaves out more. Raises ValidationFailed for a cursor of another query, and Unavailable.
        """
        choice = choice or Choice()
        begin = decode_cursor(query)
        if begin.shown_to is None:
            begin = Positions(begin.shards, choice.until)
        anchor = self._windows.newest(name, round(self._clock() * 1000)) if begin.shown_to is None else begin.shown_to
        window = self._windows.width(name, query.limit)
        shards = [_start(number, begin, window) for number in range(shards_of(name))]
        request = self._request(filters, choice)
        filtered = bool(filters or choice.begins or choice.holds)
        taken: list[_Found] = []
        while len(taken) < query.limit and not all(shard.finished for shard in shards):
            reads = [shard for shard in shards if shard.must_read]
            if any(shard.queries >= _MAX_QUERIES for shard in reads):
                break
            limit = _share(query.limit, len(taken), len(shards))
            if filtered:
                limit = min(_FILTERED_READ, limit * 4 ** max(shard.queries for shard in reads))
            asked: QueryInputTypeDef = {**request, "Limit": limit}
            await asyncio.gather(*(self._read(asked, name, shard, anchor, choice.since) for shard in reads))
            taken += _merge(shards, query.limit - len(taken))
        complete = all(shard.finished for shard in shards)
        if not filtered and choice == Choice():
            self._learn(name, shards, taken, first=query.cursor is None, complete=complete)
        cursor = None if complete else _cursor(query, shards, taken, begin)
        return Listed([found.text for found in taken], cursor)

    def _request(self, filters: Mapping[str, str], choice: Choice) -> "QueryInputTypeDef":
        """The part of the request that all shards and rounds share."""
        begins, holds = choice.begins, {f"text{number}": text for number, text in enumerate(choice.holds)}
        request: QueryInputTypeDef = {
            "TableName": self._table,
            "ScanIndexForward": False,
            "ConsistentRead": True,
            "ProjectionExpression": "place, #text",
            "ExpressionAttributeNames": {"#text": self._text, **{f"#{name}": name for name in (*filters, *begins)}},
        }
        conditions = [f"#{name} = :{name}" for name in filters]
        conditions += [f"begins_with(#{name}, :{name})" for name in begins]
        conditions += [f"contains(#text, :{name})" for name in holds]
        if conditions:
            values = {**filters, **begins, **holds}
            request["FilterExpression"] = " AND ".join(conditions)
            request["ExpressionAttributeValues"] = {f":{name}": {"S": value} for name, value in values.items()}
        return request

    def _learn(self, name: str, shards: list[_Shard], taken: list[_Found], *, first: bool, complete: bool) -> None:
        times = [time_and_id(found.place)[0] for found in taken]
        self._windows.learn(name, times, first=first, complete=complete)
        for shard in shards:
            if shard.exhausted and shard.last_read is not None:
                self._windows.learn_beginning(partition(name, shard.number), time_and_id(shard.last_read)[0])

    async def _read(self, request: "QueryInputTypeDef", name: str, shard: _Shard, anchor: int, since: int) -> None:
        if shard.read_to is not None:
            anchor = min(anchor, time_and_id(shard.read_to)[0])
        list_shard = partition(name, shard.number)
        oldest = max(since, self._windows.oldest(list_shard, anchor, shard.window))
        values: dict[str, Any] = {":list": {"S": list_shard}}
        condition = "list_shard = :list"
        if oldest:
            condition += " AND place >= :oldest"
            values[":oldest"] = {"S": place(oldest, "")}
        asked: QueryInputTypeDef = {
            **request,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": {**request.get("ExpressionAttributeValues", {}), **values},
        }
        if shard.read_to is not None:
            asked["ExclusiveStartKey"] = {"list_shard": values[":list"], "place": {"S": shard.read_to}}
        answer = await self._clients.call(self._clients.dynamodb.query, **asked)
        items: list[dict[str, Any]] = [*answer["Items"]]
        shard.queries += 1
        shard.found.extend(_Found(item["place"]["S"], item[self._text]["S"]) for item in items)
        shard.last_read = items[-1]["place"]["S"] if items else shard.last_read
        last: dict[str, Any] = {**answer.get("LastEvaluatedKey", {})}
        if last:
            shard.read_to = last["place"]["S"]
        elif oldest > since:
            shard.read_to, shard.window = place(oldest, ""), Windows.wider(shard.window)
        else:
            shard.exhausted = True
        if not items and not shard.exhausted:
            shard.position = shard.read_to  # the next page need not read again what the filter dropped


def _start(number: int, begin: Positions, window: int) -> _Shard:
    known = [begin.shards[number]] if number in begin.shards else []
    if begin.shown_to is not None:
        # Whatever was taken from this shard: items that are newer than the last one shown must not come behind it.
        known.append((begin.shown_to, _LAST_ID))
    position = min((place(*at) for at in known), default=None)
    return _Shard(number, position, position, window)


def _share(limit: int, taken: int, shards: int) -> int:
    """How many entries to ask one shard for: its part and two standard deviations, so that few run out."""
    if shards == 1:
        return limit - taken + 1
    part = limit / shards
    return min(math.ceil(part + 2 * math.sqrt(part)) + 1, limit - taken + 1)


def _merge(shards: list[_Shard], room: int) -> list[_Found]:
    """The newest entries, as long as it is known what comes next in every shard."""
    taken: list[_Found] = []
    while len(taken) < room and not any(shard.must_read for shard in shards):
        full = [shard for shard in shards if shard.found]
        if not full:
            break
        taken.append(max(full, key=lambda shard: shard.found[0].place).take())
    return taken


def _cursor(query: ListQuery, shards: list[_Shard], taken: list[_Found], begin: Positions) -> str:
    shown_to = time_and_id(taken[-1].place)[0] if taken else begin.shown_to
    positions = {shard.number: time_and_id(shard.position) for shard in shards if shard.position is not None}
    return encode_cursor(query, Positions(positions, shown_to))
