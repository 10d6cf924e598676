"""What jobs of a pool demand of agents, kept by the time of its last use, so that reading the latest costs the same
however many there are.

Each demand has an item of its own, which says where it stands in its pool's list; both move in one transaction.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from activities.clock import Clock
from activities.stores.demands import AT_MOST, KEPT_SECONDS, kept_demands
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.items import is_new
from activities.stores.dynamo.table import (
    DEMAND_IS_NEW,
    DEMAND_IS_UNCHANGED,
    RECORD_PLACE,
    TTL_ATTRIBUTE,
    demand_list,
    demand_record,
    place,
    time_and_id,
)
from activities.stores.dynamo.transactions import Guess, read_item, transact, write_in_order
from workflows.contracts.agents import RequirementDemand
from workflows.contracts.ids import pool_queue

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef


class DynamoDemands:
    """The demands in the table of agents (see ``table``)."""

    def __init__(self, clients: AwsClients, table: str, clock: Clock) -> None:
        self._clients, self._table, self._clock = clients, table, clock

    async def note(self, pool: str, requires: Sequence[str], at: int) -> None:
        """See AgentStore.demand."""
        queue = pool_queue(pool, requires)

        async def look() -> Guess[int] | None:
            item = await read_item(self._clients, self._table, _record_key(queue), "last_used_at")
            known = None if item is None else int(item["last_used_at"]["N"])
            return Guess(known) if known is None or known < at else None

        guess = await look()
        if guess is not None:
            what = f"A demand of the jobs of pool {pool}"

            async def send(guess: Guess[int]) -> None:
                await transact(self._clients, self._moves(pool, queue, requires, at, guess.before))

            await write_in_order(what, guess, send, look)

    async def latest(self, pool: str) -> list[RequirementDemand]:
        """See AgentStore.demands."""
        now = self._clock()
        request: QueryInputTypeDef = {
            "TableName": self._table,
            "KeyConditionExpression": "list_shard = :list AND place >= :oldest",
            "ExpressionAttributeValues": {
                ":list": {"S": demand_list(pool)},
                ":oldest": {"S": place(max(0, now - KEPT_SECONDS * 1000), "")},
            },
            "ScanIndexForward": False,
            "ConsistentRead": True,
            "Limit": AT_MOST,
        }
        items: list[dict[str, Any]] = [*(await self._clients.call(self._clients.dynamodb.query, **request))["Items"]]
        known = ((json.loads(item["document"]["S"]), time_and_id(item["place"]["S"])[0]) for item in items)
        return kept_demands(known, now)

    def _moves(
        self, pool: str, queue: str, requires: Sequence[str], at: int, before: int | None
    ) -> list[dict[str, Any]]:
        expires = {TTL_ATTRIBUTE: {"N": str(at // 1000 + KEPT_SECONDS)}}
        record = {**_record_key(queue), "last_used_at": {"N": str(at)}, **expires}
        entry = {**_entry_key(pool, queue, at), "document": {"S": json.dumps([*requires])}, **expires}
        condition = is_new(DEMAND_IS_NEW) if before is None else _unchanged(before)
        moves = [
            {"Put": {"TableName": self._table, "Item": record, **condition}},
            {"Put": {"TableName": self._table, "Item": entry}},
        ]
        if before is not None:
            moves.append({"Delete": {"TableName": self._table, "Key": _entry_key(pool, queue, before)}})
        return moves


def _unchanged(before: int) -> dict[str, Any]:
    return {
        "ConditionExpression": DEMAND_IS_UNCHANGED,
        "ExpressionAttributeNames": {"#at": "last_used_at"},
        "ExpressionAttributeValues": {":before": {"N": str(before)}},
    }


def _record_key(queue: str) -> dict[str, Any]:
    return {"list_shard": {"S": demand_record(queue)}, "place": {"S": RECORD_PLACE}}


def _entry_key(pool: str, queue: str, at: int) -> dict[str, Any]:
    return {"list_shard": {"S": demand_list(pool)}, "place": {"S": place(at, queue)}}
