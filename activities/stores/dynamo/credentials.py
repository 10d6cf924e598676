"""CredentialStore on DynamoDB: a record and an entry in the list of its kind, written together with their events.

The record is updated and never replaced, so that ``last_used_at``, which is kept beside the document, stays.
"""

import builtins
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from activities.stores.cursors import CredentialQuery
from activities.stores.dynamo.client import AwsClients, ConditionFailed
from activities.stores.dynamo.events import RecordEvents, write_with_events
from activities.stores.dynamo.items import Item
from activities.stores.dynamo.listing import Lister
from activities.stores.dynamo.table import (
    CREDENTIAL_IS_NEW,
    IS_THERE,
    RECORD_PLACE,
    REVISION_FOLLOWS,
    TTL_ATTRIBUTE,
    CredentialTables,
    credential_record,
    kind_list,
    list_shard,
    place,
)
from activities.stores.dynamo.transactions import read_item
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.access import Credential, CredentialKind, CredentialPage
from workflows.contracts.audit.events import AuditEvent

_BATCH: Final = 100
"""What one BatchGetItem takes."""
_DAY_SECONDS: Final = 24 * 3600
_AGENTS_KEPT_SECONDS: Final = 7 * _DAY_SECONDS
"""Of agents there are many, and they approve nothing."""
_ATTRIBUTES: Final = ("document", "last_used_at")


class DynamoCredentialStore:
    """CredentialStore on the tables of credentials and events (see ``table``)."""

    def __init__(self, clients: AwsClients, tables: CredentialTables) -> None:
        self._clients, self._tables = clients, tables
        self._lister = Lister(clients, tables.credentials, "credential_id")

    async def put(self, credential: Credential, events: Sequence[AuditEvent]) -> bool:
        """See CredentialStore. Raises ValidationFailed for an event that cannot be kept."""
        kept = credential.model_copy(update={"last_used_at": None})
        writes = _writes(self._tables.credentials, kept, self._clients.settings.keep_sessions)
        new = f"credentials/{credential.credential_id}" if credential.revision == 1 else None
        writing = RecordEvents(self._clients, self._tables.events, events, new_subject=new)

        async def look() -> tuple[None] | None:
            key = _key(credential.credential_id)
            item = await read_item(self._clients, self._tables.credentials, key, "revision")
            present = 0 if item is None else int(item["revision"]["N"])
            return (None,) if present == credential.revision - 1 else None

        what = f"Revision {credential.revision} of credential {credential.credential_id}"
        outcome = await write_with_events(what, None, writing, lambda _: writes, look)
        return outcome is WriteOutcome.APPLIED or await self._is_kept(kept)

    async def get(self, credential_id: str) -> Credential | None:
        """See CredentialStore."""
        item = await read_item(self._clients, self._tables.credentials, _key(credential_id), *_ATTRIBUTES)
        return None if item is None else _load(item)

    async def get_many(self, credential_ids: Sequence[str]) -> builtins.list[Credential]:
        """See CredentialStore."""
        wanted = list(dict.fromkeys(credential_ids))
        found: list[Credential] = []
        for begin in range(0, len(wanted), _BATCH):
            found += await self._batch(wanted[begin : begin + _BATCH])
        return found

    async def touch(self, credential_id: str, at: int) -> None:
        """See CredentialStore."""
        with suppress(ConditionFailed):  # it is gone
            await self._clients.call(
                self._clients.dynamodb.update_item,
                TableName=self._tables.credentials,
                Key=_key(credential_id),
                UpdateExpression="SET last_used_at = :at",
                ConditionExpression=IS_THERE,
                ExpressionAttributeValues={":at": {"N": str(at)}},
            )

    async def list(self, kind: CredentialKind, *, limit: int, cursor: str | None) -> CredentialPage:
        """See CredentialStore."""
        listed = await self._lister.page(CredentialQuery(kind=kind, limit=limit, cursor=cursor), kind_list(kind), {})
        found = {each.credential_id: each for each in await self.get_many(listed.texts)}
        items = [found[each] for each in listed.texts if each in found]  # one that expires goes in two steps
        return CredentialPage(items=items, next_cursor=listed.next_cursor)

    async def _batch(self, credential_ids: Sequence[str]) -> builtins.list[Credential]:
        table, found = self._tables.credentials, builtins.list[Credential]()
        keys: builtins.list[Any] = [_key(each) for each in credential_ids]
        names = {f"#{name}": name for name in _ATTRIBUTES}
        while keys:
            answer = await self._clients.call(
                self._clients.dynamodb.batch_get_item,
                RequestItems={
                    table: {
                        "Keys": keys,
                        "ConsistentRead": True,
                        "ProjectionExpression": ", ".join(names),
                        "ExpressionAttributeNames": names,
                    }
                },
            )
            items: builtins.list[Any] = [*answer.get("Responses", {}).get(table, [])]
            found += [_load(item) for item in items]
            rest: Any = answer.get("UnprocessedKeys", {}).get(table)
            keys = rest["Keys"] if rest else []
        return found

    async def _is_kept(self, credential: Credential) -> bool:
        present = await self.get(credential.credential_id)
        return present is not None and present.model_copy(update={"last_used_at": None}) == credential


def _writes(table: str, credential: Credential, keep_seconds: int) -> list[dict[str, Any]]:
    """The record's update comes first: its condition decides."""
    values: dict[str, Any] = {
        ":document": {"S": credential.model_dump_json()},
        ":revision": {"N": str(credential.revision)},
    }
    until = kept_until(credential, keep_seconds)
    expires = None if until is None else {"N": str(until)}
    expression = "SET #document = :document, #revision = :revision"
    names = {"#document": "document", "#revision": "revision", "#expires": TTL_ATTRIBUTE}
    if expires is None:
        expression += " REMOVE #expires"
    else:
        expression += ", #expires = :expires"
        values[":expires"] = expires
    if credential.revision > 1:
        values[":before"] = {"N": str(credential.revision - 1)}
    record = {
        "TableName": table,
        "Key": _key(credential.credential_id),
        "UpdateExpression": expression,
        "ConditionExpression": CREDENTIAL_IS_NEW if credential.revision == 1 else REVISION_FOLLOWS,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
    entry = {
        "list_shard": {"S": list_shard(kind_list(credential.kind), credential.credential_id)},
        "place": {"S": place(credential.created_at, credential.credential_id)},
        "credential_id": {"S": credential.credential_id},
        **({} if expires is None else {TTL_ATTRIBUTE: expires}),
    }
    return [{"Update": record}, {"Put": {"TableName": table, "Item": entry}}]


def kept_until(credential: Credential, keep_seconds: int) -> int | None:
    """When its record goes, epoch seconds; None while it does not end. ``keep_seconds``: after its end."""
    ends = [each for each in (credential.expires_at, credential.revoked_at) if each is not None]
    kept = _AGENTS_KEPT_SECONDS if credential.kind is CredentialKind.AGENT else keep_seconds
    return min(ends) // 1000 + kept if ends else None


def _key(credential_id: str) -> dict[str, Any]:
    return {"list_shard": {"S": credential_record(credential_id)}, "place": {"S": RECORD_PLACE}}


def _load(item: Item) -> Credential:
    used = item.get("last_used_at")
    credential = Credential.model_validate_json(item["document"]["S"])
    return credential.model_copy(update={"last_used_at": None if used is None else int(used["N"])})
