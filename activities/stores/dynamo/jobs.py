"""JobStore on DynamoDB: one transaction per write, one read per get, no Scan. Lists are in ``listing``.

A write is optimistic. It assumes what the stored record has contributed to counters and lists (its footprint) and makes
that and the sequence its condition; only when the condition fails does it read, to tell a stale write from a wrong
guess.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from activities.stores.dynamo.client import AwsClients, ConditionFailed, WriteConflict
from activities.stores.dynamo.items import Item, RecordWrite, read_record
from activities.stores.dynamo.listing import JobLister
from activities.stores.dynamo.table import QUEUE_COUNTER, TTL_ATTRIBUTE, JobTables, day_counter
from activities.stores.interfaces import WriteOutcome
from activities.stores.statistics import Footprint, add_up, day_stats, expected_footprint, queue_stats
from workflows.contracts.errors import Unavailable
from workflows.contracts.jobs import Job
from workflows.contracts.records import DayStats, JobPage, JobQuery, JobWrite, QueueStats

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_ROUNDS: Final = 12


class DynamoJobStore:
    """JobStore on three tables (see ``table``)."""

    def __init__(self, clients: AwsClients, tables: JobTables) -> None:
        self._clients, self._dynamodb, self._tables = clients, clients.dynamodb, tables
        self._lister = JobLister(clients, tables.job_lists)

    async def write(self, write: JobWrite) -> WriteOutcome:
        """See JobStore. Raises ValidationFailed for a record that is too large to be kept."""
        job, record = write.job, RecordWrite(self._tables, write.job)
        before = expected_footprint(write)
        for attempt in range(_ROUNDS):
            try:
                await self._transact(record.actions(before))
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
        item = await self._item(job_id, "document", "packed")
        return None if item is None else read_record(item)

    async def list(self, query: JobQuery) -> JobPage:
        """See JobStore."""
        return await self._lister.page(query)

    async def queue_stats(self) -> QueueStats:
        """See JobStore."""
        return queue_stats(await self._counters(QUEUE_COUNTER))

    async def day_stats(self, day: str) -> DayStats:
        """See JobStore."""
        return day_stats(day, await self._counters(day_counter(day)))

    async def _transact(self, actions: Sequence[dict[str, Any]]) -> None:
        typed = cast("Sequence[TransactWriteItemTypeDef]", actions)
        await self._clients.call(self._dynamodb.transact_write_items, TransactItems=typed)

    async def _stored(self, job_id: str) -> tuple[int, Footprint] | None:
        item = await self._item(job_id, "sequence", "footprint")
        return None if item is None else (int(item["sequence"]["N"]), Footprint.parse(item["footprint"]["S"]))

    async def _item(self, job_id: str, *attributes: str) -> Item | None:
        answer = await self._clients.call(
            self._dynamodb.get_item,
            TableName=self._tables.jobs,
            Key={"job_id": {"S": job_id}},
            ConsistentRead=True,
            ProjectionExpression=", ".join(f"#{name}" for name in attributes),
            ExpressionAttributeNames={f"#{name}": name for name in attributes},
        )
        return cast("Item | None", answer.get("Item"))

    async def _counters(self, counter: str) -> dict[str, int]:
        answer = await self._clients.call(
            self._dynamodb.query,
            TableName=self._tables.statistics,
            KeyConditionExpression="#counter = :counter",
            ExpressionAttributeNames={"#counter": "counter"},
            ExpressionAttributeValues={":counter": {"S": counter}},
            ConsistentRead=True,
        )
        others = {"counter", "shard", TTL_ATTRIBUTE}
        items = cast("Sequence[Item]", answer["Items"])
        return add_up({name: int(value["N"]) for name, value in item.items() if name not in others} for item in items)
