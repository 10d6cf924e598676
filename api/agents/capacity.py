"""How many slots and agents a pool should have. Pure.

Deliberately not here: where the numbers come from (``pool_views``), who starts and stops agents (a scaler).
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from workflows.contracts.agents import Agent, AgentStatus, PoolBounds


@dataclass(frozen=True, slots=True)
class Load:
    """What a pool has to do: jobs that wait and run, and what one takes (None: never measured). Seconds."""

    waiting: int
    busy: int
    oldest_wait_seconds: float = 0
    average_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class SlotCount:
    """What the live agents of a pool offer. ``free`` counts only those that take new jobs."""

    total: int = 0
    busy: int = 0
    free: int = 0


def slots_of(agents: Sequence[Agent], now: int) -> SlotCount:
    """The slots of agents that take new jobs, and all that run; a draining agent's slots are gone already."""
    alive = [agent for agent in agents if agent.status(now) is not AgentStatus.OFFLINE]
    accepting = [agent for agent in alive if agent.accepts(now)]
    return SlotCount(
        total=sum(agent.capacity for agent in accepting),
        busy=sum(running(agent) for agent in alive),
        free=sum(max(0, agent.capacity - running(agent)) for agent in accepting),
    )


def running(agent: Agent) -> int:
    """How many jobs it said that it runs."""
    return len(agent.beat.running) if agent.beat is not None else 0


def desired_slots(load: Load, target_wait_seconds: int) -> int:
    """Enough for what runs, and for the queue to be started within the wait target.

    Never more than there are jobs. When the oldest job's time is running out, the rest of it counts, but never less
    than half the target: a long queue of short jobs must not ask for a slot for each.
    """
    if not load.waiting:
        return load.busy
    if load.average_seconds is None:
        return load.busy + load.waiting
    left = max(target_wait_seconds - load.oldest_wait_seconds, target_wait_seconds / 2)
    more = math.ceil(load.waiting * load.average_seconds / left)
    return load.busy + min(load.waiting, max(1, more))


def desired_agents(slots: int, per_agent: int, bounds: PoolBounds) -> int:
    """How many agents offer so many slots, inside the bounds; the upper one wins."""
    return min(max(math.ceil(slots / per_agent), bounds.min_agents), bounds.max_agents)


def slots_per_agent(agents: Sequence[Agent], bounds: PoolBounds) -> int:
    """What one more agent would offer: as the bounds say, else as most of those that are known offer, else one."""
    if bounds.slots_per_agent is not None:
        return bounds.slots_per_agent
    offers = Counter(agent.capacity for agent in agents)
    return offers.most_common(1)[0][0] if offers else 1
