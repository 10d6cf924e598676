"""Agents, heartbeats and pools for the tests of their store, and a clock that stands still."""

from typing import Any, Final

from workflows.contracts.agents import Agent, AgentBeat, Pool

NOW: Final = 2_000_000_000_000
"""In 2033: DynamoDB Local removes what has expired by its own clock."""


def make_agent(agent_id: str = "build-1", **changes: Any) -> Agent:
    agent = Agent(agent_id=agent_id, instance="instance-1", pool="default", hostname="host-1", registered_at=NOW)
    return agent.model_copy(update=changes)


def make_beat(agent_id: str = "build-1", **changes: Any) -> AgentBeat:
    beat = AgentBeat(agent_id=agent_id, pool="default", instance="instance-1", sequence=1, received_at=NOW + 1)
    return beat.model_copy(update=changes)


def make_pool(name: str = "default", **changes: Any) -> Pool:
    return Pool(name=name, created_at=NOW, updated_at=NOW).model_copy(update=changes)


class StoppedClock:
    """Epoch milliseconds, as a test sets them."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now
