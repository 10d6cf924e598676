"""Pages of any list: its shards, each newest first, merged.

Each shard is asked for about its part of the page; one that runs out is asked for more. Filters drop entries after they
were read, so the reads of a page are bounded, and a page can come back short with a cursor and says so.

Where several lists have all that is wanted, the one in which most entries match is read: where few do, each is tried.

A page can be read from two lists, one for what is newer than some time and one for what is older (``ListPart``): an
item stands at the same place in both, and in a shard of the same number.

A query names the oldest time it wants (``windows``): DynamoDB would not need that, but the embedded server reads all
that a query's key condition matches before it looks at the limit.

Deliberately not here: which list a query reads and what the entries' texts are (``jobs``, ``deployments``, ``events``).
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from activities.stores.cursors import ListQuery, Positions, decode_cursor, encode_cursor
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.table import partition, place, shards_of, time_and_id
from activities.stores.dynamo.windows import Windows

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

MOST_AT_ONCE: Final = 500
"""How many entries one query looks at, at most, when a filter drops some."""
ONE_BY_ONE: Final = 100
"""So many it looks at when each is read as a whole: 3,200 of a page at most, in a list of 4 shards."""
_MANY_MATCH: Final = 0.25
"""A list in which so many of the entries match is not left for another one."""
_MAX_QUERIES: Final = 8
"""Queries per shard and page that find anything to look at, so that a filter that matches nothing costs a bounded time.
Others only look further back, a few times."""

_LAST_ID: Final = "\U0010ffff"
"""Sorts behind every id, as code points and as UTF-8."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One page: its entries' texts, newest first, and the cursor of the next; None when there is none.

    ``stopped_early``: so much was read as one page may. ``looked_at``: so many entries, where some can be dropped.
    """

    texts: list[str]
    next_cursor: str | None
    stopped_early: bool = False
    looked_at: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which entries of a list are wanted: how attributes begin, from when to when (ms, both included), and what their
    text holds.
    """

    begins: Mapping[str, str] = field(default_factory=dict[str, str])
    since: int = 0
    until: int | None = None
    holds: tuple[str, ...] = ()


Entry = Mapping[str, Any]
Keep = Callable[[int, Sequence[Entry]], Awaitable[Sequence[Entry]]]
"""What is shown of the entries that were read of a shard: those that stay, or others that stand for them."""


@dataclass(frozen=True, slots=True)
class ListPart:
    """A list to read, or the part of it that ``choice`` names, and which of its entries are wanted.

    ``filters``: how attributes must be. ``keep`` has the last word. ``most``: so many entries are looked at at once.
    ``others``: lists with as many shards in which everything that is wanted stands as well, at the same places.
    """

    name: str
    others: tuple[str, ...] = ()
    filters: Mapping[str, str] = field(default_factory=dict[str, str])
    choice: Choice = field(default_factory=Choice)
    keep: Keep | None = None
    drops: bool = False
    """Whether ``keep`` can leave some out."""
    most: int = MOST_AT_ONCE
    rare: bool = False
    """Few entries are wanted, of a list that is not long: the first query looks at as many as may be, however old."""

    @property
    def filtered(self) -> bool:
        """Whether entries can be dropped after they were read."""
        return self.drops or bool(self.filters or self.choice.begins or self.choice.holds)


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
    part: int = 0
    matching: list[float] = field(default_factory=list[float])
    """Of the lists that were tried, in their order, what part of the entries matched when last looked at."""
    trying: int = 0
    queries: int = 0
    looked_at: int = 0
    exhausted: bool = False

    @property
    def must_read(self) -> bool:
        """Nobody knows what comes next in this shard."""
        return not self.found and not self.exhausted

    @property
    def finished(self) -> bool:
        """Nothing comes next in this shard."""
        return self.exhausted and not self.found

    def learn(self, matched: int, scanned: int, lists: int) -> None:
        """Choose the list to go on in."""
        if not scanned:
            return
        self.matching[self.trying :] = [matched / scanned, *self.matching[self.trying + 1 :]]
        tried = len(self.matching)
        best = max(range(tried), key=self.matching.__getitem__)
        self.trying = tried if self.matching[best] < _MANY_MATCH and tried < lists else best

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
        return await self.page_of(query, [ListPart(name, filters=filters, choice=choice or Choice())])

    async def page_of(self, query: ListQuery, parts: Sequence[ListPart]) -> Listed:
        """One page, newest first, of lists with as many shards each. Each begins where the one before ends: at its
        ``since``. Raises as ``page``.
        """
        begin, name = decode_cursor(query), parts[0].name
        if begin.shown_to is None:
            begin = Positions(begin.shards, parts[0].choice.until)
        anchor = self._windows.newest(name, round(self._clock() * 1000)) if begin.shown_to is None else begin.shown_to
        shards = [self._start(number, begin, parts, query.limit) for number in range(shards_of(name))]
        requests = [self._request(part) for part in parts]
        taken: list[_Found] = []
        stopped = False
        while len(taken) < query.limit and not all(shard.finished for shard in shards):
            reads = [shard for shard in shards if shard.must_read]
            stopped = any(shard.queries >= _MAX_QUERIES for shard in reads)
            if stopped:
                break
            share, tries = _share(query.limit, len(taken), len(shards)), max(shard.queries for shard in reads)

            async def read(shard: _Shard, share: int = share, tries: int = tries) -> None:
                part = parts[shard.part]
                limit = part.most if part.rare else min(part.most, share * 4**tries) if part.filtered else share
                await self._read({**requests[shard.part], "Limit": limit}, parts, shard, anchor, query.limit)

            await asyncio.gather(*(read(shard) for shard in reads))
            taken += _merge(shards, query.limit - len(taken))
        complete = all(shard.finished for shard in shards)
        filtered = any(part.filtered for part in parts)
        if not filtered and len(parts) == 1 and parts[0].choice == Choice():
            self._learn(name, shards, taken, first=query.cursor is None, complete=complete)
        cursor = None if complete else _cursor(query, shards, taken, begin)
        looked_at = sum(shard.looked_at for shard in shards) if filtered else None
        return Listed([found.text for found in taken], cursor, stopped, looked_at)

    def _request(self, part: ListPart) -> "QueryInputTypeDef":
        """What of the request all shards and rounds share."""
        filters, choice = part.filters, part.choice
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

    def _start(self, number: int, begin: Positions, parts: Sequence[ListPart], limit: int) -> _Shard:
        known = [begin.shards[number]] if number in begin.shards else []
        if begin.shown_to is not None:
            # Whatever was taken from this shard: items that are newer than the last one shown must not come behind it.
            known.append((begin.shown_to, _LAST_ID))
        position = min((place(*at) for at in known), default=None)
        part = 0
        while position is not None and part + 1 < len(parts) and position <= place(parts[part].choice.since, ""):
            part += 1
        oldest = place(parts[part].choice.since, "")
        return _Shard(
            number, position, position, self._width(parts[part], limit), part=part,
            exhausted=position is not None and position < oldest,  # DynamoDB refuses to begin outside of a range
        )  # fmt: skip

    def _width(self, part: ListPart, limit: int) -> int:
        return 0 if part.rare else self._windows.width(part.name, limit)

    async def _read(
        self, request: "QueryInputTypeDef", parts: Sequence[ListPart], shard: _Shard, anchor: int, wanted: int
    ) -> None:
        part = parts[shard.part]
        if shard.read_to is not None:
            anchor = min(anchor, time_and_id(shard.read_to)[0])
        name = (part.name, *part.others)[shard.trying]
        since, list_shard = part.choice.since, partition(name, shard.number)
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
        items: Sequence[Entry] = cast("Sequence[Entry]", answer["Items"])
        shard.looked_at += answer["ScannedCount"]
        shard.queries += answer["ScannedCount"] > 0
        shard.learn(len(answer["Items"]), answer["ScannedCount"], 1 + len(part.others))
        shard.last_read = items[-1]["place"]["S"] if items else shard.last_read
        if part.keep is not None and items:
            items = await part.keep(shard.number, items)
        shard.found.extend(_Found(item["place"]["S"], item[self._text]["S"]) for item in items)
        last: dict[str, Any] = {**answer.get("LastEvaluatedKey", {})}
        if last:
            shard.read_to = last["place"]["S"]
        elif oldest > since:
            shard.read_to, shard.window = place(oldest, ""), Windows.wider(shard.window)
        elif shard.part + 1 < len(parts):
            shard.part, shard.trying, shard.matching = shard.part + 1, 0, []
            shard.read_to, shard.window = place(since, ""), self._width(parts[shard.part], wanted)
        else:
            shard.exhausted = True
        if not items and not shard.exhausted:
            shard.position = shard.read_to  # the next page need not read again what the filter dropped


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
