"""BanStore on DynamoDB: one item per service, beside its definitions; one transaction per write with its events."""

from collections.abc import Mapping, Sequence
from typing import Any

from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.events import RecordEvents, write_with_events
from activities.stores.dynamo.items import document_attribute, is_new, read_document
from activities.stores.dynamo.table import BANS_ARE_NEW, BANS_PLACE, REVISION_FOLLOWS, DeploymentTables, service_list
from activities.stores.dynamo.transactions import read_item
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.bans import BanList


class DynamoBanStore:
    """BanStore on the tables of services and events (see ``table``)."""

    def __init__(self, clients: AwsClients, tables: DeploymentTables) -> None:
        self._clients, self._tables = clients, tables

    async def put(self, bans: BanList, events: Sequence[AuditEvent]) -> bool:
        """See BanStore. Raises ValidationFailed for a record that is too large to be kept."""
        put, writing = self._put(bans), RecordEvents(self._clients, self._tables.events, events)

        async def look() -> tuple[None] | None:
            item = await self._item(bans.service_name, "revision")
            present = 0 if item is None else int(item["revision"]["N"])
            return (None,) if present == bans.revision - 1 else None

        what = f"Bans of service {bans.service_name}"
        outcome = await write_with_events(what, None, writing, lambda _: [put], look)
        return outcome is WriteOutcome.APPLIED or await self.get(bans.service_name) == bans

    async def get(self, service_name: str) -> BanList:
        """See BanStore."""
        item = await self._item(service_name, "document", "packed")
        if item is None:
            return BanList(service_name=service_name)
        return BanList.model_validate_json(read_document(item))

    async def _item(self, service_name: str, *names: str) -> Mapping[str, Any] | None:
        return await read_item(self._clients, self._tables.services, _key(service_name), *names)

    def _put(self, bans: BanList) -> dict[str, Any]:
        item = {
            **_key(bans.service_name),
            "revision": {"N": str(bans.revision)},
            **document_attribute(bans.model_dump_json(), "bans", bans.service_name),
        }
        if bans.revision == 1:
            condition = is_new(BANS_ARE_NEW)
        else:
            condition = {
                "ConditionExpression": REVISION_FOLLOWS,
                "ExpressionAttributeNames": {"#revision": "revision"},
                "ExpressionAttributeValues": {":before": {"N": str(bans.revision - 1)}},
            }
        return {"Put": {"TableName": self._tables.services, "Item": item, **condition}}


def _key(service_name: str) -> dict[str, Any]:
    return {"group_name": {"S": service_list(service_name)}, "place": {"S": BANS_PLACE}}
