"""The lists that jobs are found by: one for each value of a commit, branch, author, service, repository and label.

An entry is written with the record when the job is created, and again only when its labels change. It says nothing that
changes otherwise: no summary, no status. It stands at the same ``place``, in a shard of the same number, as the job's
entry in ``all``, so that one is found from the other, and a page can go on in another list where it left the first.

Which lists a record has entries in stands in its item (``found_by``), so that they can be taken out whatever the
settings say by then. Jobs of a version before have none; since when there are entries is kept as the ``Marks``.

Deliberately not here: what is compared with what (``stores.found_by``), pages (``listing``).
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self, cast

from activities.stores.dynamo.client import AwsClients, ConditionFailed, WriteConflict
from activities.stores.dynamo.table import (
    ALL_LIST,
    LIST_SHARDS,
    MARKS_ARE_NEW,
    MARKS_FOLLOW,
    MARKS_LIST,
    RECORD_PLACE,
    TYPE,
    found_list,
    partition,
)
from activities.stores.found_by import LABEL, found_values, indexed_labels
from workflows.contracts.errors import Unavailable
from workflows.contracts.jobs import Job

OVERLAP_MS: Final = 24 * 3600 * 1000
"""So long after the upgrade processes of the version before may still create jobs."""
NEVER: Final = 1 << 50
_ROUNDS: Final = 8
_KEY: Final = {"list_shard": {"S": MARKS_LIST}, "place": {"S": RECORD_PLACE}}


@dataclass(frozen=True, slots=True)
class FoundBy:
    """What a job is found by: the names of the lists, and the attributes that their entries are filtered by."""

    lists: tuple[str, ...]
    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, job: Job, allowed: Sequence[str]) -> Self:
        """What this job is to be found by. ``allowed``: the labels that jobs are found by."""
        values = digests(found_values(job), indexed_labels(allowed, job.labels))
        attributes: dict[str, Any] = {name: {"S": digest} for name, digest in values.items()}
        return cls(tuple(lists_of(values)), {**attributes, TYPE: {"S": job.job_type}})

    def __str__(self) -> str:
        return " ".join(self.lists)


def digests(values: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, str]:
    """Attributes by which entries are found and filtered, in the order in which their lists are chosen: a commit has
    few jobs, a label that somebody asks for not many, a repository most. Values can be long, and names anything.
    """
    found = {name: _digest(value) for name, value in values.items()}
    first = {name: digest for name, digest in found.items() if name == "commit"}
    others = {f"{LABEL}_{_digest(name)}": _digest(value) for name, value in labels.items()}
    return {**first, **others, **found}


def lists_of(values: Mapping[str, str]) -> list[str]:
    """The lists of these digests."""
    return [found_list(name, digest) for name, digest in values.items()]


def names_in(found_by: str | None) -> list[str]:
    """The lists that a record's ``found_by`` names."""
    return [] if found_by is None else found_by.split()


@dataclass(frozen=True, slots=True)
class Marks:
    """From which time of creation (ms) on every job has its entries; for each label, those of this label."""

    since: int
    labels: Mapping[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def parse(cls, text: str) -> Self:
        """The marks from their text form."""
        read: Any = json.loads(text)
        return cls(int(read["since"]), {str(name): int(at) for name, at in read["labels"].items()})

    def __str__(self) -> str:
        return json.dumps({"since": self.since, "labels": dict(sorted(self.labels.items()))})

    def for_labels(self, asked: Sequence[str]) -> int:
        """From when on the list of a query with these labels has every job."""
        return max([self.since, *(self.labels.get(name, NEVER) for name in asked)])

    def next(self, allowed: Sequence[str], begin: int) -> "Marks":
        """With a mark at ``begin`` for each label that is new, and none for one that is not allowed any more."""
        return Marks(self.since, {name: self.labels.get(name, begin) for name in allowed})


async def read_marks(clients: AwsClients, table: str) -> Marks | None:
    """The marks; None before any was made. Raises Unavailable."""
    answer = await clients.call(clients.dynamodb.get_item, TableName=table, Key=_KEY, ConsistentRead=True)
    item = cast("Mapping[str, Any] | None", answer.get("Item"))
    return None if item is None else Marks.parse(item["marks"]["S"])


async def ensure_marks(clients: AwsClients, table: str) -> None:
    """Keep from when on jobs have entries: where there is no job yet from the beginning, else a day from now. The same
    for a label that is newly allowed. Repeatable, also at the same time. Raises Unavailable.
    """
    allowed = clients.settings.job_filter_labels
    for _ in range(_ROUNDS):
        before = await read_marks(clients, table)
        if before is not None and set(before.labels) == set(allowed):
            return
        begin = round(time.time() * 1000) + OVERLAP_MS if await _has_jobs(clients, table) else 0
        marks = (before or Marks(begin)).next(allowed, begin)
        condition: dict[str, Any] = {"ConditionExpression": MARKS_ARE_NEW}
        if before is not None:
            condition = {
                "ConditionExpression": MARKS_FOLLOW,
                "ExpressionAttributeNames": {"#marks": "marks"},
                "ExpressionAttributeValues": {":before": {"S": str(before)}},
            }
        item = {**_KEY, "marks": {"S": str(marks)}}
        try:
            await clients.call(clients.dynamodb.put_item, TableName=table, Item=item, **condition)
        except (ConditionFailed, WriteConflict):
            continue
        return
    raise Unavailable(f"Since when table {table} has entries for filters could not be kept. Start again.")


async def _has_jobs(clients: AwsClients, table: str) -> bool:
    for shard in range(LIST_SHARDS):
        answer = await clients.call(
            clients.dynamodb.query,
            TableName=table,
            KeyConditionExpression="list_shard = :list",
            ExpressionAttributeValues={":list": {"S": partition(ALL_LIST, shard)}},
            ProjectionExpression="place",
            Limit=1,
            ConsistentRead=True,
        )
        if answer["Items"]:
            return True
    return False


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
