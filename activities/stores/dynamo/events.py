"""EventStore on DynamoDB, and the events of a record as actions of its transaction.

An event is kept once: a ``seen`` item with a condition goes with its entries. Events that were kept before (an append
that is repeated, a record's write that carries events of an earlier one) are left out of the next try.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from activities.stores.documents import load_events
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.items import is_new
from activities.stores.dynamo.listing import Lister
from activities.stores.dynamo.table import (
    ALL_LIST,
    EVENT_IS_NEW,
    SEEN_PLACE,
    deployment_list,
    list_shard,
    place,
    seen_list,
    service_list,
)
from activities.stores.dynamo.transactions import Guess, write_in_order
from activities.stores.event_rules import check_event
from workflows.contracts.deployments import AuditEvent, EventPage, EventQuery

EVENTS_PER_TRANSACTION: Final = 20
"""DynamoDB allows 100 actions: four for each event, the rest for the record, its lists and counters."""


class DynamoEventStore:
    """EventStore on one table (see ``table``)."""

    def __init__(self, clients: AwsClients, table: str) -> None:
        self._clients, self._table = clients, table
        self._lister = Lister(clients, table, "event")

    async def append(self, event: AuditEvent) -> None:
        """See EventStore. Raises ValidationFailed for an event that cannot be kept."""
        await _keep(self._clients, self._table, [event])

    async def list(self, query: EventQuery) -> EventPage:
        """See EventStore."""
        filters: dict[str, str] = {}
        name = ALL_LIST
        if query.deployment_id is not None:
            name = deployment_list(query.deployment_id)
            filters = {} if query.service_name is None else {"service_name": query.service_name}
        elif query.service_name is not None:
            name = service_list(query.service_name)
        listed = await self._lister.page(query, name, filters)
        return EventPage(items=load_events(listed.texts), next_cursor=listed.next_cursor)


class RecordEvents:
    """The events that one transaction writes, each once. Raises ValidationFailed for one that cannot be kept."""

    def __init__(self, clients: AwsClients, table: str, events: Iterable[AuditEvent]) -> None:
        self._clients, self._table = clients, table
        by_id: dict[str, AuditEvent] = {}
        for event in events:
            by_id.setdefault(event.event_id, event)
        found = list(by_id.values())
        self._ahead, self._events = found[:-EVENTS_PER_TRANSACTION], found[-EVENTS_PER_TRANSACTION:]
        self._entries = {event.event_id: _entry_puts(table, event) for event in self._events}
        for event in self._ahead:
            check_event(event)

    @property
    def too_many(self) -> bool:
        """More than a transaction takes: ``write_ahead`` comes first."""
        return bool(self._ahead)

    async def write_ahead(self) -> None:
        """Keep the oldest events before the record, in transactions of their own.

        They are true whether the record's write succeeds or not, and are kept once however often it is tried.
        """
        for begin in range(0, len(self._ahead), EVENTS_PER_TRANSACTION):
            await _keep(self._clients, self._table, self._ahead[begin : begin + EVENTS_PER_TRANSACTION])

    def actions(self, kept: frozenset[str]) -> list[dict[str, Any]]:
        """The actions that keep the events, without those in ``kept``."""
        return [put for event_id, puts in self._entries.items() if event_id not in kept for put in puts]

    async def kept(self) -> frozenset[str]:
        """The ids of those that are kept already; a consistent read."""
        if not self._entries:
            return frozenset()
        keys = [_seen_key(event_id) for event_id in self._entries]
        answer = await self._clients.call(
            self._clients.dynamodb.batch_get_item,
            RequestItems={self._table: {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": "list_shard"}},
        )
        # What was not answered (UnprocessedKeys) counts as not kept: the transaction's condition asks again.
        items = answer.get("Responses", {}).get(self._table, [])
        seen = {str(item["list_shard"]["S"]) for item in items if "S" in item["list_shard"]}
        return frozenset(event_id for event_id in self._entries if seen_list(event_id) in seen)


async def _keep(clients: AwsClients, table: str, events: Sequence[AuditEvent]) -> None:
    """Keep events that belong to no record, at most EVENTS_PER_TRANSACTION of them."""
    writing = RecordEvents(clients, table, events)

    async def look() -> Guess[None] | None:
        kept = await writing.kept()
        return Guess(None, kept) if writing.actions(kept) else None

    guess: Guess[None] = Guess()
    what = f"Event {events[0].event_id}"
    await write_in_order(clients, what, guess, lambda guess: writing.actions(guess.kept_events), look)


def _entry_puts(table: str, event: AuditEvent) -> list[dict[str, Any]]:
    entry: dict[str, Any] = {
        "place": {"S": place(event.at, event.event_id)},
        "event": {"S": check_event(event)},
    }
    lists = [ALL_LIST]
    if event.service_name is not None:
        lists.append(service_list(event.service_name))
        entry["service_name"] = {"S": event.service_name}
    if event.deployment_id is not None:
        lists.append(deployment_list(event.deployment_id))
    seen = {"TableName": table, "Item": _seen_key(event.event_id), **is_new(EVENT_IS_NEW)}
    shards = [list_shard(name, event.event_id) for name in lists]
    entries = [{"TableName": table, "Item": {"list_shard": {"S": shard}, **entry}} for shard in shards]
    return [{"Put": put} for put in (seen, *entries)]


def _seen_key(event_id: str) -> dict[str, dict[str, str]]:
    return {"list_shard": {"S": seen_list(event_id)}, "place": {"S": SEEN_PLACE}}
