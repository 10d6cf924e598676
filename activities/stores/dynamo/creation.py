"""Creating the tables. Deliberately not here: which there are, and their keys (``table``)."""

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from activities.stores.dynamo.client import AwsClients, Exists, Missing
from activities.stores.dynamo.job_index import ensure_marks
from activities.stores.dynamo.table import TTL_ATTRIBUTE, JobTables, Keys, Tables, expiring, keys_of
from workflows.contracts.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import CreateTableInputTypeDef, TimeToLiveSpecificationTypeDef

_ACTIVE_SECONDS: Final = 60


async def create_tables(clients: AwsClients, tables: Tables) -> None:
    """Create the tables that are missing and wait until all can be used. Repeatable, also at the same time.

    Raises Unavailable, also when a table of this name has other keys.
    """
    await asyncio.gather(*(_create(clients, _definition(name, keys)) for name, keys in keys_of(tables).items()))
    await _expire(clients, expiring(tables))
    if isinstance(tables, JobTables):
        await ensure_marks(clients, tables.job_lists)


def _definition(name: str, keys: Keys) -> "CreateTableInputTypeDef":
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": kind} for key, kind in keys.items()],
        "KeySchema": [
            {"AttributeName": key, "KeyType": "HASH" if number == 0 else "RANGE"} for number, key in enumerate(keys)
        ],
    }


async def _create(clients: AwsClients, wanted: "CreateTableInputTypeDef") -> None:
    name = wanted["TableName"]
    keys = [key["AttributeName"] for key in wanted.get("KeySchema", [])]
    deadline = time.monotonic() + _ACTIVE_SECONDS
    while True:
        try:
            table = (await clients.call(clients.dynamodb.describe_table, TableName=name))["Table"]
        except Missing:
            with suppress(Exists):  # another process was faster; the next round waits for its table
                await clients.call(clients.dynamodb.create_table, **wanted)
            continue
        if keys != [key["AttributeName"] for key in table.get("KeySchema", [])]:
            raise Unavailable(
                f"Table {name} exists with other keys than {keys}: it is something else's. Give this installation "
                "table names of its own (the settings DYNAMODB_TABLE_*)."
            )
        if table.get("TableStatus") == "ACTIVE":
            return
        if time.monotonic() > deadline:
            raise Unavailable(f"Table {name} is not active after {_ACTIVE_SECONDS} s: look at it in the AWS console.")
        await asyncio.sleep(0.1)


async def _expire(clients: AwsClients, table: str) -> None:
    """Switch expiry on. Asking for it twice is an error on AWS, so look first, and again when somebody was faster."""
    if await _expires(clients, table):
        return
    specification: TimeToLiveSpecificationTypeDef = {"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
    try:
        await clients.call(clients.dynamodb.update_time_to_live, TableName=table, TimeToLiveSpecification=specification)
    except Exception:
        if not await _expires(clients, table):
            raise


async def _expires(clients: AwsClients, table: str) -> bool:
    answer = await clients.call(clients.dynamodb.describe_time_to_live, TableName=table)
    return answer["TimeToLiveDescription"].get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
