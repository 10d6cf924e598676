"""Which lists a page of jobs is read from, and what of their entries is shown.

What is fixed when a job is created is looked for in a list of ``job_index``, in the order commit, label, branch,
author, service, repository; where few of its entries match, in the next one. The other values are attributes of the
entries. What changes is read from the jobs' entries in ``all``, in batches, and looked at then. Few jobs are waiting,
running or parked: these are looked at one by one in the list of their status, unless a commit or a label is asked for.

How an id or a commit begins, and a cause, have no list either: the text of summaries is filtered by them where they are
stored. Times bound what is looked at.

What is older than the marks has no entries there: it is looked at one by one as well. A job type and a pool have no
list of their own; they are filtered by.

Deliberately not here: pages (``listing``).
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from activities.stores.documents import load_summaries
from activities.stores.dynamo.batches import get_batch
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.items import read_record
from activities.stores.dynamo.job_index import NEVER, Marks, digests, lists_of, read_marks
from activities.stores.dynamo.listing import MOST_AT_ONCE, ONE_BY_ONE, Choice, Entry, Listed, Lister, ListPart
from activities.stores.dynamo.table import ALL_LIST, TYPE, JobTables, agent_list, partition, status_list, time_and_id
from activities.stores.found_by import asked_beginnings, asked_values, labels_match, matches, require_allowed
from workflows.contracts.records import JobQuery
from workflows.contracts.statuses import JobStatus

_FEW: Final = frozenset({JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.DEAD_LETTERED})
_RECORDS: Final = 25
"""So many whole records are looked at at once: 800 of a page at most. Only they have the labels of older jobs."""


class JobLists:
    """Pages of jobs, of one process."""

    def __init__(self, clients: AwsClients, tables: JobTables, clock: Callable[[], float] = time.time) -> None:
        self._clients, self._tables, self._clock = clients, tables, clock
        self._lister = Lister(clients, tables.job_lists, "summary", clock)
        self._known: Marks | None = None

    async def page(self, query: JobQuery) -> Listed:
        """One page. Raises ValidationFailed for a foreign cursor and a label that is not allowed, and Unavailable."""
        require_allowed(query, self._clients.settings.job_filter_labels)
        return await self._lister.page_of(query, await self._parts(query))

    async def _parts(self, query: JobQuery) -> list[ListPart]:
        values = asked_values(query)
        if not values and not query.labels:
            name, filters = _list_and_filters(query)
            return [ListPart(name, filters=filters, choice=_choice(query))]
        if query.status in _FEW and "commit" not in values and not query.labels:
            return [self._one_by_one(query)]
        marks = await self._marks(list(query.labels))
        since = marks.for_labels(list(query.labels))
        found = self._found(query, values, max(since, query.since or 0))
        if since <= (query.since or 0):
            return [found]
        older = self._one_by_one(query)
        return [older] if since > self._clock() * 1000 else [found, older]

    def _found(self, query: JobQuery, values: Mapping[str, str], since: int) -> ListPart:
        """The list of one of the values. Its entries stand for those of ``all``."""
        wanted = digests(values, query.labels)
        name, *others = lists_of(wanted)
        filters = wanted if others else {}
        if query.job_type is not None:
            filters = {**filters, TYPE: query.job_type}

        async def shown(shard: int, entries: Sequence[Entry]) -> list[Entry]:
            whole = {"S": partition(ALL_LIST, shard)}
            keys = [{"list_shard": whole, "place": entry["place"]} for entry in entries]
            return _matching(query, await get_batch(self._clients, self._tables.job_lists, keys))

        changing = (query.status, query.agent_id, query.pool, query.cause, *asked_beginnings(query).values())
        drops = any(asked is not None for asked in changing)
        most = ONE_BY_ONE if drops else MOST_AT_ONCE
        return ListPart(name, tuple(others), filters, Choice(since=since, until=query.until), shown, drops, most)

    def _one_by_one(self, query: JobQuery) -> ListPart:
        """The list that leaves least to look at, without an index."""
        name, filters = _list_and_filters(query)

        async def shown(_: int, entries: Sequence[Entry]) -> list[Entry]:
            found = _matching(query, entries)
            return await self._with_labels(query, found) if query.labels else found

        most = _RECORDS if query.labels else ONE_BY_ONE
        return ListPart(name, filters=filters, choice=_choice(query), keep=shown, drops=True, most=most)

    async def _with_labels(self, query: JobQuery, entries: Sequence[Entry]) -> list[Entry]:
        keys = [{"job_id": {"S": time_and_id(entry["place"]["S"])[1]}} for entry in entries]
        records = [read_record(item) for item in await get_batch(self._clients, self._tables.jobs, keys)]
        wanted = {job.job_id for job in records if labels_match(query, job.labels)}
        return [entry for entry in entries if time_and_id(entry["place"]["S"])[1] in wanted]

    async def _marks(self, labels: Sequence[str]) -> Marks:
        """Kept once they say all that is asked; before anybody has made them, no job is found by its index."""
        known = self._known
        if known is None or any(name not in known.labels for name in labels):
            known = self._known = await read_marks(self._clients, self._tables.job_lists)
        return known or Marks(NEVER)


def _list_and_filters(query: JobQuery) -> tuple[str, dict[str, str]]:
    """The list of an agent, a status or all that leaves least to filter, and what is left to filter."""
    filters = {"pool": query.pool, TYPE: query.job_type}
    name = ALL_LIST
    if query.agent_id is not None:
        name = agent_list(query.agent_id)
        filters["status"] = query.status.value if query.status else None
    elif query.status is not None:
        name = status_list(query.status)
    return name, {attribute: value for attribute, value in filters.items() if value is not None}


def _choice(query: JobQuery) -> Choice:
    """Which entries the store leaves out: a summary is JSON, in which no text can hold an unescaped quotation mark."""
    holds = [f'"{name}":"{start}' for name, start in asked_beginnings(query).items()]
    holds += [] if query.cause is None else [f'"cause":{json.dumps(query.cause, ensure_ascii=False)}']
    return Choice(since=query.since or 0, until=query.until, holds=tuple(holds))


def _matching(query: JobQuery, entries: Sequence[Entry]) -> list[Entry]:
    """Those that are asked for, newest first."""
    newest_first = sorted(entries, key=lambda entry: str(entry["place"]["S"]), reverse=True)
    summaries = load_summaries([entry["summary"]["S"] for entry in newest_first])
    return [entry for entry, job in zip(newest_first, summaries, strict=True) if matches(query, job)]
