"""Lists of jobs: the shards of one index, each newest first, merged into one page.

Each shard is asked for about its part of the page; one that runs out is asked for more. Filters drop items after they
were read, so the reads of a page are bounded, and a page can come back short with a cursor.
"""

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from activities.stores.cursors import Positions, decode_cursor, encode_cursor
from activities.stores.documents import load_summaries
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.table import (
    AGENT_INDEX,
    ALL_INDEX,
    LIST_SHARDS,
    PARTITION_KEYS,
    STATUS_INDEX,
    partition,
)
from workflows.contracts.records import JobPage, JobQuery

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

_FILTERED_READ: Final = 200
"""How many items one query looks at when a filter drops some."""
_MAX_QUERIES: Final = 8
"""Queries per shard and page, so that a filter that matches nothing costs a bounded time."""


@dataclass(frozen=True, slots=True)
class _Found:
    created_at: int
    job_id: str
    summary: str


@dataclass(slots=True)
class _Shard:
    """One shard's part of a page: what was read and not yet taken, and where the next query goes on."""

    number: int
    position: tuple[int, str] | None
    read_to: tuple[int, str] | None
    found: deque[_Found] = field(default_factory=deque[_Found])
    queries: int = 0
    exhausted: bool = False

    @property
    def must_read(self) -> bool:
        """Nobody knows what comes next in this shard."""
        return not self.found and not self.exhausted

    def take(self) -> _Found:
        taken = self.found.popleft()
        self.position = (taken.created_at, taken.job_id)
        return taken


class JobLister:
    """Pages over the jobs table."""

    def __init__(self, clients: AwsClients, table: str) -> None:
        self._clients, self._table = clients, table

    async def page(self, query: JobQuery) -> JobPage:
        """One page, newest first. Raises ValidationFailed for a foreign cursor, and Unavailable."""
        start = decode_cursor(query)
        shards = [_Shard(number, start.shards.get(number), start.shards.get(number)) for number in range(LIST_SHARDS)]
        request, filtered = _request(self._table, query)
        taken: list[_Found] = []
        wanted = math.ceil(query.limit / LIST_SHARDS + 2 * math.sqrt(query.limit / LIST_SHARDS)) + 1
        while len(taken) < query.limit:
            reads = [shard for shard in shards if shard.must_read]
            if any(shard.queries >= _MAX_QUERIES for shard in reads):
                break
            limit = _FILTERED_READ if filtered else min(wanted, query.limit - len(taken) + 1)
            await asyncio.gather(*(self._read(request, query, shard, start.shown_to, limit) for shard in reads))
            taken += _merge(shards, query.limit - len(taken))
            if all(shard.exhausted and not shard.found for shard in shards):
                break
        items = load_summaries([found.summary for found in taken])
        if all(shard.exhausted and not shard.found for shard in shards):
            return JobPage(items=items)
        shown_to = taken[-1].created_at if taken else start.shown_to
        positions = {shard.number: shard.position for shard in shards if shard.position is not None}
        return JobPage(items=items, next_cursor=encode_cursor(query, Positions(positions, shown_to)))

    async def _read(
        self, request: "QueryInputTypeDef", query: JobQuery, shard: _Shard, shown_to: int | None, limit: int
    ) -> None:
        index, value = _index_of(query)
        key: dict[str, Any] = {":partition": {"S": partition(value, shard.number)}}
        asked: QueryInputTypeDef = {**request, "Limit": limit}
        if shard.read_to is not None:
            created_at, job_id = shard.read_to
            asked["ExclusiveStartKey"] = {
                "job_id": {"S": job_id},
                "created_at": {"N": str(created_at)},
                PARTITION_KEYS[index]: key[":partition"],
            }
        elif shown_to is not None:
            asked["KeyConditionExpression"] = f"{request.get('KeyConditionExpression')} AND created_at <= :shown_to"
            key[":shown_to"] = {"N": str(shown_to)}
        asked["ExpressionAttributeValues"] = {**request.get("ExpressionAttributeValues", {}), **key}
        answer = await self._clients.call(self._clients.dynamodb.query, **asked)
        items: list[dict[str, Any]] = [*answer["Items"]]
        shard.found.extend(_Found(int(i["created_at"]["N"]), i["job_id"]["S"], i["summary"]["S"]) for i in items)
        shard.queries += 1
        last: dict[str, Any] = {**answer.get("LastEvaluatedKey", {})}
        shard.exhausted = not last
        if last:
            shard.read_to = (int(last["created_at"]["N"]), last["job_id"]["S"])
            if not items:
                # All that was read was dropped by the filter: the next page need not read it again.
                shard.position = shard.read_to


def _merge(shards: list[_Shard], room: int) -> list[_Found]:
    """The newest items, as long as it is known what comes next in every shard."""
    taken: list[_Found] = []
    while len(taken) < room and not any(shard.must_read for shard in shards):
        full = [shard for shard in shards if shard.found]
        if not full:
            break
        taken.append(max(full, key=lambda shard: (shard.found[0].created_at, -shard.number)).take())
    return taken


def _index_of(query: JobQuery) -> tuple[str, str]:
    """The index that leaves least to filter, and the value to look for in it."""
    if query.agent_id is not None:
        return AGENT_INDEX, query.agent_id
    if query.status is not None:
        return STATUS_INDEX, query.status.value
    return ALL_INDEX, "all"


def _request(table: str, query: JobQuery) -> "tuple[QueryInputTypeDef, bool]":
    """The part of the request that all shards and rounds share, and whether a filter drops items."""
    index, _ = _index_of(query)
    filters = {"pool": query.pool, "job_type": query.job_type}
    if index == AGENT_INDEX and query.status is not None:
        filters["status"] = query.status.value
    given = {name: value for name, value in filters.items() if value is not None}
    request: QueryInputTypeDef = {
        "TableName": table,
        "IndexName": index,
        "KeyConditionExpression": f"{PARTITION_KEYS[index]} = :partition",
        "ScanIndexForward": False,
        "ProjectionExpression": "job_id, created_at, summary",
        "ExpressionAttributeValues": {f":{name}": {"S": value} for name, value in given.items()},
    }
    if given:
        request["FilterExpression"] = " AND ".join(f"#{name} = :{name}" for name in given)
        request["ExpressionAttributeNames"] = {f"#{name}": name for name in given}
    return request, bool(given)
