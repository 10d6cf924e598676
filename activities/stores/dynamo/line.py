"""LineStore on DynamoDB: one item in the table of environments, under a name that no service can have."""

from collections.abc import Sequence
from typing import Any, Final

from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.events import RecordEvents, write_with_events
from activities.stores.dynamo.items import document_attribute, read_document
from activities.stores.dynamo.table import LINE_FOLLOWS, LINE_IS_NEW, LINE_PLACE, DeploymentTables
from activities.stores.dynamo.transactions import read_item
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.line import LineState

_KEY: Final[dict[str, Any]] = {"service_name": {"S": LINE_PLACE}, "environment": {"S": LINE_PLACE}}


class DynamoLineStore:
    """LineStore on the tables of environments and events (see ``table``)."""

    def __init__(self, clients: AwsClients, tables: DeploymentTables) -> None:
        self._clients, self._tables = clients, tables

    async def get(self) -> LineState:
        """See LineStore."""
        item = await read_item(self._clients, self._tables.environments, _KEY, "document", "packed")
        return LineState() if item is None else LineState.model_validate_json(read_document(item))

    async def put(self, line: LineState, events: Sequence[AuditEvent]) -> bool:
        """See LineStore. Raises ValidationFailed for a record that is too large to be kept."""
        put = self._put(line)

        async def look() -> tuple[None] | None:
            return (None,) if (await self.get()).revision == line.revision - 1 else None

        writing = RecordEvents(self._clients, self._tables.events, events)
        outcome = await write_with_events("The line", None, writing, lambda _: [put], look)
        return outcome is WriteOutcome.APPLIED

    def _put(self, line: LineState) -> dict[str, Any]:
        item = {
            **_KEY,
            "sequence": {"N": str(line.revision)},
            **document_attribute(line.model_dump_json(), "line", "line"),
        }
        condition: dict[str, Any] = {"ConditionExpression": LINE_IS_NEW}
        if line.revision > 1:
            condition = {
                "ConditionExpression": LINE_FOLLOWS,
                "ExpressionAttributeNames": {"#sequence": "sequence"},
                "ExpressionAttributeValues": {":before": {"N": str(line.revision - 1)}},
            }
        return {"Put": {"TableName": self._tables.environments, "Item": item, **condition}}
