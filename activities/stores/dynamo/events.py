"""EventStore on DynamoDB, and the events of a record as actions of its transaction.

An event is kept once: a ``seen`` item with a condition goes with its entries. Events that were kept before (an append
that is repeated, a record's write that carries events of an earlier one) are left out of the next try.
"""

import builtins
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from activities.stores.documents import load_events
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.feed import feed_of
from activities.stores.dynamo.items import is_new
from activities.stores.dynamo.listing import Choice, Lister
from activities.stores.dynamo.table import (
    ALL_LIST,
    EVENT_IS_NEW,
    SEEN_PLACE,
    agent_list,
    deployment_list,
    job_list,
    list_shard,
    place,
    seen_list,
    service_list,
)
from activities.stores.dynamo.transactions import Guess, transact, write_in_order
from activities.stores.event_rules import check_event
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.audit.events import AuditEvent, EventPage, EventQuery
from workflows.contracts.audit.feed import FeedRow

F = TypeVar("F")

_ACTIONS: Final = 70
"""DynamoDB allows 100 in a transaction: the rest is for the record, its lists and counters."""
_NUMBERING: Final = 2
"""An event's row in the feed, and the last number of its subject."""


class DynamoEventStore:
    """EventStore on one table (see ``table``)."""

    def __init__(self, clients: AwsClients, table: str) -> None:
        self._clients, self._table = clients, table
        self._lister = Lister(clients, table, "event")

    async def append(self, event: AuditEvent) -> None:
        """See EventStore. Raises ValidationFailed for an event that cannot be kept."""
        await _keep(self._clients, self._table, _Batch(self._table, [event]))

    async def list(self, query: EventQuery) -> EventPage:
        """See EventStore."""
        name, filters = _list_and_filters(query)
        begins = {"action": query.action} if query.action else {}
        # Entries of before could not be filtered by these: their text says it, also where it says it of something else.
        named = {"environment": query.environment, "pool": query.pool}
        holds = [f'"{name}":{json.dumps(said, ensure_ascii=False)}' for name, said in named.items() if said is not None]
        choice = Choice(begins, query.since or 0, query.until, tuple(holds))
        listed = await self._lister.page(query, name, filters, choice)
        events = [event for event in load_events(listed.texts) if query.matches(event)]
        return EventPage(
            items=events,
            next_cursor=listed.next_cursor,
            stopped_early=listed.stopped_early,
            looked_at=listed.looked_at,
        )

    async def heads(self) -> dict[int, int]:
        """See EventStore."""
        return await feed_of(self._clients, self._table).heads()

    async def rows(self, shard: int, behind: int, upto: int) -> builtins.list[FeedRow]:
        """See EventStore."""
        return await feed_of(self._clients, self._table).rows(shard, behind, upto)

    async def last_of(self, subject: str) -> FeedRow | None:
        """See EventStore."""
        return await feed_of(self._clients, self._table).last_of(subject)


class RecordEvents:
    """The events that one transaction writes, each once. ``presumed_kept``: the ids of those that were kept before,
    unless the first try fails. ``new_subject``: one that is made with them. Raises ValidationFailed for an event that
    cannot be kept.
    """

    def __init__(
        self,
        clients: AwsClients,
        table: str,
        events: Iterable[AuditEvent],
        presumed_kept: frozenset[str] = frozenset(),
        new_subject: str | None = None,
    ) -> None:
        self._clients, self._table, self.presumed_kept = clients, table, presumed_kept
        self._new_subject = new_subject
        batches = _batches(table, events)
        self._ahead, self._last = batches[:-1], batches[-1]

    @property
    def too_many(self) -> bool:
        """More than a transaction takes: ``write_ahead`` comes first."""
        return bool(self._ahead)

    async def write_ahead(self) -> None:
        """Keep the oldest events before the record, in transactions of their own.

        They are true whether the record's write succeeds or not, and are kept once however often it is tried.
        """
        for batch in self._ahead:
            await _keep(self._clients, self._table, batch)

    async def send(self, record: Sequence[dict[str, Any]], kept: frozenset[str]) -> None:
        """Carry out the record's actions and keep the events, without those in ``kept``: all or nothing.

        Raises ConditionFailed, WriteConflict, Unavailable.
        """
        new_subject, presumed = self._new_subject, self._last.these(self.presumed_kept)
        self._new_subject, self.presumed_kept = None, frozenset[str]()  # a second try asks
        await _send(self._clients, self._table, record, self._last, kept, new_subject, presumed)

    async def kept(self) -> frozenset[str]:
        """The ids of those that are kept already; a consistent read."""
        return await _kept(self._clients, self._table, self._last)


async def write_with_events(
    what: str,
    before: F | None,
    events: RecordEvents,
    actions: Callable[[F | None], Sequence[dict[str, Any]]],
    look: Callable[[], Awaitable[tuple[F | None] | None]],
) -> WriteOutcome:
    """Write a record and its events in one transaction, as ``write_in_order`` does.

    ``before`` guesses what is stored, ``look`` reads it: a tuple of it, or None when the write is stale. With more
    events than a transaction takes, the oldest are kept shortly before the rest.
    """

    async def next_guess() -> Guess[F] | None:
        found = await look()
        return None if found is None else Guess(found[0], await events.kept())

    guess: Guess[F] | None = Guess(before, events.presumed_kept)
    if events.too_many:
        guess = await next_guess()
        if guess is None:
            return WriteOutcome.STALE
        await events.write_ahead()
    return await write_in_order(
        what, guess, lambda guess: events.send(actions(guess.before), guess.kept_events), next_guess
    )


class _Batch:
    """Events that fit into one transaction."""

    def __init__(self, table: str, events: Sequence[AuditEvent]) -> None:
        self._events = {event.event_id: event for event in events}
        self._documents = {event.event_id: check_event(event) for event in events}
        self._table = table

    @property
    def event_ids(self) -> list[str]:
        return list(self._events)

    def fresh(self, kept: frozenset[str]) -> list[tuple[AuditEvent, str]]:
        """The events that are not kept, with their documents."""
        return [(event, self._documents[event_id]) for event_id, event in self._events.items() if event_id not in kept]

    def these(self, ids: frozenset[str]) -> list[tuple[AuditEvent, str]]:
        """Of the events, the ones with these ids, with their documents."""
        return [(event, self._documents[event_id]) for event_id, event in self._events.items() if event_id in ids]

    def entries(self, fresh: Sequence[tuple[AuditEvent, str]]) -> list[dict[str, Any]]:
        """The actions that put these into their lists, each once."""
        return [put for event, document in fresh for put in _entry_puts(self._table, event, document)]


def _batches(table: str, events: Iterable[AuditEvent]) -> list[_Batch]:
    """In order, the last one as full as can be; at least one, which may be empty."""
    by_id: dict[str, AuditEvent] = {}
    for event in events:
        by_id.setdefault(event.event_id, event)
    groups, room = list[list[AuditEvent]]([[]]), _ACTIONS
    for event in reversed(by_id.values()):
        count = 1 + len(_lists(event)) + _NUMBERING
        if count > room:
            groups.append([])
            room = _ACTIONS
        groups[-1].append(event)
        room -= count
    return [_Batch(table, group[::-1]) for group in reversed(groups)]


async def _keep(clients: AwsClients, table: str, batch: _Batch) -> None:
    """Keep events that belong to no record."""

    async def look() -> Guess[None] | None:
        kept = await _kept(clients, table, batch)
        return Guess(None, kept) if batch.fresh(kept) else None

    guess: Guess[None] = Guess()
    what = f"Event {batch.event_ids[0]}"
    await write_in_order(what, guess, lambda guess: _send(clients, table, (), batch, guess.kept_events), look)


async def _send(
    clients: AwsClients,
    table: str,
    record: Sequence[dict[str, Any]],
    batch: _Batch,
    kept: frozenset[str],
    new_subject: str | None = None,
    presumed: Sequence[tuple[AuditEvent, str]] = (),
) -> None:
    fresh = batch.fresh(kept)
    if not fresh:
        await transact(clients, record)
        return
    async with feed_of(clients, table).numbered(fresh, new_subject, presumed) as numbers:
        await transact(clients, [*record, *batch.entries(fresh), *numbers])


async def _kept(clients: AwsClients, table: str, batch: _Batch) -> frozenset[str]:
    if not batch.event_ids:
        return frozenset()
    keys = [_seen_key(event_id) for event_id in batch.event_ids]
    answer = await clients.call(
        clients.dynamodb.batch_get_item,
        RequestItems={table: {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": "list_shard"}},
    )
    # What was not answered (UnprocessedKeys) counts as not kept: the transaction's condition asks again.
    items = answer.get("Responses", {}).get(table, [])
    seen = {str(item["list_shard"]["S"]) for item in items if "S" in item["list_shard"]}
    return frozenset(event_id for event_id in batch.event_ids if seen_list(event_id) in seen)


def _entry_puts(table: str, event: AuditEvent, document: str) -> list[dict[str, Any]]:
    entry: dict[str, Any] = {
        "place": {"S": place(event.at, event.event_id)},
        "event": {"S": document},
        **{name: {"S": value} for name, value in _filtered(event).items() if value is not None},
    }
    seen = {"TableName": table, "Item": _seen_key(event.event_id), **is_new(EVENT_IS_NEW)}
    shards = [list_shard(name, event.event_id) for name in _lists(event)]
    entries = [{"TableName": table, "Item": {"list_shard": {"S": shard}, **entry}} for shard in shards]
    return [{"Put": put} for put in (seen, *entries)]


def _lists(event: AuditEvent) -> list[str]:
    named = (
        (service_list, event.service_name),
        (deployment_list, event.deployment_id),
        (job_list, event.job_id),
        (agent_list, event.agent_id),
    )
    return [ALL_LIST, *(name(item_id) for name, item_id in named if item_id is not None)]


def entries_of(event: AuditEvent) -> list[tuple[str, str]]:
    """The keys of an event's entries in lists: the partition, and the place in it."""
    return [(list_shard(name, event.event_id), place(event.at, event.event_id)) for name in _lists(event)]


def _filtered(event: AuditEvent | EventQuery) -> dict[str, str | None]:
    """What lists can be filtered by."""
    return {
        "service_name": event.service_name,
        "deployment_id": event.deployment_id,
        "job_id": event.job_id,
        "agent_id": event.agent_id,
        "by": event.by,
        "action": event.action,
    }


def _list_and_filters(query: EventQuery) -> tuple[str, dict[str, str]]:
    """The list that leaves least to filter, and what is left to filter."""
    filters = {name: value for name, value in _filtered(query).items() if value is not None and name != "action"}
    choices = (
        ("deployment_id", deployment_list),
        ("job_id", job_list),
        ("agent_id", agent_list),
        ("service_name", service_list),
    )
    for attribute, name in choices:
        if attribute in filters:
            return name(filters.pop(attribute)), filters
    return ALL_LIST, filters


def _seen_key(event_id: str) -> dict[str, dict[str, str]]:
    return {"list_shard": {"S": seen_list(event_id)}, "place": {"S": SEEN_PLACE}}
