"""EnvironmentStore on DynamoDB: one item per environment, one transaction per write with its events."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.events import RecordEvents, write_with_events
from activities.stores.dynamo.items import document_attribute, read_document
from activities.stores.dynamo.table import ENVIRONMENT_IS_NEWER, DeploymentTables
from activities.stores.dynamo.transactions import read_item
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

_BATCH: Final = 100
"""As many as DynamoDB gives at once."""


class DynamoEnvironmentStore:
    """EnvironmentStore on the tables of environments and events (see ``table``)."""

    def __init__(self, clients: AwsClients, tables: DeploymentTables) -> None:
        self._clients, self._tables = clients, tables

    async def write(self, write: EnvironmentWrite) -> WriteOutcome:
        """See EnvironmentStore. Raises ValidationFailed for a record that is too large to be kept.

        Of more events than a transaction takes, the oldest are kept shortly before the rest.
        """
        state = write.state
        put = self._put(state)
        events = RecordEvents(self._clients, self._tables.events, write.events)

        async def look() -> tuple[None] | None:
            key = _key(state.service_name, state.environment)
            item = await read_item(self._clients, self._tables.environments, key, "sequence")
            return None if item is not None and int(item["sequence"]["N"]) >= state.sequence else (None,)

        what = f"Environment {state.service_name}/{state.environment}"
        return await write_with_events(what, None, events, lambda _: [put], look)

    async def get(self, service_name: str, environment: str) -> EnvironmentState | None:
        """See EnvironmentStore."""
        key = _key(service_name, environment)
        item = await read_item(self._clients, self._tables.environments, key, "document", "packed")
        return None if item is None else _load(item)

    async def of_service(self, service_name: str) -> list[EnvironmentState]:
        """See EnvironmentStore."""
        request: QueryInputTypeDef = {
            "TableName": self._tables.environments,
            "KeyConditionExpression": "service_name = :service",
            "ExpressionAttributeValues": {":service": {"S": service_name}},
            "ConsistentRead": True,
        }
        found: list[EnvironmentState] = []
        while True:
            answer = await self._clients.call(self._clients.dynamodb.query, **request)
            found += [_load(item) for item in answer["Items"]]
            last = answer.get("LastEvaluatedKey")
            if not last:
                return found
            request = {**request, "ExclusiveStartKey": last}

    async def named(self, keys: Sequence[tuple[str, str]]) -> list[EnvironmentState]:
        """See EnvironmentStore."""
        wanted = [_key(service, environment) for service, environment in dict.fromkeys(keys)]
        batches = (self._batch(wanted[begin : begin + _BATCH]) for begin in range(0, len(wanted), _BATCH))
        return [state for found in await asyncio.gather(*batches) for state in found]

    async def _batch(self, keys: list[dict[str, Any]]) -> list[EnvironmentState]:
        table, found = self._tables.environments, list[EnvironmentState]()
        rest: list[Any] = [*keys]
        while rest:
            answer = await self._clients.call(
                self._clients.dynamodb.batch_get_item,
                RequestItems={table: {"Keys": rest, "ConsistentRead": True}},
            )
            items: list[Any] = [*answer.get("Responses", {}).get(table, [])]
            found += [_load(item) for item in items]
            left: Any = answer.get("UnprocessedKeys", {}).get(table)
            rest = left["Keys"] if left else []
        return found

    def _put(self, state: EnvironmentState) -> dict[str, Any]:
        name = f"{state.service_name}/{state.environment}"
        item = {
            **_key(state.service_name, state.environment),
            "sequence": {"N": str(state.sequence)},
            **document_attribute(state.model_dump_json(), "environment", name),
        }
        return {
            "Put": {
                "TableName": self._tables.environments,
                "Item": item,
                "ConditionExpression": ENVIRONMENT_IS_NEWER,
                "ExpressionAttributeNames": {"#sequence": "sequence"},
                "ExpressionAttributeValues": {":sequence": {"N": str(state.sequence)}},
            }
        }


def _key(service_name: str, environment: str) -> dict[str, Any]:
    return {"service_name": {"S": service_name}, "environment": {"S": environment}}


def _load(item: Mapping[str, Any]) -> EnvironmentState:
    return EnvironmentState.model_validate_json(read_document(item))
