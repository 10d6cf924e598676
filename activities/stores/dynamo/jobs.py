"""JobStore on DynamoDB: one transaction per write, one read per get, no Scan. Lists are in ``listing``.

A write is optimistic. It assumes what the stored record has contributed to the counters (its footprint) and makes that
and the sequence its condition; only when the condition fails does it read, to tell a stale write from a wrong guess.
"""

import asyncio
import random
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from activities.stores.documents import dump_job, load_job
from activities.stores.dynamo.client import AwsClients, ConditionFailed, WriteConflict
from activities.stores.dynamo.listing import JobLister
from activities.stores.dynamo.table import (
    AGENT_INDEX,
    ALL_INDEX,
    DAY_RETENTION_SECONDS,
    PARTITION_KEYS,
    QUEUE_COUNTER,
    RECORD_IS_NEW,
    SEQUENCE_IS_NEWER,
    STATUS_INDEX,
    TTL_ATTRIBUTE,
    counter_shard,
    day_counter,
    list_shard,
    partition,
)
from activities.stores.interfaces import WriteOutcome
from activities.stores.statistics import (
    Deltas,
    Footprint,
    add_up,
    day_end,
    day_stats,
    deltas,
    expected_footprint,
    queue_stats,
)
from workflows.contracts.errors import FieldError, Unavailable, ValidationFailed
from workflows.contracts.jobs import Job
from workflows.contracts.records import DayStats, JobPage, JobQuery, JobWrite, QueueStats

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_PACK_ABOVE_BYTES: Final = 32 * 1024
_MAX_DOCUMENT_BYTES: Final = 360 * 1024
"""DynamoDB's limit is 400 KB an item; the rest is for the summary and the other attributes."""
_ROUNDS: Final = 12
_Item = Mapping[str, Any]


class DynamoJobStore:
    """JobStore on two tables (see ``table``)."""

    def __init__(self, clients: AwsClients, jobs_table: str, statistics_table: str) -> None:
        self._clients, self._dynamodb = clients, clients.dynamodb
        self._jobs, self._statistics = jobs_table, statistics_table
        self._lister = JobLister(clients, jobs_table)

    async def write(self, write: JobWrite) -> WriteOutcome:
        """See JobStore. Raises ValidationFailed for a record that is too large to be kept."""
        job, item = write.job, _item(write.job)
        before = expected_footprint(write)
        for attempt in range(_ROUNDS):
            try:
                await self._put(job, item, before)
            except ConditionFailed:
                stored = await self._stored(job.job_id)
                if stored is not None and stored[0] >= job.sequence:
                    return WriteOutcome.STALE
                before = stored[1] if stored else None
            except WriteConflict:
                # Another job's write moved the same counters at this moment; both can go on in milliseconds.
                await asyncio.sleep(random.uniform(0.002, 0.01 * 2 ** min(attempt, 5)))  # noqa: S311 - not a secret
            else:
                return WriteOutcome.APPLIED
        raise Unavailable(
            f"Job {job.job_id} could not be written: {_ROUNDS} times another write was faster. Try again later.",
            job_id=job.job_id,
        )

    async def get(self, job_id: str) -> Job | None:
        """See JobStore."""
        answer = await self._clients.call(
            self._dynamodb.get_item,
            TableName=self._jobs,
            Key={"job_id": {"S": job_id}},
            ConsistentRead=True,
            ProjectionExpression="document, packed",
        )
        item = answer.get("Item")
        return None if item is None else load_job(_document(item))

    async def list(self, query: JobQuery) -> JobPage:
        """See JobStore."""
        return await self._lister.page(query)

    async def queue_stats(self) -> QueueStats:
        """See JobStore."""
        return queue_stats(await self._counters(QUEUE_COUNTER))

    async def day_stats(self, day: str) -> DayStats:
        """See JobStore."""
        return day_stats(day, await self._counters(day_counter(day)))

    async def _put(self, job: Job, item: _Item, before: Footprint | None) -> None:
        moved = deltas(before, job)
        put: dict[str, Any] = {"TableName": self._jobs, "Item": item, **_condition(job, before)}
        if not moved.queue and not moved.days:
            await self._clients.call(self._dynamodb.put_item, **put)
            return
        actions = [{"Put": put}, *_updates(self._statistics, job, moved)]
        await self._clients.call(
            self._dynamodb.transact_write_items, TransactItems=cast("Sequence[TransactWriteItemTypeDef]", actions)
        )

    async def _stored(self, job_id: str) -> tuple[int, Footprint] | None:
        answer = await self._clients.call(
            self._dynamodb.get_item,
            TableName=self._jobs,
            Key={"job_id": {"S": job_id}},
            ConsistentRead=True,
            ProjectionExpression="#sequence, #footprint",
            ExpressionAttributeNames={"#sequence": "sequence", "#footprint": "footprint"},
        )
        item = cast("_Item | None", answer.get("Item"))
        return None if item is None else (int(item["sequence"]["N"]), Footprint.parse(item["footprint"]["S"]))

    async def _counters(self, counter: str) -> dict[str, int]:
        answer = await self._clients.call(
            self._dynamodb.query,
            TableName=self._statistics,
            KeyConditionExpression="#counter = :counter",
            ExpressionAttributeNames={"#counter": "counter"},
            ExpressionAttributeValues={":counter": {"S": counter}},
            ConsistentRead=True,
        )
        keys = ("counter", "shard", TTL_ATTRIBUTE)
        items: list[_Item] = [*answer["Items"]]
        return add_up({name: int(value["N"]) for name, value in item.items() if name not in keys} for item in items)


def _updates(table: str, job: Job, moved: Deltas) -> list[dict[str, Any]]:
    shard = counter_shard(job.job_id)
    updates = [_update(table, QUEUE_COUNTER, shard, moved.queue, None)] if moved.queue else []
    for day, counters in moved.days.items():
        expires = day_end(day) + DAY_RETENTION_SECONDS
        updates.append(_update(table, day_counter(day), shard, counters, expires))
    return updates


def _update(table: str, counter: str, shard: int, moved: Mapping[str, int], expires: int | None) -> dict[str, Any]:
    names = {f"#c{number}": name for number, name in enumerate(moved)}
    values = {f":c{number}": {"N": str(value)} for number, value in enumerate(moved.values())}
    expression = "ADD " + ", ".join(f"#c{number} :c{number}" for number in range(len(moved)))
    if expires is not None:
        expression += " SET #expires = :expires"
        names["#expires"], values[":expires"] = TTL_ATTRIBUTE, {"N": str(expires)}
    return {
        "Update": {
            "TableName": table,
            "Key": {"counter": {"S": counter}, "shard": {"N": str(shard)}},
            "UpdateExpression": expression,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
    }


def _item(job: Job) -> dict[str, Any]:
    shard = list_shard(job.job_id)
    item: dict[str, Any] = {
        "job_id": {"S": job.job_id},
        "sequence": {"N": str(job.sequence)},
        "footprint": {"S": str(Footprint.of(job))},
        "created_at": {"N": str(job.created_at)},
        "status": {"S": job.status.value},
        "pool": {"S": job.pool},
        "job_type": {"S": job.job_type},
        "summary": {"S": job.summary().model_dump_json()},
        PARTITION_KEYS[STATUS_INDEX]: {"S": partition(job.status.value, shard)},
        PARTITION_KEYS[ALL_INDEX]: {"S": partition("all", shard)},
    }
    if job.agent_id is not None:
        item[PARTITION_KEYS[AGENT_INDEX]] = {"S": partition(job.agent_id, shard)}
    document = dump_job(job).encode()
    if len(document) <= _PACK_ABOVE_BYTES:
        item["document"] = {"S": document.decode()}
        return item
    packed = zlib.compress(document, level=1)
    if len(packed) > _MAX_DOCUMENT_BYTES:
        problem = f"is {len(packed)} bytes long, compressed; at most {_MAX_DOCUMENT_BYTES} can be stored"
        raise ValidationFailed(f"The record of job {job.job_id} {problem}.", [FieldError(field="job", message=problem)])
    item["packed"] = {"B": packed}
    return item


def _document(item: _Item) -> str | bytes:
    return zlib.decompress(item["packed"]["B"]) if "packed" in item else item["document"]["S"]


def _condition(job: Job, before: Footprint | None) -> dict[str, Any]:
    if before is None:
        return {"ConditionExpression": RECORD_IS_NEW}
    return {
        "ConditionExpression": SEQUENCE_IS_NEWER,
        "ExpressionAttributeNames": {"#sequence": "sequence", "#footprint": "footprint"},
        "ExpressionAttributeValues": {":sequence": {"N": str(job.sequence)}, ":footprint": {"S": str(before)}},
    }
