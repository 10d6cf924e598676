"""What a write of a job's record is made of: the items, conditions and actions of its one transaction; and the parts
that other records are made of as well.

Written as DynamoDB's typed values at once, since boto3's own serialising costs more than the call's network time.
Deliberately not here: sending it and what its failure means (``transactions``).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from activities.stores.documents import dump_job, load_job
from activities.stores.dynamo.table import (
    AGENT_COUNTER_SHARDS,
    AGENT_RETENTION_SECONDS,
    ALL_LIST,
    COMPLETED,
    DAY_RETENTION_SECONDS,
    QUEUE_COUNTER,
    RECORD_IS_NEW,
    SEQUENCE_IS_NEWER,
    TTL_ATTRIBUTE,
    JobTables,
    agent_counter,
    agent_list,
    counter_shard,
    day_counter,
    list_shard,
    place,
    status_list,
)
from activities.stores.packing import pack, unpack
from activities.stores.statistics import Footprint, day_end, deltas
from workflows.contracts.jobs import Job

Item = Mapping[str, Any]


class RecordWrite:
    """The actions that store one record, depending on what the stored one has contributed."""

    def __init__(self, tables: JobTables, job: Job, document: str | None = None) -> None:
        self._tables, self._job = tables, job
        self._footprint = Footprint.of(job)
        self._item = _record(job, self._footprint, dump_job(job) if document is None else document)
        self._entry = {
            "place": {"S": place(job.created_at, job.job_id)},
            "summary": {"S": job.summary().model_dump_json()},
            "status": {"S": job.status.value},
            "pool": {"S": job.pool},
            "job_type": {"S": job.job_type},
        }

    def actions(self, before: Footprint | None) -> list[dict[str, Any]]:
        """What ``TransactItems`` takes. The record's Put comes first: its condition decides."""
        condition = is_new(RECORD_IS_NEW) if before is None else is_newer(self._job.sequence, str(before))
        put = {"TableName": self._tables.jobs, "Item": self._item, **condition}
        return [{"Put": put}, *self._list_actions(before), *self._counter_actions(before)]

    def _list_actions(self, before: Footprint | None) -> Iterator[dict[str, Any]]:
        were = _lists(before) if before else ()
        return list_moves(self._tables.job_lists, self._job.job_id, self._entry, were, _lists(self._footprint))

    def _counter_actions(self, before: Footprint | None) -> Iterator[dict[str, Any]]:
        moved, shard, table = deltas(before, self._job), counter_shard(self._job.job_id), self._tables.statistics
        if moved.queue:
            yield counter_addition(table, QUEUE_COUNTER, shard, moved.queue)
        for day, counters in moved.days.items():
            expires = day_end(day) + DAY_RETENTION_SECONDS
            yield counter_addition(table, day_counter(day), shard, counters, expires)
        if moved.completed_by is not None:
            name, one = agent_counter(moved.completed_by), {COMPLETED: 1}
            expires = self._job.created_at // 1000 + AGENT_RETENTION_SECONDS
            yield counter_addition(table, name, shard % AGENT_COUNTER_SHARDS, one, expires)


def entry_keys(job: Job, record: Item) -> list[Item]:
    """The keys of all entries that a job has in lists, by its record and the record's item."""
    names = _lists(Footprint.parse(record["footprint"]["S"]))
    at = {"S": place(job.created_at, job.job_id)}
    return [{"list_shard": {"S": list_shard(name, job.job_id)}, "place": at} for name in names]


def list_moves(
    table: str, item_id: str, entry: Item, were: Iterable[str], now: Iterable[str]
) -> Iterator[dict[str, Any]]:
    """The actions that put an entry into the lists ``now`` and take it out of the others of those it ``were`` in."""
    now = list(now)
    for name in now:
        key = {"list_shard": {"S": list_shard(name, item_id)}}
        yield {"Put": {"TableName": table, "Item": {**key, **entry}}}
    for name in were:
        if name not in now:
            key = {"list_shard": {"S": list_shard(name, item_id)}, "place": entry["place"]}
            yield {"Delete": {"TableName": table, "Key": key}}


def counter_addition(
    table: str, counter: str, shard: int, moved: Mapping[str, int], expires: int | None = None
) -> dict[str, Any]:
    """The action that adds to one shard of a counter. ``expires`` in seconds since the epoch."""
    names = {f"#c{number}": name for number, name in enumerate(moved)}
    values = {f":c{number}": {"N": str(value)} for number, value in enumerate(moved.values())}
    expression = "ADD " + ", ".join(f"#c{number} :c{number}" for number in range(len(moved)))
    if expires is not None:
        expression += " SET #expires = :expires"
        names["#expires"], values[":expires"] = TTL_ATTRIBUTE, {"N": str(expires)}
    return {
        "Update": {
            "TableName": table,
            "Key": counter_key(counter, shard),
            "UpdateExpression": expression,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
    }


def counter_key(counter: str, shard: int) -> Item:
    """The key of one shard of a counter."""
    return {"counter": {"S": counter}, "shard": {"N": str(shard)}}


def document_attribute(document: str, field: str, name: str) -> dict[str, Any]:
    """The attribute that keeps a document. Raises ValidationFailed for one that no item can hold (see ``pack``)."""
    kept = pack(document, field, name)
    return {"document": {"S": kept}} if isinstance(kept, str) else {"packed": {"B": kept}}


def read_document(item: Item) -> str | bytes:
    """The document in an item."""
    return unpack(item["packed"]["B"] if "packed" in item else item["document"]["S"])


def read_record(item: Item) -> Job:
    """The job in a record's item."""
    return load_job(read_document(item))


def is_new(condition: str) -> dict[str, Any]:
    """The condition of a Put that creates."""
    return {"ConditionExpression": condition}


def is_newer(sequence: int, footprint: str) -> dict[str, Any]:
    """The condition SEQUENCE_IS_NEWER of a Put."""
    return {
        "ConditionExpression": SEQUENCE_IS_NEWER,
        "ExpressionAttributeNames": {"#sequence": "sequence", "#footprint": "footprint"},
        "ExpressionAttributeValues": {":sequence": {"N": str(sequence)}, ":footprint": {"S": footprint}},
    }


def _record(job: Job, footprint: Footprint, document: str) -> dict[str, Any]:
    return {
        "job_id": {"S": job.job_id},
        "sequence": {"N": str(job.sequence)},
        "footprint": {"S": str(footprint)},
        **document_attribute(document, "job", job.job_id),
    }


def _lists(footprint: Footprint) -> list[str]:
    agent = [] if footprint.agent_id is None else [agent_list(footprint.agent_id)]
    return [ALL_LIST, status_list(footprint.status), *agent]
