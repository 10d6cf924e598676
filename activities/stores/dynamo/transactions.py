"""How a record is written: optimistically, in one transaction that is tried again with what a read finds.

A write guesses what the stored record has contributed to lists and counters, and which of its events are kept already,
and makes the guess a condition. Only when that fails is there a read, to tell a stale write from a wrong guess.
Deliberately not here: what the transactions are made of (``items``, and each store).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from activities.stores.dynamo.client import AwsClients, ConditionFailed, WriteConflict
from activities.stores.dynamo.items import Item
from activities.stores.dynamo.table import IS_AS_READ, TTL_ATTRIBUTE
from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.statistics import add_up
from workflows.contracts.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

F = TypeVar("F")

_ROUNDS: Final = 12


@dataclass(frozen=True, slots=True)
class Guess(Generic[F]):
    """What a write takes for granted: what is stored (None: nothing), and the ids of its events that are kept."""

    before: F | None = None
    kept_events: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """Where a record is, and the table of the lists that it is found by."""

    table: str
    key: Item
    lists: str


async def write_in_order(
    what: str,
    guess: Guess[F],
    send: Callable[[Guess[F]], Awaitable[None]],
    look: Callable[[], Awaitable[Guess[F] | None]],
) -> WriteOutcome:
    """``send`` the transaction, until it was carried out or ``look`` says with None that it is stale.

    ``send`` raises ConditionFailed or WriteConflict when it was not; ``look`` reads what the next guess is. Raises
    Unavailable, naming ``what`` was written.
    """
    for attempt in range(_ROUNDS):
        try:
            await send(guess)
        except ConditionFailed:
            found = await look()
            if found is None:
                return WriteOutcome.STALE
            guess = found
        except WriteConflict:
            # Another write moved the same counters at this moment; both can go on in milliseconds.
            await asyncio.sleep(random.uniform(0.002, 0.01 * 2 ** min(attempt, 5)))  # noqa: S311 - not a secret
        else:
            return WriteOutcome.APPLIED
    raise Unavailable(f"{what} could not be written: {_ROUNDS} times another write was faster. Try again later.")


async def remove_as_read(
    clients: AwsClients, place: RecordPlace, sequence: int, entries: Callable[[Item], Sequence[Item]]
) -> bool:
    """Remove a record of this sequence with its entries. False: it has another one. True also when it is gone.

    ``entries``: the keys of those of a record as it is stored. Raises Unavailable.
    """
    for attempt in range(_ROUNDS):
        stored = await read_item(clients, place.table, place.key, "sequence", "footprint", "found_by")
        if stored is None or int(stored["sequence"]["N"]) != sequence:
            return stored is None
        record = {
            "TableName": place.table,
            "Key": place.key,
            "ConditionExpression": IS_AS_READ,
            "ExpressionAttributeNames": {"#sequence": "sequence", "#footprint": "footprint"},
            "ExpressionAttributeValues": {":sequence": stored["sequence"], ":footprint": stored["footprint"]},
        }
        rest = [{"Delete": {"TableName": place.lists, "Key": key}} for key in entries(stored)]
        try:
            await transact(clients, [{"Delete": record}, *rest])
        except (ConditionFailed, WriteConflict):
            await asyncio.sleep(random.uniform(0.002, 0.01 * 2 ** min(attempt, 5)))  # noqa: S311 - not a secret
        else:
            return True
    raise Unavailable(f"A record of {place.table} could not be removed: {_ROUNDS} times another write was faster.")


async def transact(clients: AwsClients, actions: Sequence[dict[str, Any]]) -> None:
    """Carry out all actions or none. Raises ConditionFailed, WriteConflict, Unavailable."""
    typed = cast("Sequence[TransactWriteItemTypeDef]", actions)
    await clients.call(clients.dynamodb.transact_write_items, TransactItems=typed)


async def read_item(clients: AwsClients, table: str, key: Item, *attributes: str) -> Item | None:
    """These attributes of an item, read consistently, or None."""
    answer = await clients.call(
        clients.dynamodb.get_item,
        TableName=table,
        Key=key,
        ConsistentRead=True,
        ProjectionExpression=", ".join(f"#{name}" for name in attributes),
        ExpressionAttributeNames={f"#{name}": name for name in attributes},
    )
    return cast("Item | None", answer.get("Item"))


async def read_counters(clients: AwsClients, table: str, counter: str) -> dict[str, int]:
    """The sums of a counter's shards."""
    answer = await clients.call(
        clients.dynamodb.query,
        TableName=table,
        KeyConditionExpression="#counter = :counter",
        ExpressionAttributeNames={"#counter": "counter"},
        ExpressionAttributeValues={":counter": {"S": counter}},
        ConsistentRead=True,
    )
    others = {"counter", "shard", TTL_ATTRIBUTE}
    items = cast("Sequence[Item]", answer["Items"])
    return add_up({name: int(value["N"]) for name, value in item.items() if name not in others} for item in items)
