"""DeploymentStore on DynamoDB: one transaction per write, one read per get, no Scan, as for jobs."""

import builtins
from collections.abc import Iterator, Sequence
from typing import Any

from activities.stores.documents import dump_deployment, load_deployment, load_deployment_summaries
from activities.stores.dynamo.batches import oldest
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.events import RecordEvents, write_with_events
from activities.stores.dynamo.items import (
    Item,
    counter_addition,
    document_attribute,
    is_new,
    is_newer,
    list_moves,
    read_document,
)
from activities.stores.dynamo.listing import ONE_BY_ONE, Choice, Entry, Lister, ListPart
from activities.stores.dynamo.table import (
    ALL_LIST,
    DAY_RETENTION_SECONDS,
    DEPLOYMENT_IS_NEW,
    DEPLOYMENTS_COUNTER,
    VERSION_IS_THIS_COMMIT,
    DeploymentTables,
    counter_shard,
    deployment_day_counter,
    list_shard,
    place,
    service_list,
    status_list,
    version_list,
)
from activities.stores.dynamo.transactions import RecordPlace, read_counters, read_item, remove_as_read
from activities.stores.found_by import matches_deployment
from activities.stores.interfaces.writes import Placed, WriteOutcome
from activities.stores.packing import check_summary
from activities.stores.statistics import day_end, day_of
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentPage,
    DeploymentQuery,
    DeploymentStats,
    DeploymentStatus,
    DeploymentSummary,
    DeploymentWrite,
)
from workflows.contracts.deployments.versions import VersionClaim, claim_of, require_same_commit

_WAITS = '"waits_for":"'
"""Of the summary's JSON, in which no text can hold an unescaped quotation mark."""
_TOTAL = "total"
_CREATED = "created"


class DynamoDeploymentStore:
    """DeploymentStore on the tables of deployments, their lists, statistics and events (see ``table``)."""

    def __init__(self, clients: AwsClients, tables: DeploymentTables) -> None:
        self._clients, self._tables = clients, tables
        self._lister = Lister(clients, tables.deployment_lists, "summary")

    async def write(self, write: DeploymentWrite, document: str | None = None) -> WriteOutcome:
        """See DeploymentStore. Of more events than a transaction takes, the oldest are kept shortly before the rest."""
        deployment = write.deployment
        record = DeploymentItems(self._tables, deployment, document)
        new = f"deployments/{deployment.deployment_id}" if write.previous is None else None
        events = RecordEvents(self._clients, self._tables.events, write.events, new_subject=new)

        async def look() -> tuple[DeploymentStatus | None] | None:
            stored = await self._stored(deployment.deployment_id)
            if stored is not None and stored[0] >= deployment.sequence:
                return None
            if stored is None:
                require_same_commit(deployment, await self.version_claim(deployment.service_name, deployment.version))
            return (stored[1] if stored else None,)

        what = f"Deployment {deployment.deployment_id}"
        return await write_with_events(what, write.previous, events, record.actions, look)

    async def get(self, deployment_id: str) -> Deployment | None:
        """See DeploymentStore."""
        item = await read_item(self._clients, self._tables.deployments, _key(deployment_id), "document", "packed")
        return None if item is None else load_deployment(read_document(item))

    async def version_claim(self, service_name: str, version: str) -> VersionClaim | None:
        """See DeploymentStore."""
        key = _claim_key(service_name, version)
        item = await read_item(self._clients, self._tables.deployment_lists, key, "document")
        return None if item is None else VersionClaim.model_validate_json(item["document"]["S"])

    async def list(self, query: DeploymentQuery) -> DeploymentPage:
        """See DeploymentStore."""
        listed = await self._lister.page_of(query, [_part(query)])
        return DeploymentPage(
            items=load_deployment_summaries(listed.texts),
            next_cursor=listed.next_cursor,
            stopped_early=listed.stopped_early,
            looked_at=listed.looked_at,
        )

    async def oldest(self, behind: str, until: int, limit: int) -> builtins.list[Placed[DeploymentSummary]]:
        """See DeploymentStore."""
        found = await oldest(self._clients, self._tables.deployment_lists, "summary", behind, until, limit)
        summaries = load_deployment_summaries([text for _, text in found])
        return [Placed(place, summary) for (place, _), summary in zip(found, summaries, strict=True)]

    async def remove(self, deployment: Deployment) -> bool:
        """See DeploymentStore."""
        name, tables = deployment.deployment_id, self._tables

        def entries(stored: Item) -> builtins.list[Item]:
            names = _lists(deployment.service_name, DeploymentStatus(stored["footprint"]["S"]))
            at = {"S": place(deployment.created_at, name)}
            return [{"list_shard": {"S": list_shard(each, name)}, "place": at} for each in names]

        record = RecordPlace(tables.deployments, _key(name), tables.deployment_lists)
        return await remove_as_read(self._clients, record, deployment.sequence, entries)

    async def stats(self) -> DeploymentStats:
        """See DeploymentStore."""
        counters = await read_counters(self._clients, self._tables.statistics, DEPLOYMENTS_COUNTER)
        by_status = {status: count for status in DeploymentStatus if (count := counters.get(status.value, 0))}
        return DeploymentStats(total=counters.get(_TOTAL, 0), by_status=by_status)

    async def day_count(self, day: str) -> int:
        """See DeploymentStore."""
        counters = await read_counters(self._clients, self._tables.statistics, deployment_day_counter(day))
        return counters.get(_CREATED, 0)

    async def _stored(self, deployment_id: str) -> tuple[int, DeploymentStatus] | None:
        key = _key(deployment_id)
        item = await read_item(self._clients, self._tables.deployments, key, "sequence", "footprint")
        return None if item is None else (int(item["sequence"]["N"]), DeploymentStatus(item["footprint"]["S"]))


class DeploymentItems:
    """The actions that store one record, depending on the stored one's status. Raises ValidationFailed: too large."""

    def __init__(self, tables: DeploymentTables, deployment: Deployment, document: str | None = None) -> None:
        self._tables, self._deployment = tables, deployment
        name = deployment.deployment_id
        document = dump_deployment(deployment) if document is None else document
        self._item = {
            **_key(name),
            "sequence": {"N": str(deployment.sequence)},
            "footprint": {"S": deployment.status.value},
            **document_attribute(document, "deployment", name),
        }
        self._entry = {
            "place": {"S": place(deployment.created_at, name)},
            "summary": {"S": check_summary(deployment.summary().model_dump_json(), "deployment", name)},
            "status": {"S": deployment.status.value},
        }

    def actions(self, before: DeploymentStatus | None) -> list[dict[str, Any]]:
        """What ``TransactItems`` takes."""
        sequence, name = self._deployment.sequence, self._deployment.deployment_id
        condition = is_new(DEPLOYMENT_IS_NEW) if before is None else is_newer(sequence, before.value)
        put = {"Put": {"TableName": self._tables.deployments, "Item": self._item, **condition}}
        were = () if before is None else (status_list(before),)
        now = _lists(self._deployment.service_name, self._deployment.status)
        moves = list_moves(self._tables.deployment_lists, name, self._entry, were, now)
        claims = [self._claim()] if before is None else []
        return [put, *claims, *moves, *self._counter_actions(before)]

    def _claim(self) -> dict[str, Any]:
        claim = claim_of(self._deployment)
        commit = {"S": claim.git_commit_sha}
        put: dict[str, Any] = {
            "TableName": self._tables.deployment_lists,
            "Item": {
                **_claim_key(claim.service_name, claim.version),
                "commit": commit,
                "document": {"S": claim.model_dump_json()},
            },
        }
        if not self._deployment.definition.allow_version_reuse:
            put |= {
                "ConditionExpression": VERSION_IS_THIS_COMMIT,
                "ExpressionAttributeNames": {"#commit": "commit"},
                "ExpressionAttributeValues": {":commit": commit},
            }
        return {"Put": put}

    def _counter_actions(self, before: DeploymentStatus | None) -> Iterator[dict[str, Any]]:
        deployment, table = self._deployment, self._tables.statistics
        shard = counter_shard(deployment.deployment_id)
        if before is None:
            created = {_TOTAL: 1, deployment.status.value: 1}
            yield counter_addition(table, DEPLOYMENTS_COUNTER, shard, created)
            day = day_of(deployment.created_at)
            expires = day_end(day) + DAY_RETENTION_SECONDS
            yield counter_addition(table, deployment_day_counter(day), shard, {_CREATED: 1}, expires)
        elif before is not deployment.status:
            moved = {before.value: -1, deployment.status.value: 1}
            yield counter_addition(table, DEPLOYMENTS_COUNTER, shard, moved)


def _lists(service_name: str, status: DeploymentStatus) -> tuple[str, ...]:
    """All lists in which a deployment has an entry."""
    return (ALL_LIST, service_list(service_name), status_list(status))


def _key(deployment_id: str) -> dict[str, Any]:
    return {"deployment_id": {"S": deployment_id}}


def _claim_key(service_name: str, version: str) -> dict[str, Any]:
    return {"list_shard": {"S": version_list(service_name)}, "place": {"S": version}}


def _part(query: DeploymentQuery) -> ListPart:
    """There are few deployments beside the jobs: who asks for a commit, a branch or an author looks at one by one."""
    name, filters = _list_and_filters(query)
    if query.commit is None and query.branch is None and query.author is None:
        choice = Choice(holds=(_WAITS,)) if query.waits else Choice()
        return ListPart(name, filters=filters, choice=choice, rare=query.waits and query.status is not None)

    async def asked_for(_: int, entries: Sequence[Entry]) -> list[Entry]:
        summaries = load_deployment_summaries([entry["summary"]["S"] for entry in entries])
        return [entry for entry, each in zip(entries, summaries, strict=True) if matches_deployment(query, each)]

    return ListPart(name, filters=filters, keep=asked_for, drops=True, most=ONE_BY_ONE)


def _list_and_filters(query: DeploymentQuery) -> tuple[str, dict[str, str]]:
    """A service has few deployments, a status can have very many: the service's list leaves less to filter."""
    if query.service_name is not None:
        return service_list(query.service_name), {} if query.status is None else {"status": query.status.value}
    return ALL_LIST if query.status is None else status_list(query.status), {}
