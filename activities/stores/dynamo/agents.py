"""AgentStore on DynamoDB: an agent's record is one transaction, heartbeats go in batches, a pool is read as a whole.

Deliberately not here: the requests of many items (``batches``) and what a registration or a demand means (links).
"""

import asyncio
import builtins
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter

from activities.clock import Clock, epoch_millis
from activities.stores.cursors import Positions, decode_cursor, encode_cursor
from activities.stores.dynamo.batches import get_batch, put_batch, query_all, query_some
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.demands import DynamoDemands
from activities.stores.dynamo.events import RecordEvents, write_with_events
from activities.stores.dynamo.items import Item, is_new
from activities.stores.dynamo.table import (
    AGENT_FOLLOWS,
    AGENT_IS_NEW,
    ALL_LIST,
    LIST_SHARDS,
    POOL_IS_NEW,
    POOLS_LIST,
    RECORD_PLACE,
    REVISION_FOLLOWS,
    TTL_ATTRIBUTE,
    AgentTables,
    agent_record,
    beat_list,
    list_shard,
    partition,
    pool_list,
)
from activities.stores.dynamo.transactions import Guess, read_item, transact, write_in_order
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.agents import Agent, AgentBeat, AgentPage, AgentQuery, Pool, RequirementDemand
from workflows.contracts.audit.events import AuditEvent

T = TypeVar("T")

_BEAT_SECONDS: Final = 7 * 24 * 3600
"""So long the last heartbeat of an agent that is silent is kept: as long as its record."""
_PLACED: Final = ("place", "document")
_AGENTS: Final = TypeAdapter(list[Agent])
_BEATS: Final = TypeAdapter(list[AgentBeat])
_POOLS: Final = TypeAdapter(list[Pool])


class DynamoAgentStore:
    """AgentStore on the tables of agents and events (see ``table``). ``clock``: which demands are too old."""

    def __init__(self, clients: AwsClients, tables: AgentTables, clock: Clock = epoch_millis) -> None:
        self._clients, self._tables = clients, tables
        self._demands = DynamoDemands(clients, tables.agents, clock)

    async def put(self, agent: Agent, events: Sequence[AuditEvent]) -> bool:
        """See AgentStore. Raises ValidationFailed for an event that cannot be kept."""
        agent = agent.model_copy(update={"beat": None})
        items = AgentItems(self._tables.agents, agent)

        async def look() -> tuple[str | None] | None:
            item = await self._record(agent.agent_id, "revision", "pool")
            present = 0 if item is None else int(item["revision"]["N"])
            if present != agent.revision - 1:
                return None
            return (None if item is None else str(item["pool"]["S"]),)

        writing = RecordEvents(self._clients, self._tables.events, events)
        guess = None if agent.revision == 1 else agent.pool
        what = f"Agent {agent.agent_id}"
        outcome = await write_with_events(what, guess, writing, items.put, look)
        return outcome is WriteOutcome.APPLIED or await self._stored(agent.agent_id) == agent

    async def get(self, agent_id: str) -> Agent | None:
        """See AgentStore."""
        agent = await self._stored(agent_id)
        return None if agent is None else (await self._with_beats([agent]))[0]

    async def of_pool(self, pool: str) -> builtins.list[Agent]:
        """See AgentStore. All shards of records and of heartbeats at once."""
        names = [partition(name, shard) for name in (pool_list(pool), beat_list(pool)) for shard in range(LIST_SHARDS)]
        found = await asyncio.gather(*(self._documents(name) for name in names))
        agents = _load(_AGENTS, (item for items in found[:LIST_SHARDS] for item in items))
        return _joined(agents, _load(_BEATS, (item for items in found[LIST_SHARDS:] for item in items)))

    async def beat(self, beats: Sequence[AgentBeat]) -> None:
        """See AgentStore."""
        await put_batch(self._clients, self._tables.agents, [_beat_item(beat) for beat in beats])

    async def forget(self, agent_id: str, revision: int | None = None) -> None:
        """See AgentStore."""

        async def look() -> Guess[tuple[str, int]] | None:
            item = await self._record(agent_id, "revision", "pool")
            if item is None or revision not in {None, int(item["revision"]["N"])}:
                return None
            return Guess((str(item["pool"]["S"]), int(item["revision"]["N"])))

        guess = await look()
        if guess is not None:
            table = self._tables.agents

            async def send(guess: Guess[tuple[str, int]]) -> None:
                await transact(self._clients, _removal(table, agent_id, guess.before))

            await write_in_order(f"Agent {agent_id}", guess, send, look)

    async def put_pool(self, pool: Pool, events: Sequence[AuditEvent]) -> bool:
        """See AgentStore. Raises ValidationFailed for an event that cannot be kept."""
        item = {
            **_key(POOLS_LIST, pool.name),
            "revision": {"N": str(pool.revision)},
            "document": {"S": pool.model_dump_json()},
        }
        condition = is_new(POOL_IS_NEW) if pool.revision == 1 else _follows(REVISION_FOLLOWS, pool.revision)
        put = {"Put": {"TableName": self._tables.agents, "Item": item, **condition}}

        async def look() -> tuple[None] | None:
            present = await read_item(self._clients, self._tables.agents, _key(POOLS_LIST, pool.name), "revision")
            return (None,) if (int(present["revision"]["N"]) if present else 0) == pool.revision - 1 else None

        writing = RecordEvents(self._clients, self._tables.events, events)
        outcome = await write_with_events(f"Pool {pool.name}", None, writing, lambda _: [put], look)
        return outcome is WriteOutcome.APPLIED or await self.pool(pool.name) == pool

    async def pool(self, name: str) -> Pool | None:
        """See AgentStore."""
        item = await read_item(self._clients, self._tables.agents, _key(POOLS_LIST, name), "document")
        return None if item is None else Pool.model_validate_json(item["document"]["S"])

    async def pools(self) -> builtins.list[Pool]:
        """See AgentStore."""
        return _load(_POOLS, await self._documents(POOLS_LIST))

    async def demand(self, pool: str, requires: Sequence[str], at: int) -> None:
        """See AgentStore."""
        await self._demands.note(pool, requires, at)

    async def demands(self, pool: str) -> builtins.list[RequirementDemand]:
        """See AgentStore."""
        return await self._demands.latest(pool)

    async def list(self, query: AgentQuery) -> AgentPage:
        """See AgentStore. Each shard is asked for a whole page, since any of them may hold all of it."""
        after = decode_cursor(query).shards.get(0)
        behind = after[1] if after else " "  # a key is never empty, and no id begins with a space
        name = ALL_LIST if query.pool is None else pool_list(query.pool)
        parts = [
            query_some(
                self._clients,
                self._tables.agents,
                partition(name, shard),
                *_PLACED,
                behind=behind,
                count=query.limit + 1,
            )
            for shard in range(LIST_SHARDS)
        ]
        found = [item for items in await asyncio.gather(*parts) for item in items]
        found.sort(key=lambda item: item["place"]["S"])
        page = await self._with_beats(_load(_AGENTS, found[: query.limit]))
        more = len(found) > query.limit
        return AgentPage(
            items=page, next_cursor=encode_cursor(query, Positions({0: (0, page[-1].agent_id)}, 0)) if more else None
        )

    async def _documents(self, list_shard: str) -> Sequence[Item]:
        return await query_all(self._clients, self._tables.agents, list_shard, "document")

    async def _record(self, agent_id: str, *attributes: str) -> Item | None:
        key = _key(agent_record(agent_id), RECORD_PLACE)
        return await read_item(self._clients, self._tables.agents, key, *attributes)

    async def _stored(self, agent_id: str) -> Agent | None:
        item = await self._record(agent_id, "document")
        return None if item is None else Agent.model_validate_json(item["document"]["S"])

    async def _with_beats(self, agents: Sequence[Agent]) -> builtins.list[Agent]:
        keys = [_member_key(beat_list(agent.pool), agent.agent_id) for agent in agents]
        return _joined(agents, _load(_BEATS, await get_batch(self._clients, self._tables.agents, keys)))


class AgentItems:
    """The actions that store one record, depending on the pool that the stored one is in."""

    def __init__(self, table: str, agent: Agent) -> None:
        self._table, self._agent = table, agent
        self._document = {"document": {"S": agent.model_dump_json()}}

    def put(self, before: str | None) -> builtins.list[dict[str, Any]]:
        """What ``TransactItems`` takes. The record's Put comes first: its condition decides."""
        agent = self._agent
        record = {
            **_key(agent_record(agent.agent_id), RECORD_PLACE),
            "revision": {"N": str(agent.revision)},
            "pool": {"S": agent.pool},
            **self._document,
        }
        condition = is_new(AGENT_IS_NEW) if before is None else _follows(AGENT_FOLLOWS, agent.revision, before)
        actions = [{"Put": {"TableName": self._table, "Item": record, **condition}}]
        for name in (ALL_LIST, pool_list(agent.pool)):
            entry = {**_member_key(name, agent.agent_id), **self._document}
            actions.append({"Put": {"TableName": self._table, "Item": entry}})
        if before not in {None, agent.pool}:
            actions += _removals(self._table, agent.agent_id, str(before))
        return actions


def _removal(table: str, agent_id: str, found: tuple[str, int] | None) -> list[dict[str, Any]]:
    if found is None:
        return []
    pool, revision = found
    record = {"TableName": table, "Key": _key(agent_record(agent_id), RECORD_PLACE)}
    listed = {"TableName": table, "Key": _member_key(ALL_LIST, agent_id)}
    condition = _follows(AGENT_FOLLOWS, revision + 1, pool)
    return [{"Delete": {**record, **condition}}, {"Delete": listed}, *_removals(table, agent_id, pool)]


def _removals(table: str, agent_id: str, pool: str) -> list[dict[str, Any]]:
    """Out of the lists of a pool."""
    keys = [_member_key(name, agent_id) for name in (pool_list(pool), beat_list(pool))]
    return [{"Delete": {"TableName": table, "Key": key}} for key in keys]


def _follows(condition: str, revision: int, pool: str | None = None) -> dict[str, Any]:
    names, values = {"#revision": "revision"}, {":before": {"N": str(revision - 1)}}
    if pool is not None:
        names["#pool"], values[":pool"] = "pool", {"S": pool}
    return {
        "ConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def _beat_item(beat: AgentBeat) -> dict[str, Any]:
    return {
        **_member_key(beat_list(beat.pool), beat.agent_id),
        "document": {"S": beat.model_dump_json(exclude_defaults=True)},
        TTL_ATTRIBUTE: {"N": str(beat.received_at // 1000 + _BEAT_SECONDS)},
    }


def _member_key(name: str, agent_id: str) -> dict[str, Any]:
    return _key(list_shard(name, agent_id), agent_id)


def _key(name: str, place: str) -> dict[str, Any]:
    return {"list_shard": {"S": name}, "place": {"S": place}}


def _load(kind: TypeAdapter[list[T]], items: Iterable[Mapping[str, Any]]) -> list[T]:
    """Parsed at once: a tenth of the cost of one by one."""
    return kind.validate_json(f"[{','.join(item['document']['S'] for item in items)}]")


def _joined(agents: Iterable[Agent], beats: Iterable[AgentBeat]) -> list[Agent]:
    """By id, each with its heartbeat, if there is one."""
    last = {beat.agent_id: beat for beat in beats}
    joined = [agent.model_copy(update={"beat": last.get(agent.agent_id)}) for agent in agents]
    return sorted(joined, key=lambda agent: agent.agent_id)
