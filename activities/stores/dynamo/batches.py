"""Requests of many items: written and read in batches, and lists read by their places, as a whole or in part.

Deliberately not here: lists by time, which have pages (``listing``), and transactions (``transactions``).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from activities.bounded import gather_bounded
from activities.stores.dynamo.client import AwsClients, WriteConflict
from activities.stores.dynamo.table import ALL_LIST, partition, place, shards_of
from workflows.contracts.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

_WRITTEN_AT_ONCE: Final = 25
_READ_AT_ONCE: Final = 100
_ROUNDS: Final = 8
_BATCHES_AT_ONCE: Final = 6
"""Fewer than there are threads: records are written meanwhile."""

Item = Mapping[str, Any]


async def put_batch(clients: AwsClients, table: str, items: Sequence[Item]) -> None:
    """Put these items, no two of which have the same key; each replaces what was there. Raises Unavailable."""

    async def put(part: Sequence[Item]) -> None:
        rest: list[Any] = [{"PutRequest": {"Item": item}} for item in part]
        for attempt in range(_ROUNDS):
            # A conflict is with a transaction on one of the items: none of them, or all again, does no harm.
            with suppress(WriteConflict):
                answer = await clients.call(clients.dynamodb.batch_write_item, RequestItems={table: rest})
                rest = [*answer.get("UnprocessedItems", {}).get(table, [])]
            if not rest:
                return
            await _wait(attempt)
        raise _throttled(table)

    await _in_parts(put, items, _WRITTEN_AT_ONCE)


async def get_batch(clients: AwsClients, table: str, keys: Sequence[Item]) -> list[Item]:
    """Those of these items that are there, in any order, read consistently. Raises Unavailable."""
    found: list[Item] = []

    async def get(part: Sequence[Item]) -> None:
        rest: list[Any] = [*part]
        for attempt in range(_ROUNDS):
            request: Any = {table: {"Keys": rest, "ConsistentRead": True}}
            answer = await clients.call(clients.dynamodb.batch_get_item, RequestItems=request)
            found.extend(answer.get("Responses", {}).get(table, []))
            left: Any = answer.get("UnprocessedKeys", {}).get(table)
            rest = left["Keys"] if left else []
            if not rest:
                return
            await _wait(attempt)
        raise _throttled(table)

    await _in_parts(get, keys, _READ_AT_ONCE)
    return found


async def query_all(clients: AwsClients, table: str, list_shard: str, *attributes: str) -> list[Item]:
    """All items of a partition, by place, with these attributes of theirs, read consistently. Raises Unavailable."""
    return await _query(clients, _request(table, list_shard, attributes), None)


async def query_some(
    clients: AwsClients, table: str, list_shard: str, *attributes: str, behind: str, count: int
) -> list[Item]:
    """``count`` items of a partition behind a place, as ``query_all``. Large ones come in several answers, of 1 MB."""
    request = _request(table, list_shard, attributes)
    request["KeyConditionExpression"] = "list_shard = :list AND place > :behind"
    request["ExpressionAttributeValues"] = {":list": {"S": list_shard}, ":behind": {"S": behind}}
    return await _query(clients, request, count)


async def oldest(
    clients: AwsClients, table: str, text: str, behind: str, until: int, limit: int
) -> list[tuple[str, str]]:
    """The first ``limit`` entries of the list ``all`` before ``until`` (ms) behind a place, oldest first: their places
    and their attribute ``text``. Read consistently. Raises Unavailable.
    """

    async def of_shard(shard: int) -> list[Item]:
        request = _request(table, partition(ALL_LIST, shard), ("place", text))
        request["KeyConditionExpression"] = "list_shard = :list AND place BETWEEN :behind AND :until"
        request["ExpressionAttributeValues"] = {
            ":list": {"S": partition(ALL_LIST, shard)},
            ":behind": {"S": behind or "0"},
            ":until": {"S": place(until, "")},
        }
        return await _query(clients, request, limit + 1)

    shards = await asyncio.gather(*(of_shard(shard) for shard in range(shards_of(ALL_LIST))))
    found = [(item["place"]["S"], item[text]["S"]) for items in shards for item in items]
    return sorted(each for each in found if each[0] > behind)[:limit]


def _request(table: str, list_shard: str, attributes: Sequence[str]) -> "QueryInputTypeDef":
    return {
        "TableName": table,
        "KeyConditionExpression": "list_shard = :list",
        "ExpressionAttributeValues": {":list": {"S": list_shard}},
        "ProjectionExpression": ", ".join(f"#{name}" for name in attributes),
        "ExpressionAttributeNames": {f"#{name}": name for name in attributes},
        "ConsistentRead": True,
    }


async def _query(clients: AwsClients, request: "QueryInputTypeDef", count: int | None) -> list[Item]:
    items: list[Item] = []
    while count is None or len(items) < count:
        if count is not None:
            request["Limit"] = count - len(items)
        answer = await clients.call(clients.dynamodb.query, **request)
        items += answer["Items"]
        last = answer.get("LastEvaluatedKey")
        if not last:
            break
        request["ExclusiveStartKey"] = last
    return items


async def _in_parts(call: Callable[[Sequence[Item]], Awaitable[None]], items: Sequence[Item], size: int) -> None:
    parts = [items[begin : begin + size] for begin in range(0, len(items), size)]
    for failure in await gather_bounded(call, parts, at_once=_BATCHES_AT_ONCE):
        if failure is not None:
            raise failure


async def _wait(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0.01, 0.05 * 2 ** min(attempt, 5)))  # noqa: S311 - not a secret


def _throttled(table: str) -> Unavailable:
    return Unavailable(
        f"Table {table} takes less than is asked of it: {_ROUNDS} times, items of a batch were left. Try again later."
    )
