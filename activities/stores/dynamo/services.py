"""ServiceStore on DynamoDB: a version is kept as itself, as the present one and in the list by name, all at once."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from activities.stores.cursors import Positions, ServiceQuery, decode_cursor, encode_cursor
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.events import RecordEvents
from activities.stores.dynamo.items import document_attribute, is_new, read_document
from activities.stores.dynamo.table import (
    ALL_LIST,
    PRESENT,
    SERVICE_IS_NEW,
    VERSION_FOLLOWS,
    DeploymentTables,
    service_list,
    version_place,
)
from activities.stores.dynamo.transactions import Guess, read_item, write_in_order
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.services import Service, ServicePage

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

_SMALL: Final = 32 << 10
"""Characters or bytes of a document; larger ones are read anew each time, so that memory is bounded."""


class DynamoServiceStore:
    """ServiceStore on the tables of services and events (see ``table``)."""

    def __init__(self, clients: AwsClients, tables: DeploymentTables) -> None:
        self._clients, self._tables = clients, tables

    async def put(self, service: Service, *, expected_version: int | None, events: Sequence[AuditEvent]) -> bool:
        """See ServiceStore. Raises ValidationFailed for a record that is too large to be kept."""
        puts = _puts(self._tables.services, service)
        writing = RecordEvents(self._clients, self._tables.events, events)
        before = service.version - 1

        async def look() -> Guess[None] | None:
            key = _key(service_list(service.name), PRESENT)
            item = await read_item(self._clients, self._tables.services, key, "version")
            present = 0 if item is None else int(item["version"]["N"])
            return Guess(None, await writing.kept()) if present == before else None

        guess: Guess[None] | None = None
        if expected_version in {None, before}:
            guess = await look() if writing.too_many else Guess()
        if guess is None:
            return await self._is_kept(service)
        await writing.write_ahead()
        outcome = await write_in_order(
            f"Version {service.version} of service {service.name}",
            guess,
            lambda guess: writing.send(puts, guess.kept_events),
            look,
        )
        return outcome is WriteOutcome.APPLIED or await self._is_kept(service)

    async def get(self, name: str, version: int | None = None) -> Service | None:
        """See ServiceStore."""
        key = _key(service_list(name), PRESENT if version is None else version_place(version))
        item = await read_item(self._clients, self._tables.services, key, "document", "packed")
        return None if item is None else _load(item)

    async def list(self, *, limit: int, cursor: str | None) -> ServicePage:
        """See ServiceStore."""
        query = ServiceQuery(limit=limit, cursor=cursor)
        after = decode_cursor(query).shards.get(0)
        # A key is never empty, and no name begins with a space.
        items = await _by_name(self._clients, self._tables.services, after[1] if after else " ", limit + 1)
        page = [_load(item) for item in items[:limit]]
        more = len(items) > limit
        return ServicePage(
            items=page, next_cursor=encode_cursor(query, Positions({0: (0, page[-1].name)}, 0)) if more else None
        )

    async def _is_kept(self, service: Service) -> bool:
        return await self.get(service.name, service.version) == service


async def _by_name(clients: AwsClients, table: str, after: str, count: int) -> list[Mapping[str, Any]]:
    """The items of the present versions behind a name. Large ones come in several answers, of 1 MB each."""
    request: QueryInputTypeDef = {
        "TableName": table,
        "KeyConditionExpression": "group_name = :all AND place > :after",
        "ConsistentRead": True,
    }
    items: list[Mapping[str, Any]] = []
    while len(items) < count:
        request["Limit"] = count - len(items)
        request["ExpressionAttributeValues"] = {":all": {"S": ALL_LIST}, ":after": {"S": after}}
        answer = await clients.call(clients.dynamodb.query, **request)
        items += answer["Items"]
        last = answer.get("LastEvaluatedKey")
        if not last:
            break
        after = str(last["place"].get("S"))
    return items


def _puts(table: str, service: Service) -> list[dict[str, Any]]:
    document = document_attribute(service.model_dump_json(), "service", service.name)
    if service.version == 1:
        condition = is_new(SERVICE_IS_NEW)
    else:
        condition = {
            "ConditionExpression": VERSION_FOLLOWS,
            "ExpressionAttributeNames": {"#version": "version"},
            "ExpressionAttributeValues": {":before": {"N": str(service.version - 1)}},
        }
    own, version = service_list(service.name), {"version": {"N": str(service.version)}}
    present = {"TableName": table, "Item": {**_key(own, PRESENT), **version, **document}, **condition}
    kept = {"TableName": table, "Item": {**_key(own, version_place(service.version)), **document}}
    listed = {"TableName": table, "Item": {**_key(ALL_LIST, service.name), **document}}
    return [{"Put": put} for put in (present, kept, listed)]


def _key(group: str, place: str) -> dict[str, Any]:
    return {"group_name": {"S": group}, "place": {"S": place}}


def _load(item: Mapping[str, Any]) -> Service:
    document = read_document(item)
    return _parsed(document) if len(document) <= _SMALL else Service.model_validate_json(document)


@lru_cache(maxsize=256)
def _parsed(document: str | bytes) -> Service:
    """A list of services is read far more often than one of them is changed; what is read is frozen."""
    return Service.model_validate_json(document)
