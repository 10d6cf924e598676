"""MetricStore on DynamoDB: a sample is an item of its row's list, by its time. What is too old is not shown, also while
it still lies there.
"""

import builtins
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from activities.clock import Clock, epoch_millis
from activities.stores.dynamo.batches import put_batch, query_all
from activities.stores.dynamo.client import AwsClients, ConditionFailed
from activities.stores.dynamo.table import (
    INCIDENT_IS_FREE,
    INCIDENT_IS_ITS,
    TTL_ATTRIBUTE,
    MetricTables,
    incident_list,
    number_place,
    row_list,
    sample_list,
)
from activities.stores.dynamo.transactions import read_item
from activities.stores.metric_rows import Row, paged, row_name, row_named, row_of, span, wanted
from workflows.contracts.deployments.metrics import Incident, MetricsPage, MetricsQuery, Sample
from workflows.contracts.errors import Unavailable
from workflows.newest import Newest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

_ROUNDS: Final = 4
_MOST_KNOWN: Final = 10_000
_ROW_WRITTEN_EVERY: Final = 24 * 3600 * 1000
"""A row expires a day later than its last sample, at most."""


class DynamoMetricStore:
    """MetricStore on the table of metrics (see ``table``)."""

    def __init__(self, clients: AwsClients, tables: MetricTables, clock: Clock = epoch_millis) -> None:
        self._clients, self._table, self._clock = clients, tables.metrics, clock
        self._keep_seconds = clients.settings.keep_metrics
        self._incident_seconds = clients.settings.keep_incidents
        self._known: Newest[tuple[str, Row], int] = Newest(_MOST_KNOWN)

    async def keep(self, deployment_id: str, samples: Sequence[Sample]) -> None:
        """See MetricStore."""
        now = self._clock()
        last = {(row_of(sample), sample.at): sample for sample in samples}
        items = [self._sample(deployment_id, sample) for sample in last.values()]
        new = {
            row
            for row, _ in last
            if now - self._known.get((deployment_id, row), -_ROW_WRITTEN_EVERY) >= _ROW_WRITTEN_EVERY
        }
        items += [self._row(deployment_id, row, now) for row in new]
        await put_batch(self._clients, self._table, items)
        for row in new:
            self._known[(deployment_id, row)] = now

    async def rows(self, deployment_id: str) -> list[Row]:
        """See MetricStore."""
        items = await query_all(self._clients, self._table, row_list(deployment_id), "place", TTL_ATTRIBUTE)
        now = self._clock() // 1000
        return [row_named(item["place"]["S"]) for item in items if int(item[TTL_ATTRIBUTE]["N"]) >= now]

    async def newest(self, deployment_id: str, row: Row, since: int, limit: int) -> builtins.list[Sample]:
        """See MetricStore."""
        return await self._of_row(deployment_id, row, (max(since, self._oldest()), 10**15 - 1), limit)

    async def list(self, query: MetricsQuery) -> MetricsPage:
        """See MetricStore. As many of each row as a page has: a deployment has few rows."""
        between, found = span(query, self._oldest()), builtins.list[Sample]()
        for row in wanted(query, await self.rows(query.deployment_id)):
            # Two more than a page: one that the last page ended with, one that tells of the next page.
            found += await self._of_row(query.deployment_id, row, between, query.limit + 2)
        return paged(query, found)

    async def claim(self, service_name: str, environment: str, incident: str, by: Incident) -> Incident | None:
        """See MetricStore."""
        key, now = _incident_key(service_name, environment, incident), self._clock() // 1000
        item: Any = {
            **key,
            "deployment_id": {"S": by.deployment_id},
            "document": {"S": by.model_dump_json()},
            TTL_ATTRIBUTE: {"N": str(now + self._incident_seconds)},
        }
        for _ in range(_ROUNDS):
            try:
                await self._clients.call(
                    self._clients.dynamodb.put_item,
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=INCIDENT_IS_FREE,
                    ExpressionAttributeNames={"#deployment": "deployment_id", "#expires": TTL_ATTRIBUTE},
                    ExpressionAttributeValues={":deployment": {"S": by.deployment_id}, ":now": {"N": str(now)}},
                )
            except ConditionFailed:
                known = await read_item(self._clients, self._table, key, "document")
                if known is not None:
                    return Incident.model_validate_json(known["document"]["S"])
            else:
                return None
        raise Unavailable("Whether this alert has acted before cannot be told now. Try again later.")

    async def unclaim(self, service_name: str, environment: str, incident: str, deployment_id: str) -> None:
        """See MetricStore."""
        key: Any = _incident_key(service_name, environment, incident)
        try:
            await self._clients.call(
                self._clients.dynamodb.delete_item,
                TableName=self._table,
                Key=key,
                ConditionExpression=INCIDENT_IS_ITS,
                ExpressionAttributeNames={"#deployment": "deployment_id"},
                ExpressionAttributeValues={":deployment": {"S": deployment_id}},
            )
        except ConditionFailed:  # it is another one's by now, or gone
            return

    def _oldest(self) -> int:
        return max(0, self._clock() - self._keep_seconds * 1000)

    async def _of_row(
        self, deployment_id: str, row: Row, between: tuple[int, int], limit: int
    ) -> builtins.list[Sample]:
        since, until = between
        if since > until:
            return []
        request: QueryInputTypeDef = {
            "TableName": self._table,
            "KeyConditionExpression": "list_shard = :list AND place BETWEEN :since AND :until",
            "ExpressionAttributeValues": {
                ":list": {"S": sample_list(deployment_id, row_name(row))},
                ":since": {"S": number_place(since)},
                ":until": {"S": number_place(until)},
            },
            "ScanIndexForward": False,
            "ConsistentRead": True,
            "Limit": limit,
        }
        answer = await self._clients.call(self._clients.dynamodb.query, **request)
        return [_loaded(row, item) for item in answer["Items"]]

    def _sample(self, deployment_id: str, sample: Sample) -> Mapping[str, Any]:
        return {
            "list_shard": {"S": sample_list(deployment_id, row_name(row_of(sample)))},
            "place": {"S": number_place(sample.at)},
            "value": {"S": json.dumps(sample.value)},  # a Decimal of DynamoDB has 38 digits and no -0.0
            "by": {"S": sample.by},
            TTL_ATTRIBUTE: {"N": str(sample.at // 1000 + self._keep_seconds)},
        }

    def _row(self, deployment_id: str, row: Row, now: int) -> Mapping[str, Any]:
        kept = self._keep_seconds + _ROW_WRITTEN_EVERY // 1000
        return {
            "list_shard": {"S": row_list(deployment_id)},
            "place": {"S": row_name(row)},
            TTL_ATTRIBUTE: {"N": str(now // 1000 + kept)},
        }


def _loaded(row: Row, item: Mapping[str, Any]) -> Sample:
    environment, metric, source = row
    return Sample(
        environment=environment,
        metric=metric,
        source=source,
        at=int(item["place"]["S"]),
        value=float(json.loads(item["value"]["S"])),
        by=item["by"]["S"],
    )


def _incident_key(service_name: str, environment: str, incident: str) -> dict[str, Any]:
    """What an alert calls itself can be long, and strange."""
    digest = hashlib.sha256(incident.encode("utf-8", "surrogatepass")).hexdigest()
    return {"list_shard": {"S": incident_list(service_name, environment)}, "place": {"S": digest}}
