"""A history of commits, and an agent that answers for it: what the tests of the order of commits share."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from temporalio import activity
from temporalio.worker import Worker

from activities.clock import epoch_millis
from tests.workflows.deployment_harness import Deploys
from workflows.contracts.agents import Agent
from workflows.contracts.deployments.bans import BanCommand, LiftBan
from workflows.contracts.ids import tasks_queue
from workflows.contracts.tasks import AncestryAnswer, AncestryQuestion, TaskInput, TaskOutcome, TaskReport


def sha(name: str) -> str:
    """A commit's whole id."""
    return uuid.uuid5(uuid.NAMESPACE_URL, name).hex.ljust(40, "0")


class Commits:
    """Each commit with its parents, by name; ``known`` are those that the agent can fetch. ``asked``: how often."""

    def __init__(self, **parents: str) -> None:
        self.parents = {sha(name): [sha(each) for each in given.split()] for name, given in parents.items()}
        self.asked = 0
        self.complete = True
        self.silent = False

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        heads, seen = [descendant], set[str]()
        while heads:
            head = heads.pop()
            if head == ancestor:
                return True
            seen.add(head)
            heads += [each for each in self.parents.get(head, []) if each not in seen]
        return False

    def report(self, task: TaskInput) -> TaskReport:
        question = task.question
        assert isinstance(question, AncestryQuestion)
        self.asked += 1
        if not {question.ancestor, question.descendant} <= self.parents.keys():
            return TaskReport(
                task_id=task.task_id,
                agent_id="agent-1",
                outcome=TaskOutcome.FAILED,
                cause="unknown_commit",
                message="no such commit",
            )
        yes = self.is_ancestor(question.ancestor, question.descendant)
        answer = AncestryAnswer(is_ancestor=yes, complete=self.complete)
        return TaskReport(task_id=task.task_id, agent_id="agent-1", outcome=TaskOutcome.ANSWERED, answer=answer)


@asynccontextmanager
async def agent_for(deploys: Deploys, commits: Commits) -> AsyncGenerator[None]:
    """A registered agent of the harness's pool that answers for these commits."""

    class Answering:
        @activity.defn(name="run_task")
        async def run_task(self, task: TaskInput) -> TaskReport:
            while commits.silent:
                activity.heartbeat()
                await asyncio.sleep(0.2)
            return commits.report(task)

    agent = Agent(
        agent_id=f"agent-{deploys.name}", instance="i" * 8, pool=deploys.pool, tasks=["ancestry"],
        registered_at=epoch_millis() + 3_600_000,
    )  # fmt: skip
    assert await deploys.stores.agents.put(agent, [])
    async with Worker(deploys.client, task_queue=tasks_queue(deploys.pool), activities=[Answering().run_task]):
        yield


async def ban(deploys: Deploys, version: str | None = None, commit: str | None = None, by: str = "bob") -> None:
    """As an operator does."""
    await deploys.releases.ban(
        BanCommand(name=deploys.name, version=version, git_commit_sha=commit, reason="loses orders", by=by)
    )


async def unban(deploys: Deploys, version: str) -> None:
    """Likewise."""
    await deploys.releases.lift_ban(LiftBan(name=deploys.name, version=version, reason="it was the network", by="bob"))
