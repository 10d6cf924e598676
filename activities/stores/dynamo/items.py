"""What a write of a job's record is made of: the items, conditions and actions of its one transaction.

Written as DynamoDB's typed values at once, since boto3's own serialising costs more than the call's network time.
Deliberately not here: sending it and what its failure means (``jobs``).
"""

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from activities.stores.documents import dump_job, load_job
from activities.stores.dynamo.table import (
    ALL_LIST,
    DAY_RETENTION_SECONDS,
    QUEUE_COUNTER,
    RECORD_IS_NEW,
    SEQUENCE_IS_NEWER,
    TTL_ATTRIBUTE,
    JobTables,
    agent_list,
    counter_shard,
    day_counter,
    list_shard,
    partition,
    place,
    status_list,
)
from activities.stores.statistics import Footprint, day_end, deltas
from workflows.contracts.errors import FieldError, ValidationFailed
from workflows.contracts.jobs import Job

_PACK_ABOVE_BYTES: Final = 32 * 1024
_MAX_DOCUMENT_BYTES: Final = 380 * 1024
"""DynamoDB's limit is 400 KB an item; the rest is for the other attributes."""

Item = Mapping[str, Any]


class RecordWrite:
    """The actions that store one record, depending on what the stored one has contributed."""

    def __init__(self, tables: JobTables, job: Job) -> None:
        self._tables, self._job = tables, job
        self._item = _record(job)
        self._footprint = Footprint.of(job)
        self._entry = {
            "place": {"S": place(job.created_at, job.job_id)},
            "summary": {"S": job.summary().model_dump_json()},
            "status": {"S": job.status.value},
            "pool": {"S": job.pool},
            "job_type": {"S": job.job_type},
        }

    def actions(self, before: Footprint | None) -> list[dict[str, Any]]:
        """What ``TransactItems`` takes. The record's Put comes first: its condition decides."""
        condition = _is_new() if before is None else _is_newer(self._job.sequence, before)
        put = {"TableName": self._tables.jobs, "Item": self._item, **condition}
        return [{"Put": put}, *self._list_actions(before), *self._counter_actions(before)]

    def _list_actions(self, before: Footprint | None) -> Iterator[dict[str, Any]]:
        shard = list_shard(self._job.job_id)
        table, now = self._tables.job_lists, _lists(self._footprint)
        for name in now:
            key = {"list_shard": {"S": partition(name, shard)}}
            yield {"Put": {"TableName": table, "Item": {**key, **self._entry}}}
        for name in _lists(before) if before else ():
            if name not in now:
                key = {"list_shard": {"S": partition(name, shard)}, "place": self._entry["place"]}
                yield {"Delete": {"TableName": table, "Key": key}}

    def _counter_actions(self, before: Footprint | None) -> Iterator[dict[str, Any]]:
        moved, shard, table = deltas(before, self._job), counter_shard(self._job.job_id), self._tables.statistics
        if moved.queue:
            yield counter_addition(table, QUEUE_COUNTER, shard, moved.queue)
        for day, counters in moved.days.items():
            expires = day_end(day) + DAY_RETENTION_SECONDS
            yield counter_addition(table, day_counter(day), shard, counters, expires)


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
            "Key": {"counter": {"S": counter}, "shard": {"N": str(shard)}},
            "UpdateExpression": expression,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
    }


def read_record(item: Item) -> Job:
    """The job in a record's item."""
    return load_job(zlib.decompress(item["packed"]["B"]) if "packed" in item else item["document"]["S"])


def _record(job: Job) -> dict[str, Any]:
    item: dict[str, Any] = {
        "job_id": {"S": job.job_id},
        "sequence": {"N": str(job.sequence)},
        "footprint": {"S": str(Footprint.of(job))},
    }
    document = dump_job(job)
    if len(document) <= _PACK_ABOVE_BYTES:
        return {**item, "document": {"S": document}}
    packed = zlib.compress(document.encode(), level=1)
    if len(packed) > _MAX_DOCUMENT_BYTES:
        problem = f"is {len(packed)} bytes long, compressed; at most {_MAX_DOCUMENT_BYTES} can be stored"
        raise ValidationFailed(f"The record of job {job.job_id} {problem}.", [FieldError(field="job", message=problem)])
    return {**item, "packed": {"B": packed}}


def _lists(footprint: Footprint) -> list[str]:
    agent = [] if footprint.agent_id is None else [agent_list(footprint.agent_id)]
    return [ALL_LIST, status_list(footprint.status), *agent]


def _is_new() -> dict[str, Any]:
    return {"ConditionExpression": RECORD_IS_NEW}


def _is_newer(sequence: int, before: Footprint) -> dict[str, Any]:
    return {
        "ConditionExpression": SEQUENCE_IS_NEWER,
        "ExpressionAttributeNames": {"#sequence": "sequence", "#footprint": "footprint"},
        "ExpressionAttributeValues": {":sequence": {"N": str(sequence)}, ":footprint": {"S": str(before)}},
    }
