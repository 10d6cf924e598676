"""THE schema: tables, keys, indexes, shards, named conditions. Everything else takes these names from here.

Table ``jobs`` (key ``job_id``): one item per job. ``document`` is the whole record and ``summary`` its short form, both
JSON text, since boto3 takes 20 times longer to read the same as typed attributes; a large document is kept compressed
as ``packed`` instead. Beside them stand the attributes that keys, indexes, filters and conditions need.

Each index has its partition key spread over LIST_SHARDS values (``running#2``), so that no partition is hot; a list
merges the shards. They project the summary, so a page needs no second read.

Table ``statistics`` (key ``counter``, ``shard``): counters, spread over COUNTER_SHARDS items each, because a
transaction excludes every other on the same item. ``queue`` are the queue's, ``day#2026-11-21`` a day's, which expire.
"""

import asyncio
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from activities.stores.dynamo.client import AwsClients, Exists, Missing
from workflows.contracts.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import (
        CreateTableInputTypeDef,
        GlobalSecondaryIndexUnionTypeDef,
        TableDescriptionTypeDef,
        TimeToLiveSpecificationTypeDef,
    )

LIST_SHARDS: Final = 4
COUNTER_SHARDS: Final = 16

STATUS_INDEX: Final = "status-created_at-index"
AGENT_INDEX: Final = "agent_id-created_at-index"
ALL_INDEX: Final = "all-created_at-index"
PARTITION_KEYS: Final = {STATUS_INDEX: "status_shard", AGENT_INDEX: "agent_shard", ALL_INDEX: "all_shard"}

QUEUE_COUNTER: Final = "queue"
DAY_RETENTION_SECONDS: Final = 400 * 24 * 3600
TTL_ATTRIBUTE: Final = "expires_at"

RECORD_IS_NEW: Final = "attribute_not_exists(job_id)"
"""The job has no record yet."""
SEQUENCE_IS_NEWER: Final = "#sequence < :sequence AND #footprint = :footprint"
"""The stored record is older, and it has contributed to the counters what this write takes back."""

_ACTIVE_SECONDS: Final = 60


def list_shard(job_id: str) -> int:
    """The shard of the indexes that a job is in."""
    return zlib.crc32(job_id.encode()) % LIST_SHARDS


def counter_shard(job_id: str) -> int:
    """The shard of the counters that a job moves."""
    return zlib.crc32(job_id.encode()) % COUNTER_SHARDS


def partition(value: str, shard: int) -> str:
    """An index's partition key."""
    return f"{value}#{shard}"


def day_counter(day: str) -> str:
    """The counter of a day, ``YYYY-MM-DD``."""
    return f"day#{day}"


async def create_tables(clients: AwsClients, jobs: str, statistics: str) -> None:
    """Create the tables that are missing and wait until all can be used. Repeatable, also at the same time.

    Raises Unavailable, also when a table of this name has other keys or indexes.
    """
    await asyncio.gather(_create(clients, _jobs_table(jobs)), _create(clients, _statistics_table(statistics)))
    await _expire(clients, statistics)


def _jobs_table(name: str) -> "CreateTableInputTypeDef":
    keys = ("job_id", *PARTITION_KEYS.values())
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            *({"AttributeName": key, "AttributeType": "S"} for key in keys),
            {"AttributeName": "created_at", "AttributeType": "N"},
        ],
        "KeySchema": [{"AttributeName": "job_id", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [_index(name, key) for name, key in PARTITION_KEYS.items()],
    }


def _index(name: str, partition_key: str) -> "GlobalSecondaryIndexUnionTypeDef":
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": partition_key, "KeyType": "HASH"},
            {"AttributeName": "created_at", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["summary", "status", "pool", "job_type"]},
    }


def _statistics_table(name: str) -> "CreateTableInputTypeDef":
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "counter", "AttributeType": "S"},
            {"AttributeName": "shard", "AttributeType": "N"},
        ],
        "KeySchema": [
            {"AttributeName": "counter", "KeyType": "HASH"},
            {"AttributeName": "shard", "KeyType": "RANGE"},
        ],
    }


async def _create(clients: AwsClients, wanted: "CreateTableInputTypeDef") -> None:
    name = wanted["TableName"]
    deadline = time.monotonic() + _ACTIVE_SECONDS
    while True:
        try:
            table = (await clients.call(clients.dynamodb.describe_table, TableName=name))["Table"]
        except Missing:
            with suppress(Exists):  # another process was faster; the next round waits for its table
                await clients.call(clients.dynamodb.create_table, **wanted)
            continue
        _check_same(name, wanted, table)
        if _active(table):
            return
        if time.monotonic() > deadline:
            raise Unavailable(f"Table {name} is not active after {_ACTIVE_SECONDS} s: look at it in the AWS console.")
        await asyncio.sleep(0.1)


def _active(table: "TableDescriptionTypeDef") -> bool:
    indexes = table.get("GlobalSecondaryIndexes", [])
    return table.get("TableStatus") == "ACTIVE" and all(index.get("IndexStatus") == "ACTIVE" for index in indexes)


def _check_same(name: str, wanted: "CreateTableInputTypeDef", table: "TableDescriptionTypeDef") -> None:
    wanted_indexes = {index["IndexName"] for index in wanted.get("GlobalSecondaryIndexes", [])}
    missing = wanted_indexes - {index.get("IndexName", "") for index in table.get("GlobalSecondaryIndexes", [])}
    keys = [key["AttributeName"] for key in wanted.get("KeySchema", [])]
    if missing or keys != [key["AttributeName"] for key in table.get("KeySchema", [])]:
        raise Unavailable(
            f"Table {name} exists with another schema (its key must be {keys}; missing indexes: {sorted(missing)}). "
            "Give this installation table names of its own (DYNAMODB_TABLE_JOBS, DYNAMODB_TABLE_STATISTICS)."
        )


async def _expire(clients: AwsClients, table: str) -> None:
    """Switch expiry on. Asking for it twice is an error on AWS, so look first, and again when somebody was faster."""
    if await _expires(clients, table):
        return
    specification: TimeToLiveSpecificationTypeDef = {"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
    try:
        await clients.call(clients.dynamodb.update_time_to_live, TableName=table, TimeToLiveSpecification=specification)
    except Exception:
        if not await _expires(clients, table):
            raise


async def _expires(clients: AwsClients, table: str) -> bool:
    answer = await clients.call(clients.dynamodb.describe_time_to_live, TableName=table)
    return answer["TimeToLiveDescription"].get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
