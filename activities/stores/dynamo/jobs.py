"""JobStore on DynamoDB: one transaction per write, one read per get, no Scan. Lists are in ``job_lists``, how a write
is tried in ``transactions``.
"""

import builtins
from collections.abc import Sequence

from activities.stores.documents import load_summaries
from activities.stores.dynamo.batches import get_batch, oldest
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.events import RecordEvents, write_with_events
from activities.stores.dynamo.items import RecordWrite, Stored, counter_key, entry_keys, read_record
from activities.stores.dynamo.job_lists import JobLists
from activities.stores.dynamo.table import (
    AGENT_COUNTER_SHARDS,
    COMPLETED,
    QUEUE_COUNTER,
    JobTables,
    agent_counter,
    day_counter,
)
from activities.stores.dynamo.transactions import RecordPlace, read_counters, read_item, remove_as_read
from activities.stores.interfaces.writes import Placed, WriteOutcome
from activities.stores.statistics import day_stats, expected_footprint, queue_stats
from workflows.contracts.jobs import Job, JobSummary
from workflows.contracts.records import DayStats, JobPage, JobQuery, JobWrite, QueueStats


class DynamoJobStore:
    """JobStore on the tables of jobs, their lists, statistics and events (see ``table``)."""

    def __init__(self, clients: AwsClients, tables: JobTables) -> None:
        self._clients, self._tables = clients, tables
        self._lists = JobLists(clients, tables)

    async def write(self, write: JobWrite, document: str | None = None) -> WriteOutcome:
        """See JobStore. Raises ValidationFailed for a record that is too large to be kept."""
        job, labels = write.job, self._clients.settings.job_filter_labels
        record = RecordWrite(self._tables, job, document, labels)
        # Whoever created the record kept these with it; only when a condition fails is it asked whether anybody did.
        presumed_kept = frozenset(event.event_id for event in write.creation)
        new = f"jobs/{job.job_id}" if write.previous is None else None
        events = RecordEvents(self._clients, self._tables.events, [*write.creation, *write.events], presumed_kept, new)

        async def look() -> tuple[Stored | None] | None:
            stored = await self._stored(job.job_id)
            if stored is not None and stored[0] >= job.sequence:
                return None
            return (stored[1] if stored else None,)

        guess = record.stored_as(expected_footprint(write))
        return await write_with_events(f"Job {job.job_id}", guess, events, record.actions, look)

    async def get(self, job_id: str) -> Job | None:
        """See JobStore."""
        item = await read_item(self._clients, self._tables.jobs, _key(job_id), "document", "packed")
        return None if item is None else read_record(item)

    async def list(self, query: JobQuery) -> JobPage:
        """See JobStore."""
        listed = await self._lists.page(query)
        return JobPage(
            items=load_summaries(listed.texts),
            next_cursor=listed.next_cursor,
            stopped_early=listed.stopped_early,
            looked_at=listed.looked_at,
        )

    async def oldest(self, behind: str, until: int, limit: int) -> builtins.list[Placed[JobSummary]]:
        """See JobStore."""
        found = await oldest(self._clients, self._tables.job_lists, "summary", behind, until, limit)
        summaries = load_summaries([text for _, text in found])
        return [Placed(place, summary) for (place, _), summary in zip(found, summaries, strict=True)]

    async def remove(self, job: Job) -> bool:
        """See JobStore."""
        place = RecordPlace(self._tables.jobs, _key(job.job_id), self._tables.job_lists)
        return await remove_as_read(self._clients, place, job.sequence, lambda stored: entry_keys(job, stored))

    async def queue_stats(self) -> QueueStats:
        """See JobStore."""
        return queue_stats(await read_counters(self._clients, self._tables.statistics, QUEUE_COUNTER))

    async def day_stats(self, day: str) -> DayStats:
        """See JobStore."""
        return day_stats(day, await read_counters(self._clients, self._tables.statistics, day_counter(day)))

    async def completed_by(self, agent_ids: Sequence[str]) -> dict[str, int]:
        """See JobStore."""
        names = {agent_counter(agent_id): agent_id for agent_id in agent_ids}
        keys = [counter_key(name, shard) for name in names for shard in range(AGENT_COUNTER_SHARDS)]
        counts = dict.fromkeys(names.values(), 0)
        for item in await get_batch(self._clients, self._tables.statistics, keys):
            counts[names[item["counter"]["S"]]] += int(item[COMPLETED]["N"])
        return counts

    async def _stored(self, job_id: str) -> tuple[int, Stored] | None:
        attributes = ("sequence", "footprint", "found_by")
        item = await read_item(self._clients, self._tables.jobs, _key(job_id), *attributes)
        return None if item is None else (int(item["sequence"]["N"]), Stored.of(item))


def _key(job_id: str) -> dict[str, dict[str, str]]:
    return {"job_id": {"S": job_id}}
