"""Pages of a list of jobs: its shards, each newest first, merged.

Each shard is asked for about its part of the page; one that runs out is asked for more. Filters drop entries after they
were read, so the reads of a page are bounded, and a page can come back short with a cursor.

A query names the oldest time it wants (``windows``): DynamoDB would not need that, but the embedded server reads all
that a query's key condition matches before it looks at the limit.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from activities.stores.cursors import Positions, decode_cursor, encode_cursor
from activities.stores.documents import load_summaries
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.table import (
    ALL_LIST,
    LIST_SHARDS,
    agent_list,
    partition,
    place,
    status_list,
    time_and_job,
)
from activities.stores.dynamo.windows import Windows
from workflows.contracts.records import JobPage, JobQuery

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

_FILTERED_READ: Final = 500
"""How many entries one query looks at, at most, when a filter drops some."""
_MAX_QUERIES: Final = 8
"""Queries per shard and page, so that a filter that matches nothing costs a bounded time."""


@dataclass(frozen=True, slots=True)
class _Found:
    place: str
    summary: str


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


class JobLister:
    """Pages over the table of lists."""

    def __init__(self, clients: AwsClients, table: str, clock: Callable[[], float] = time.time) -> None:
        self._clients, self._table, self._clock = clients, table, clock
        self._windows = Windows()

    async def page(self, query: JobQuery) -> JobPage:
        """One page, newest first. Raises ValidationFailed for a foreign cursor, and Unavailable."""
        name, filters = _list_and_filters(query)
        begin = decode_cursor(query)
        anchor = self._windows.newest(name, round(self._clock() * 1000)) if begin.shown_to is None else begin.shown_to
        window = self._windows.width(name, query.limit)
        shards = [_start(number, begin, window) for number in range(LIST_SHARDS)]
        request = _request(self._table, filters)
        taken: list[_Found] = []
        while len(taken) < query.limit and not all(shard.finished for shard in shards):
            reads = [shard for shard in shards if shard.must_read]
            if any(shard.queries >= _MAX_QUERIES for shard in reads):
                break
            limit = _share(query.limit, len(taken))
            if filters:
                limit = min(_FILTERED_READ, limit * 4 ** max(shard.queries for shard in reads))
            await asyncio.gather(*(self._read({**request, "Limit": limit}, name, shard, anchor) for shard in reads))
            taken += _merge(shards, query.limit - len(taken))
        complete = all(shard.finished for shard in shards)
        if not filters:
            times = [time_and_job(found.place)[0] for found in taken]
            self._windows.learn(name, times, first=query.cursor is None, complete=complete)
            for shard in shards:
                if shard.exhausted and shard.last_read is not None:
                    self._windows.learn_beginning(partition(name, shard.number), time_and_job(shard.last_read)[0])
        items = load_summaries([found.summary for found in taken])
        return JobPage(items=items, next_cursor=None if complete else _cursor(query, shards, taken, begin))

    async def _read(self, request: "QueryInputTypeDef", name: str, shard: _Shard, anchor: int) -> None:
        if shard.read_to is not None:
            anchor = min(anchor, time_and_job(shard.read_to)[0])
        list_shard = partition(name, shard.number)
        oldest = self._windows.oldest(list_shard, anchor, shard.window)
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
        shard.found.extend(_Found(item["place"]["S"], item["summary"]["S"]) for item in items)
        shard.last_read = items[-1]["place"]["S"] if items else shard.last_read
        last: dict[str, Any] = {**answer.get("LastEvaluatedKey", {})}
        if last:
            shard.read_to = last["place"]["S"]
        elif oldest:
            shard.read_to, shard.window = place(oldest, ""), Windows.wider(shard.window)
        else:
            shard.exhausted = True
        if not items and not shard.exhausted:
            shard.position = shard.read_to  # the next page need not read again what the filter dropped


def _list_and_filters(query: JobQuery) -> tuple[str, dict[str, str]]:
    """The list that leaves least to filter, and what is left to filter."""
    filters = {"pool": query.pool, "job_type": query.job_type}
    name = ALL_LIST
    if query.agent_id is not None:
        name = agent_list(query.agent_id)
        filters["status"] = query.status.value if query.status else None
    elif query.status is not None:
        name = status_list(query.status)
    return name, {attribute: value for attribute, value in filters.items() if value is not None}


def _start(number: int, begin: Positions, window: int) -> _Shard:
    known = [begin.shards[number]] if number in begin.shards else []
    if begin.shown_to is not None:
        # Whatever was taken from this shard: jobs that are newer than the last one shown must not come behind it.
        known.append((begin.shown_to, "~"))
    position = min((place(*at) for at in known), default=None)
    return _Shard(number, position, position, window)


def _request(table: str, filters: dict[str, str]) -> "QueryInputTypeDef":
    """The part of the request that all shards and rounds share."""
    request: QueryInputTypeDef = {
        "TableName": table,
        "ScanIndexForward": False,
        "ConsistentRead": True,
        "ProjectionExpression": "place, summary",
    }
    if filters:
        request["FilterExpression"] = " AND ".join(f"#{name} = :{name}" for name in filters)
        request["ExpressionAttributeNames"] = {f"#{name}": name for name in filters}
        request["ExpressionAttributeValues"] = {f":{name}": {"S": value} for name, value in filters.items()}
    return request


def _share(limit: int, taken: int) -> int:
    """How many entries to ask one shard for: its part and two standard deviations, so that few run out."""
    part = limit / LIST_SHARDS
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


def _cursor(query: JobQuery, shards: list[_Shard], taken: list[_Found], begin: Positions) -> str:
    shown_to = time_and_job(taken[-1].place)[0] if taken else begin.shown_to
    positions = {shard.number: time_and_job(shard.position) for shard in shards if shard.position is not None}
    return encode_cursor(query, Positions(positions, shown_to))
