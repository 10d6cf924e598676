"""THE schema: tables, keys, shards, named conditions. Everything else takes these names from here.

``jobs`` (key ``job_id``): one item per job. ``document`` is the whole record as JSON text, since boto3 takes 20 times
longer to read the same as typed attributes; a large one is kept compressed as ``packed`` instead. Beside it stand the
``sequence`` and the ``footprint`` that conditions need.

``job_lists`` (keys ``list_shard``, ``place``): what records are found by. Each job has an entry in the list ``all``, in
the one of its status and in the one of its agent, written in the record's transaction. An entry holds the job's
``summary`` (so a page needs no second read) and what lists are filtered by. ``place`` is the time of creation and the
job id, so that no two are equal. A list is spread over LIST_SHARDS partitions (``status#running#2``), so that none is
hot.

Why not global secondary indexes: entries are read consistently, so a list shows what was just acknowledged; and the
embedded server answers a query of an index by reading the whole table (34 ms at 8,000 items, 1.5 ms for entries).

``statistics`` (keys ``counter``, ``shard``): counters, spread over COUNTER_SHARDS items each, because a transaction
excludes every other on the same item. ``queue`` are the queue's, ``day#2026-11-21`` a day's, which expire.
"""

import asyncio
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

from activities.stores.dynamo.client import AwsClients, Exists, Missing
from activities.stores.settings import StoreSettings
from workflows.contracts.errors import Unavailable
from workflows.contracts.statuses import JobStatus

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import CreateTableInputTypeDef, TimeToLiveSpecificationTypeDef

LIST_SHARDS: Final = 4
COUNTER_SHARDS: Final = 16

ALL_LIST: Final = "all"
QUEUE_COUNTER: Final = "queue"
DAY_RETENTION_SECONDS: Final = 400 * 24 * 3600
TTL_ATTRIBUTE: Final = "expires_at"

RECORD_IS_NEW: Final = "attribute_not_exists(job_id)"
"""The job has no record yet."""
SEQUENCE_IS_NEWER: Final = "#sequence < :sequence AND #footprint = :footprint"
"""The stored record is older, and it has contributed to counters and lists what this write takes back."""

_ACTIVE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class JobTables:
    """The names of the tables."""

    jobs: str
    job_lists: str
    statistics: str

    @classmethod
    def of(cls, settings: StoreSettings) -> Self:
        """The names that the settings give."""
        return cls(settings.jobs_table, settings.job_lists_table, settings.statistics_table)


def status_list(status: JobStatus) -> str:
    """The list of the jobs in a state."""
    return f"status#{status.value}"


def agent_list(agent_id: str) -> str:
    """The list of the jobs whose last or present agent this is."""
    return f"agent#{agent_id}"


def place(created_at: int, job_id: str) -> str:
    """Where a job stands in every list: by its creation (ms)."""
    return f"{created_at:015d}#{job_id}"


def time_and_job(place: str) -> tuple[int, str]:
    """The creation (ms) and job id of a place."""
    created_at, _, job_id = place.partition("#")
    return int(created_at), job_id


def list_shard(job_id: str) -> int:
    """The shard of the lists that a job is in."""
    return zlib.crc32(job_id.encode()) % LIST_SHARDS


def counter_shard(job_id: str) -> int:
    """The shard of the counters that a job moves."""
    return zlib.crc32(job_id.encode()) % COUNTER_SHARDS


def partition(name: str, shard: int) -> str:
    """The partition of one shard of a list."""
    return f"{name}#{shard}"


def day_counter(day: str) -> str:
    """The counter of a day, ``YYYY-MM-DD``."""
    return f"day#{day}"


async def create_tables(clients: AwsClients, tables: JobTables) -> None:
    """Create the tables that are missing and wait until all can be used. Repeatable, also at the same time.

    Raises Unavailable, also when a table of this name has other keys.
    """
    await asyncio.gather(
        _create(clients, _definition(tables.jobs, {"job_id": "S"})),
        _create(clients, _definition(tables.job_lists, {"list_shard": "S", "place": "S"})),
        _create(clients, _definition(tables.statistics, {"counter": "S", "shard": "N"})),
    )
    await _expire(clients, tables.statistics)


def _definition(name: str, keys: dict[str, Literal["S", "N"]]) -> "CreateTableInputTypeDef":
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": kind} for key, kind in keys.items()],
        "KeySchema": [
            {"AttributeName": key, "KeyType": "HASH" if number == 0 else "RANGE"} for number, key in enumerate(keys)
        ],
    }


async def _create(clients: AwsClients, wanted: "CreateTableInputTypeDef") -> None:
    name = wanted["TableName"]
    keys = [key["AttributeName"] for key in wanted.get("KeySchema", [])]
    deadline = time.monotonic() + _ACTIVE_SECONDS
    while True:
        try:
            table = (await clients.call(clients.dynamodb.describe_table, TableName=name))["Table"]
        except Missing:
            with suppress(Exists):  # another process was faster; the next round waits for its table
                await clients.call(clients.dynamodb.create_table, **wanted)
            continue
        if keys != [key["AttributeName"] for key in table.get("KeySchema", [])]:
            raise Unavailable(
                f"Table {name} exists with other keys than {keys}: it is something else's. Give this installation "
                "table names of its own (DYNAMODB_TABLE_JOBS, DYNAMODB_TABLE_JOB_LISTS, DYNAMODB_TABLE_STATISTICS)."
            )
        if table.get("TableStatus") == "ACTIVE":
            return
        if time.monotonic() > deadline:
            raise Unavailable(f"Table {name} is not active after {_ACTIVE_SECONDS} s: look at it in the AWS console.")
        await asyncio.sleep(0.1)


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
