"""DeliveryStore on DynamoDB: a delivery's record, its body and its entries in the lists are written in one transaction.

Everything here expires. Deliberately not here: the tables' keys (``table``).
"""

import builtins
import hashlib
import time
from typing import Any, Final

from activities.stores.dynamo.client import AwsClients, ConditionFailed, WriteConflict
from activities.stores.dynamo.listing import Choice, Lister
from activities.stores.dynamo.table import (
    ALL_LIST,
    RECORD_PLACE,
    TTL_ATTRIBUTE,
    TURN_IS_FREE,
    DeliveryTables,
    list_shard,
    place,
    service_list,
)
from activities.stores.dynamo.transactions import read_item
from workflows.contracts.deployments.deliveries import CheckSeen, DeliveryPage, DeliveryQuery, KeptDelivery
from workflows.contracts.errors import Unavailable

_BODY_PLACE: Final = "body"
_MOST_LISTS: Final = 90
_TRANSACTION_BYTES: Final = 3_000_000
"""DynamoDB takes 100 items and 4 MB in one. A delivery about more services than fit is not in the lists of the last."""
_TRIES: Final = 5
_TURN_SECONDS: Final = 7 * 24 * 3600


class DynamoDeliveryStore:
    """DeliveryStore on the table of deliveries (see ``table``)."""

    def __init__(self, clients: AwsClients, tables: DeliveryTables) -> None:
        self._clients, self._table = clients, tables.deliveries
        self._lister = Lister(clients, self._table, "summary")

    async def keep(self, delivery: KeptDelivery, body: bytes | None) -> None:
        """See DeliveryStore."""
        document, expires = delivery.model_dump_json(), self._expires()
        items: builtins.list[dict[str, Any]] = [
            {**_key(delivery.delivery_id, RECORD_PLACE), "document": {"S": document}, TTL_ATTRIBUTE: expires}
        ]
        if body is not None:
            items.append({**_key(delivery.delivery_id, _BODY_PLACE), "body": {"B": body}, TTL_ATTRIBUTE: expires})
        entry: dict[str, Any] = {
            "place": {"S": place(delivery.at, delivery.delivery_id)},
            "provider": {"S": delivery.provider},
            "outcome": {"S": delivery.outcome.value},
            "summary": {"S": document},
            TTL_ATTRIBUTE: expires,
        }
        fitting = max(0, (_TRANSACTION_BYTES - len(body or b"")) // len(document.encode()) - 2)
        services = delivery.services[: min(_MOST_LISTS, fitting)]
        names = (ALL_LIST, *(service_list(each) for each in services))
        items += [{"list_shard": {"S": list_shard(name, delivery.delivery_id)}, **entry} for name in names]
        writes: Any = [{"Put": {"TableName": self._table, "Item": item}} for item in items]
        for _ in range(_TRIES):
            try:
                await self._clients.call(self._clients.dynamodb.transact_write_items, TransactItems=writes)
            except WriteConflict:
                continue
            return
        raise Unavailable(f"Delivery {delivery.delivery_id} is being written by somebody else; try again.")

    async def get(self, delivery_id: str) -> KeptDelivery | None:
        """See DeliveryStore."""
        item = await read_item(self._clients, self._table, _key(delivery_id, RECORD_PLACE), "document")
        return None if item is None else KeptDelivery.model_validate_json(item["document"]["S"])

    async def body(self, delivery_id: str) -> bytes | None:
        """See DeliveryStore."""
        item: Any = await read_item(self._clients, self._table, _key(delivery_id, _BODY_PLACE), "body")
        return None if item is None else bytes(item["body"]["B"])

    async def list(self, query: DeliveryQuery) -> DeliveryPage:
        """See DeliveryStore."""
        name = ALL_LIST if query.service_name is None else service_list(query.service_name)
        asked = {"provider": query.provider, "outcome": query.outcome}
        filters = {attribute: str(value) for attribute, value in asked.items() if value is not None}
        listed = await self._lister.page(query, name, filters, Choice(since=query.since or 0, until=query.until))
        items = [KeptDelivery.model_validate_json(text) for text in listed.texts]
        return DeliveryPage(
            items=items,
            next_cursor=listed.next_cursor,
            stopped_early=listed.stopped_early,
            looked_at=listed.looked_at,
        )

    async def see_check(self, repository: str, commit: str, check: CheckSeen) -> None:
        """See DeliveryStore."""
        item: Any = {
            "list_shard": {"S": _checks(repository, commit)},
            "place": {"S": hashlib.sha256(check.name.encode("utf-8", "replace")).hexdigest()},
            "document": {"S": check.model_dump_json()},
            TTL_ATTRIBUTE: self._expires(),
        }
        await self._clients.call(self._clients.dynamodb.put_item, TableName=self._table, Item=item)

    async def checks(self, repository: str, commit: str) -> builtins.list[CheckSeen]:
        """See DeliveryStore."""
        found = await self._all_of(_checks(repository, commit))
        return [CheckSeen.model_validate_json(item["document"]["S"]) for item in found]

    async def count_refused(self, day: str, counts: dict[str, int]) -> None:
        """See DeliveryStore."""
        for provider, number in counts.items():
            await self._clients.call(
                self._clients.dynamodb.update_item,
                TableName=self._table,
                Key={"list_shard": {"S": f"refused#{day}"}, "place": {"S": provider}},
                UpdateExpression="ADD #counted :number SET #expires = :expires",
                ExpressionAttributeNames={"#counted": "counted", "#expires": TTL_ATTRIBUTE},
                ExpressionAttributeValues={":number": {"N": str(number)}, ":expires": self._expires()},
            )

    async def refused(self, day: str) -> dict[str, int]:
        """See DeliveryStore."""
        found = await self._all_of(f"refused#{day}")
        return {item["place"]["S"]: int(item["counted"]["N"]) for item in found}

    async def take_turn(self, name: str, now: int, until: int) -> bool:
        """See DeliveryStore."""
        try:
            await self._clients.call(
                self._clients.dynamodb.update_item,
                TableName=self._table,
                Key={"list_shard": {"S": f"turn#{name}"}, "place": {"S": RECORD_PLACE}},
                UpdateExpression="SET #until = :until, #expires = :expires",
                ConditionExpression=TURN_IS_FREE,
                ExpressionAttributeNames={"#until": "until", "#expires": TTL_ATTRIBUTE},
                ExpressionAttributeValues={
                    ":until": {"N": str(until)},
                    ":now": {"N": str(now)},
                    ":expires": {"N": str(until // 1000 + _TURN_SECONDS)},
                },
            )
        except (ConditionFailed, WriteConflict):
            return False
        return True

    async def _all_of(self, partition: str) -> builtins.list[Any]:
        """All items of a partition; those of here are few."""
        found: builtins.list[Any] = []
        request: Any = {
            "TableName": self._table,
            "KeyConditionExpression": "list_shard = :list",
            "ExpressionAttributeValues": {":list": {"S": partition}},
            "ConsistentRead": True,
        }
        while True:
            answer: Any = await self._clients.call(self._clients.dynamodb.query, **request)
            found += answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return found
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _expires(self) -> dict[str, str]:
        return {"N": str(int(time.time()) + self._clients.settings.keep_deliveries)}


def _key(delivery_id: str, what: str) -> dict[str, Any]:
    return {"list_shard": {"S": f"delivery#{delivery_id}"}, "place": {"S": what}}


def _checks(repository: str, commit: str) -> str:
    digest = hashlib.sha256(f"{repository}\n{commit}".encode("utf-8", "replace")).hexdigest()
    return f"checks#{digest}"
