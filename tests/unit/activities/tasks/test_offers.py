"""Who answers a question now: looked up seldom while somebody does, each time while nobody does."""

from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.deployments.signing import SpecSigner
from activities.events.witness import Witness
from activities.stores.memory.events import MemoryEventStore
from activities.tasks.activities import KNOWN_FOR_MS, TaskActivities
from workflows.contracts.agents import Agent
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.tasks import HeadQuestion, TaskStart

NOW = 1_800_000_000_000
START = TaskStart(
    task_id="t-1",
    pool="linux",
    question=HeadQuestion(git_repo="https://example.com/x.git", git_ref="main", git_commit_sha="a" * 40),
    by="ann",
    via="cli",
)


class Desk:
    """The activities over a pool whose agents the test says."""

    def __init__(self) -> None:
        self.now, self.looked, self.agents = NOW, 0, list[Agent]()
        self.events = MemoryEventStore()
        self.activities = TaskActivities(self._members, self.events, SpecSigner(), lambda: self.now, Witness())

    def an_agent(self, **fields: Any) -> None:
        values = {"agent_id": "a", "instance": "i" * 8, "pool": "linux", "registered_at": self.now, "tasks": ["head"]}
        self.agents = [Agent.model_validate({**values, **fields})]

    async def _members(self, pool: str) -> list[Agent]:
        assert pool == "linux"
        self.looked += 1
        return self.agents

    async def agents_now(self) -> int:
        return (await ActivityEnvironment().run(self.activities.offer_task, START)).agents


async def test_somebody_is_known_for_a_while_and_nobody_is_looked_up_each_time() -> None:
    desk = Desk()
    assert [await desk.agents_now(), await desk.agents_now()] == [0, 0]
    assert desk.looked == 2
    desk.an_agent()
    assert [await desk.agents_now(), await desk.agents_now()] == [1, 1]
    assert desk.looked == 3
    desk.now += KNOWN_FOR_MS
    desk.an_agent(via="http")
    assert await desk.agents_now() == 0


async def test_an_agent_that_is_lost_drains_or_answers_others_counts_for_none() -> None:
    for fields in (
        {"registered_at": NOW - 60_000},
        {"draining": True},
        {"tasks": ["metric"]},
        {"deregistered_at": NOW},
    ):
        desk = Desk()
        desk.an_agent(**fields)
        assert await desk.agents_now() == 0, fields


async def test_the_same_task_stands_in_the_trail_once() -> None:
    desk = Desk()
    for _ in range(2):
        await desk.agents_now()
    (event,) = (await desk.events.list(EventQuery())).items
    assert (event.action, event.pool, event.details["question"]["git_ref"]) == ("task.asked", "linux", "main")
