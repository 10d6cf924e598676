"""StorageStore on DynamoDB and S3: sizes, what has expired, how far the sweeps are.

The one place that scans a table, and only at a server of one's own, which has no TTL that removes: in no request's
path, and small tables. Deliberately not here: removing what is old (the stores of each kind), and when
(``activities.retention``).
"""

import asyncio
import builtins
from typing import Any, Final

from activities.stores.dynamo.batches import oldest
from activities.stores.dynamo.client import AwsClients, ConditionFailed, WriteConflict
from activities.stores.dynamo.items import Item, counter_key
from activities.stores.dynamo.table import (
    SWEEP_COUNTER,
    TTL_ATTRIBUTE,
    AgentTables,
    CredentialTables,
    DeliveryTables,
    DeploymentTables,
    JobTables,
    Keys,
    MetricTables,
    expiring,
    keys_of,
    time_and_id,
)
from activities.stores.dynamo.transactions import read_item
from activities.stores.interfaces.amounts import Amount
from activities.stores.interfaces.storage import TableSize
from activities.stores.s3.prefixes import ARTIFACTS, LOGS, amount_under
from activities.stores.settings import StoreSettings
from workflows.contracts.storage.retention import SweepState

_LATEST: Final = 10**15 - 1
_SCANNED: Final = 500
"""Items that one request of the scan looks at."""


class AwsStorageStore:
    """StorageStore of one installation's tables and bucket."""

    def __init__(self, clients: AwsClients, settings: StoreSettings) -> None:
        self._clients, self._settings = clients, settings
        own = (
            JobTables.of,
            DeploymentTables.of,
            CredentialTables.of,
            AgentTables.of,
            DeliveryTables.of,
            MetricTables.of,
        )
        groups = [of(settings) for of in own]
        self._keys: dict[str, Keys] = {name: keys for group in groups for name, keys in keys_of(group).items()}
        self._holds = _holds(settings)
        self._expiring = sorted({expiring(group) for group in groups})

    async def tables(self) -> list[TableSize]:
        """See StorageStore."""
        return list(await asyncio.gather(*(self._size(name) for name in sorted(self._keys))))

    async def oldest(self) -> dict[str, int]:
        """See StorageStore."""
        own = self._settings
        lists = {
            "jobs": (own.job_lists_table, "summary"),
            "deployments": (own.deployment_lists_table, "summary"),
            "events": (own.events_table, "event"),
        }
        found = {name: await oldest(self._clients, *each, "", _LATEST, 1) for name, each in lists.items()}
        return {name: time_and_id(entries[0][0])[0] for name, entries in found.items() if entries}

    async def logs(self, at_most: int) -> Amount:
        """See StorageStore."""
        return await amount_under(self._clients, self._settings.bucket, LOGS, at_most)

    async def artifacts(self, at_most: int) -> Amount:
        """See StorageStore."""
        return await amount_under(self._clients, self._settings.bucket, ARTIFACTS, at_most)

    async def expired(self, now: int, at_most: int, *, remove: bool) -> Amount:
        """See StorageStore. ``at_most`` bounds what goes; the tables that are scanned are small."""
        if self._settings.dynamodb_endpoint_url is None:
            return Amount()
        found, more = 0, False
        for table in self._expiring:
            keys = await self._expired_of(table, now, at_most - found)
            more = more or len(keys) == at_most - found
            for key in keys if remove else ():
                await self._remove(table, key, now)
            found += len(keys)
        return Amount(found, more=more)

    async def sweeps(self) -> SweepState:
        """See StorageStore."""
        key = counter_key(SWEEP_COUNTER, 0)
        item = await read_item(self._clients, self._settings.statistics_table, key, "document")
        return SweepState() if item is None else SweepState.model_validate_json(item["document"]["S"])

    async def keep_sweeps(self, state: SweepState) -> None:
        """See StorageStore."""
        item: Any = {**counter_key(SWEEP_COUNTER, 0), "document": {"S": state.model_dump_json()}}
        await self._clients.call(self._clients.dynamodb.put_item, TableName=self._settings.statistics_table, Item=item)

    async def _size(self, name: str) -> TableSize:
        table = (await self._clients.call(self._clients.dynamodb.describe_table, TableName=name))["Table"]
        return TableSize(self._holds[name], name, table.get("ItemCount", 0), table.get("TableSizeBytes", 0))

    async def _expired_of(self, table: str, now: int, at_most: int) -> builtins.list[Item]:
        keys = self._keys[table]
        request: Any = {
            "TableName": table,
            "FilterExpression": "#expires < :now",
            "ProjectionExpression": ", ".join(f"#{key}" for key in keys),
            "ExpressionAttributeNames": {"#expires": TTL_ATTRIBUTE, **{f"#{key}": key for key in keys}},
            "ExpressionAttributeValues": {":now": {"N": str(now // 1000)}},
            "Limit": _SCANNED,
        }
        found: builtins.list[Item] = []
        while len(found) < at_most:
            answer = await self._clients.call(self._clients.dynamodb.scan, **request)
            found += answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                break
            request["ExclusiveStartKey"] = answer.get("LastEvaluatedKey")
        return found[:at_most]

    async def _remove(self, table: str, key: Item, now: int) -> None:
        request: Any = {
            "TableName": table,
            "Key": key,
            "ConditionExpression": "#expires < :now",
            "ExpressionAttributeNames": {"#expires": TTL_ATTRIBUTE},
            "ExpressionAttributeValues": {":now": {"N": str(now // 1000)}},
        }
        try:
            await self._clients.call(self._clients.dynamodb.delete_item, **request)
        except (ConditionFailed, WriteConflict):  # it was written again meanwhile
            return


def _holds(settings: StoreSettings) -> dict[str, str]:
    return {
        settings.jobs_table: "jobs",
        settings.job_lists_table: "job lists",
        settings.statistics_table: "statistics",
        settings.deployments_table: "deployments",
        settings.deployment_lists_table: "deployment lists",
        settings.services_table: "services",
        settings.environments_table: "environments",
        settings.events_table: "events",
        settings.credentials_table: "credentials",
        settings.agents_table: "agents",
        settings.deliveries_table: "deliveries",
        settings.metrics_table: "metrics",
    }
