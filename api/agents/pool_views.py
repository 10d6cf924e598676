"""Pools in numbers: what waits (Temporal counts it), who is there, and how many agents there should be.

A view is a second or two old at most, however many ask; a pool that is known only by the jobs that wait in it is found
within ``WAITED_FOR_SECONDS`` or twice that. Deliberately not here: the formula (``capacity``) and who
starts and stops agents (a scaler).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from activities.bounded import gather_bounded
from activities.clock import Clock
from activities.jobs.readers import JobReader
from api.agents.capacity import Load, desired_agents, desired_slots, slots_of, slots_per_agent
from api.agents.heartbeats import Heartbeats
from api.agents.roster import Roster
from api.http.cached import Cached
from api.temporal.task_queues import Backlog
from workflows.contracts.agents import Agent, AgentStatus, Pool, PoolBounds, PoolView, RequirementDemand
from workflows.contracts.errors import NotFound
from workflows.contracts.ids import pool_queue
from workflows.contracts.labels import unmet
from workflows.contracts.records import JobQuery
from workflows.contracts.statuses import JobStatus, Priority

logger = logging.getLogger(__name__)

VIEW_SECONDS: Final = 1.0
_AVERAGE_SECONDS: Final = 60.0
_SAMPLES: Final = 50
WAITED_FOR_SECONDS: Final = 5.0
_QUEUED_PAGES: Final = 5
"""So many pages of 100 queued jobs, the newest first, are looked at for pools without a record."""
_ALL: Final = ""
_FEWEST_SAMPLES: Final = 3
_PRIORITIES: Final = {priority.key: priority.value for priority in Priority}


class PoolQueues(Protocol):
    """What is needed of ``TaskQueues``."""

    async def backlog(self, queue: str) -> Backlog:
        """What waits in a queue. Raises Unavailable."""
        ...


class PoolRegistry(Protocol):
    """What is needed of ``AgentRegistry``. Every method raises Unavailable."""

    async def pool(self, name: str) -> Pool:
        """The record. Raises NotFound for a pool of which nothing was ever said."""
        ...

    async def pools(self) -> Sequence[Pool]:
        """All, by name."""
        ...


class PoolReader:
    """For one event loop. Every method raises Unavailable when the store or Temporal does not answer."""

    def __init__(
        self,
        registry: PoolRegistry,
        roster: Roster,
        heartbeats: Heartbeats,
        jobs: JobReader,
        queues: Callable[[], PoolQueues],
        *,
        clock: Clock,
        view_seconds: float = VIEW_SECONDS,
        waited_for_seconds: float = WAITED_FOR_SECONDS,
    ) -> None:
        self._registry, self._roster, self._heartbeats = registry, roster, heartbeats
        self._jobs, self._queues, self._clock = jobs, queues, clock
        self._views = Cached(self._read, view_seconds)
        self._averages = Cached(self._average, _AVERAGE_SECONDS)
        self._waited_for = Cached(self._pools_waited_for, waited_for_seconds)

    async def view(self, name: str) -> PoolView:
        """The pool as it is. Raises NotFound for one that has no record, no agent and no job that waits."""
        view = await self._views.get(name)
        if not view.agents and not view.waiting and await self._record(name) is None:
            raise NotFound(
                f"There is no pool {name}: no agent ever registered for it and no job waits in it. Start an agent with"
                f" `hybridci agent --pool {name}`, or set its bounds with `hybridci pool scale {name} --max 4`."
            )
        return view

    async def views(self) -> list[PoolView]:
        """All pools that have a record, and those of the newest queued jobs that have none but jobs; by name."""
        pools, waited_for = await asyncio.gather(self._registry.pools(), self._waited_for.get(_ALL))
        recorded = {pool.name for pool in pools}
        found = await gather_bounded(self._views.get, sorted(recorded | waited_for))
        for each in found:
            if isinstance(each, Exception):
                raise each
        views = [each for each in found if isinstance(each, PoolView)]
        return [each for each in views if each.name in recorded or each.waiting]

    async def agents(self, name: str) -> list[Agent]:
        """All agents of a pool with their newest heartbeats."""
        return [self._heartbeats.seen(agent) for agent in await self._roster.agents(name)]

    def changed(self, name: str) -> None:
        """Something of the pool was changed here: the next view is read anew."""
        self._views.forget(name)

    async def _read(self, name: str) -> PoolView:
        agents, demands, pool, average = await asyncio.gather(
            self.agents(name), self._roster.demands(name), self._record(name), self._averages.get(name)
        )
        backlogs = await _together(
            [self._queues().backlog(pool_queue(name, requires)) for requires in _queues_of(demands.items)]
        )
        return pool_view(name, pool, agents, demands.items, backlogs, average, self._clock())

    async def _pools_waited_for(self, _all: str) -> set[str]:
        """Nobody writes a record for a pool that no agent registered for: only its jobs tell of it."""
        names, cursor = set[str](), None
        for _ in range(_QUEUED_PAGES):
            page = await self._jobs.list(JobQuery(status=JobStatus.QUEUED, limit=100, cursor=cursor))
            names |= {job.pool for job in page.items}
            cursor = page.next_cursor
            if cursor is None:
                break
        return names

    async def _record(self, name: str) -> Pool | None:
        try:
            return await self._registry.pool(name)
        except NotFound:
            return None

    async def _average(self, name: str) -> float | None:
        """What a job of this pool took lately, in seconds; without enough of them, what any job took."""
        query = JobQuery(status=JobStatus.SUCCESS, pool=name, limit=_SAMPLES)
        took = [job.duration_seconds for job in (await self._jobs.list(query)).items]
        known = [seconds for seconds in took if seconds is not None]
        if len(known) >= _FEWEST_SAMPLES:
            return sum(known) / len(known)
        return (await self._jobs.queue_stats()).avg_execution_seconds


def pool_view(
    name: str,
    pool: Pool | None,
    agents: Sequence[Agent],
    demands: Sequence[RequirementDemand],
    backlogs: Sequence[Backlog],
    average: float | None,
    now: int,
) -> PoolView:
    """Put together. ``backlogs``: of the pool's own queue, then of each demand's. Pure.

    Jobs that no agent there can take ask for no more agents of the same kind; without any agent nobody knows.
    """
    connected = [agent for agent in agents if agent.status(now) is not AgentStatus.OFFLINE]
    seen = [_seen(demand, backlog, connected) for demand, backlog in zip(demands, backlogs[1:], strict=True)]
    meetable = [
        backlog
        for backlog, demand in zip(backlogs, [None, *seen], strict=True)
        if demand is None or demand.agents or not connected
    ]
    slots, waiting = slots_of(connected, now), sum(backlog.waiting for backlog in backlogs)
    load = Load(
        waiting=sum(backlog.waiting for backlog in meetable),
        busy=slots.busy,
        oldest_wait_seconds=max((backlog.oldest_wait_seconds for backlog in meetable), default=0),
        average_seconds=average,
    )
    bounds = (pool.bounds if pool is not None else None) or PoolBounds()
    wanted = desired_slots(load, bounds.target_wait_seconds)
    return PoolView(
        name=name,
        depth=_depth(backlogs),
        waiting=waiting,
        oldest_wait_seconds=round(max((backlog.oldest_wait_seconds for backlog in backlogs), default=0), 1),
        agents=dict(Counter(str(agent.status(now)) for agent in agents)),
        slots=slots.total,
        busy=slots.busy,
        free=slots.free,
        desired_agents=desired_agents(wanted, slots_per_agent(connected or agents, bounds), bounds),
        desired_slots=wanted,
        bounds=bounds,
        bounded=pool is not None and pool.bounds is not None,
        demands=seen,
        public_keys=pool.public_keys if pool is not None else [],
        sealing_keys=pool.sealing_keys if pool is not None else [],
    )


def _seen(demand: RequirementDemand, backlog: Backlog, connected: Sequence[Agent]) -> RequirementDemand:
    able = sum(not unmet(agent.labels, demand.requires) for agent in connected)
    return demand.model_copy(update={"waiting": backlog.waiting, "agents": able})


def _queues_of(demands: Sequence[RequirementDemand]) -> list[list[str]]:
    return [[], *(demand.requires for demand in demands)]


def _depth(backlogs: Sequence[Backlog]) -> dict[str, int]:
    """Every priority has a number, so that a graph has no gaps."""
    depth = dict.fromkeys(_PRIORITIES.values(), 0)
    for backlog in backlogs:
        for key, count in backlog.by_priority.items():
            depth[_PRIORITIES.get(key, Priority.NORMAL.value)] += count
    return depth


async def _together(backlogs: Sequence[Awaitable[Backlog]]) -> list[Backlog]:
    return list(await asyncio.gather(*backlogs))
