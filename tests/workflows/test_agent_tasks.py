"""A question to a pool's agents on a real Temporal, with scripted agents: who is asked, what of an answer counts."""

import asyncio
import base64
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nacl.signing import SigningKey
from pydantic import SecretStr
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

from activities.bootstrap import build_activities
from activities.clock import epoch_millis
from activities.deployments.signing import SpecSigner
from activities.sandbox import LeanSandbox
from activities.settings import ApprovalSettings
from activities.stores.open import Stores, open_memory_stores
from tests.workflows.conftest import keep_history
from workflows.client.proving import Prover
from workflows.client.tasks import TaskClient
from workflows.contracts.agents import Agent
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.errors import NotFound
from workflows.contracts.ids import CONTROL_QUEUE, task_workflow_id, tasks_queue
from workflows.contracts.tasks import (
    MAX_ANSWER_BYTES,
    AncestryAnswer,
    AncestryQuestion,
    CommitsAnswer,
    CommitsQuestion,
    CommitTime,
    HeadAnswer,
    HeadQuestion,
    Question,
    ReadyAnswer,
    ReadyQuestion,
    TaskInput,
    TaskOutcome,
    TaskReport,
    TaskResult,
    TaskStart,
    signed_bytes,
)
from workflows.task.workflow import AgentTaskWorkflow

REPO = "https://example.com/shop.git"
ANCESTRY = AncestryQuestion(git_repo=REPO, ancestor="a" * 40, descendant="b" * 40)
YES = AncestryAnswer(is_ancestor=True, complete=True)
KEY = SigningKey(b"k" * 32)
SECRET = "a secret that the API and the control worker share"
Script = Callable[[TaskInput], Awaitable[Any]]


@workflow.defn(sandboxed=False)
class Guard:
    """A part of the control plane that needs to know something."""

    @workflow.run
    async def run(self, start: TaskStart) -> TaskResult:
        workflow_id = task_workflow_id(start.pool, start.task_id)
        return await workflow.execute_child_workflow(AgentTaskWorkflow.run, start, id=workflow_id)


class Asked:
    """A control worker, a pool of its own, and its agents."""

    def __init__(self, client: Client, request: pytest.FixtureRequest) -> None:
        self.client, self._request = client, request
        self.stores: Stores = open_memory_stores()
        self.pool = f"pool-{uuid.uuid4().hex[:10]}"
        self.tasks = TaskClient(client, Prover(SECRET.encode()))
        self.given: list[TaskInput] = []
        self._names: list[str] = []

    async def register(self, agent_id: str = "agent-1", **fields: Any) -> None:
        values = {
            "agent_id": agent_id,
            "instance": "i" * 8,
            "pool": self.pool,
            "tasks": ["ancestry", "commits", "head", "ready"],
            "registered_at": epoch_millis(),
        }
        agent = Agent.model_validate({**values, **fields})
        assert await self.stores.agents.put(agent, [])

    @asynccontextmanager
    async def answering(self, script: Script) -> AsyncGenerator[None]:
        given = self.given

        class Answering:
            @activity.defn(name="run_task")
            async def run_task(self, task: TaskInput) -> Any:
                given.append(task)
                return await script(task)

        async with Worker(self.client, task_queue=tasks_queue(self.pool), activities=[Answering().run_task]):
            yield

    def start(self, question: Question = ANCESTRY, **fields: Any) -> TaskStart:
        values = {"task_id": str(uuid.uuid4()), "pool": self.pool, "question": question, "by": "ann", "via": "api"}
        return TaskStart.model_validate({**values, **fields})

    async def ask(self, question: Question = ANCESTRY, *, keep: str | None = None, **fields: Any) -> TaskResult:
        start = self.start(question, **fields)
        await self.tasks.ask(start)
        result = await self.tasks.result(start.pool, start.task_id, within=30)
        assert result is not None
        if keep is not None:
            await keep_history(self._request, self.client, task_workflow_id(start.pool, start.task_id), keep)
        return result


@pytest.fixture
async def asked(temporal_client: Client, request: pytest.FixtureRequest) -> AsyncIterator[Asked]:
    asked = Asked(temporal_client, request)
    settings = ApprovalSettings(signing_key=SecretStr(SECRET))
    activities = build_activities(asked.stores, temporal_client, signer=SpecSigner(KEY), approvals=settings).all()
    async with Worker(
        temporal_client,
        task_queue=CONTROL_QUEUE,
        workflows=[AgentTaskWorkflow, Guard],
        activities=activities,
        workflow_runner=LeanSandbox(),
    ):
        yield asked


def report(task: TaskInput, answer: Any = YES, **fields: Any) -> TaskReport:
    values = {"task_id": task.task_id, "agent_id": "agent-1", "outcome": "answered", "answer": answer}
    return TaskReport.model_validate({**values, **fields})


async def yes(task: TaskInput) -> TaskReport:
    return report(task)


async def test_an_answer_reaches_whoever_asked_signed_on_its_way_and_kept_in_the_trail(asked: Asked) -> None:
    await asked.register()
    async with asked.answering(yes):
        result = await asked.ask(keep="task-answered")
    assert (result.outcome, result.agent_id, result.answer) == (TaskOutcome.ANSWERED, "agent-1", YES)
    (given,) = asked.given
    assert given.question == ANCESTRY
    assert given.signature is not None
    assert given.signature.service == ""
    KEY.verify_key.verify(signed_bytes(given, given.signature), _raw(given.signature.signature))
    (event,) = (await asked.stores.events.list(EventQuery(action="task."))).items
    assert (event.action, event.by, event.pool, event.via) == ("task.asked", "ann", asked.pool, "api")
    assert event.details["question"]["ancestor"] == "a" * 40


async def test_where_nobody_answers_such_questions_it_is_told_at_once_and_nobody_is_asked(asked: Asked) -> None:
    """An agent of an earlier version, one over HTTP, one that is paused, one that answers others only."""
    await asked.register("old", tasks=[])
    await asked.register("http", via="http")
    await asked.register("paused", paused_at=1, paused_until=0)
    await asked.register("narrow", tasks=["metric"])
    async with asked.answering(yes):
        result = await asyncio.wait_for(asked.ask(seconds=120, keep="task-not_offered"), 60)
    assert result.outcome is TaskOutcome.NOT_OFFERED
    assert asked.pool in result.message
    assert asked.given == []


async def test_a_lost_agent_is_replaced_by_another_one(asked: Asked) -> None:
    await asked.register()

    async def dies_first(task: TaskInput) -> TaskReport:
        if len(asked.given) == 1:
            raise RuntimeError("the agent is killed")
        return report(task, agent_id="agent-2")

    async with asked.answering(dies_first):
        result = await asked.ask(keep="task-asked_again")
    assert (result.outcome, result.agent_id, len(asked.given)) == (TaskOutcome.ANSWERED, "agent-2", 2)


async def test_an_agent_that_does_not_answer_such_questions_leaves_it_to_another_one(asked: Asked) -> None:
    await asked.register()

    async def declines_first(task: TaskInput) -> TaskReport:
        if len(asked.given) == 1:
            return report(task, None, outcome="not_offered", cause="unknown_kind")
        return report(task)

    async with asked.answering(declines_first):
        assert (await asked.ask(keep="task-declined")).outcome is TaskOutcome.ANSWERED
    asked.given.clear()

    async def declines(task: TaskInput) -> TaskReport:
        return report(task, None, outcome="not_offered", cause="unknown_kind", message="none here")

    async with asked.answering(declines):
        result = await asked.ask()
    assert (result.outcome, result.message) == (TaskOutcome.NOT_OFFERED, "none here")
    assert len(asked.given) == 5


HEAD = HeadQuestion(git_repo=REPO, git_ref="main", git_commit_sha="a" * 40)
COMMITS = CommitsQuestion(git_repo=REPO, older="a" * 40, newer="b" * 40, limit=1)
READY = ReadyQuestion(git_repo=REPO, git_commit_sha="a" * 40, artifact="img")
COMMIT = CommitTime(sha="c" * 40, committed_at=1)
ODD: dict[str, tuple[Question, Callable[[TaskInput], Any]]] = {
    "nothing": (ANCESTRY, lambda task: None),
    "no report": (ANCESTRY, lambda task: {"hello": 1}),
    "a number": (ANCESTRY, lambda task: 7),
    "another task's": (ANCESTRY, lambda task: report(task, task_id="other")),
    "another kind": (ANCESTRY, lambda task: report(task, HeadAnswer(head=None, is_head=False))),
    "too large": (ANCESTRY, lambda task: "x" * (MAX_ANSWER_BYTES + 1)),
    "answered without answer": (ANCESTRY, lambda task: {**report(task).model_dump(mode="json"), "answer": None}),
    "an outcome that is not the agent's": (
        ANCESTRY,
        lambda task: {**report(task, None, outcome="failed").model_dump(mode="json"), "outcome": "cancelled"},
    ),
    "a head that contradicts itself": (HEAD, lambda task: report(task, HeadAnswer(head="b" * 40, is_head=True))),
    "no head that is one": (HEAD, lambda task: report(task, HeadAnswer(head=None, is_head=True))),
    "more than was asked for": (
        COMMITS,
        lambda task: report(task, CommitsAnswer(commits=[COMMIT, COMMIT], truncated=False, complete=True)),
    ),
    "ready without its artifact": (
        READY,
        lambda task: report(task, ReadyAnswer(ready=True, commit=True, artifact=False)),
    ),
    "ready of an artifact that nobody looked for": (
        READY,
        lambda task: report(task, ReadyAnswer(ready=True, commit=True)),
    ),
    "a name that steers a terminal": (
        ANCESTRY,
        lambda task: {**report(task).model_dump(mode="json"), "agent_id": "a\x1b[2J"},
    ),
}


@pytest.mark.parametrize("odd", ODD)
async def test_what_is_no_answer_to_the_question_counts_as_none_and_stops_nothing(asked: Asked, odd: str) -> None:
    question, script = ODD[odd]
    await asked.register()

    async def answer(task: TaskInput) -> Any:
        return script(task)

    async with asked.answering(answer):
        result = await asked.ask(question, keep="task-invalid" if odd == "a number" else None)
    assert (result.outcome, result.answer) == (TaskOutcome.INVALID, None)
    assert "no answer to this question" in result.message


async def test_what_an_agent_says_besides_is_made_harmless(asked: Asked) -> None:
    await asked.register()

    async def says(task: TaskInput) -> Any:
        return report(task, None, outcome="failed", cause="unknown_commit", message="go on\u202e\u200b")

    async with asked.answering(says):
        result = await asked.ask()
    assert (result.outcome, result.cause, result.message) == (TaskOutcome.FAILED, "unknown_commit", "go on  ")


async def test_nobody_free_in_time_is_told(asked: Asked) -> None:
    await asked.register()
    result = await asked.ask(seconds=1, keep="task-unanswered")
    assert result.outcome is TaskOutcome.UNANSWERED
    assert "within 1 s" in result.message


async def test_a_withdrawn_question_reaches_the_agent(asked: Asked, request: pytest.FixtureRequest) -> None:
    await asked.register()
    begun, told = asyncio.Event(), asyncio.Event()

    async def works(task: TaskInput) -> Any:
        begun.set()
        try:
            while True:
                activity.heartbeat()
                await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            told.set()
            raise

    start = asked.start(seconds=60)
    async with asked.answering(works):
        await asked.tasks.ask(start)
        await asyncio.wait_for(begun.wait(), 60)
        assert await asked.tasks.result(asked.pool, start.task_id, within=0.1) is None
        await asked.tasks.cancel(asked.pool, start.task_id)
        await asyncio.wait_for(told.wait(), 60)
        result = await asked.tasks.result(asked.pool, start.task_id, within=20)
    assert result is not None
    assert result.outcome is TaskOutcome.CANCELLED
    await asked.tasks.cancel(asked.pool, start.task_id)  # it has ended: nothing happens
    await keep_history(request, asked.client, task_workflow_id(asked.pool, start.task_id), "task-cancelled")


async def test_the_same_task_is_asked_once_and_a_task_is_found_with_its_pool_only(asked: Asked) -> None:
    await asked.register()
    start = asked.start(fingerprint="one")
    async with asked.answering(yes):
        assert await asked.tasks.ask(start) is start
        assert await asked.tasks.result(asked.pool, start.task_id, within=20) is not None
        again = await asked.tasks.ask(start.model_copy(update={"fingerprint": "two"}))
    assert again.fingerprint == "one"
    assert len(asked.given) == 1
    with pytest.raises(NotFound, match="no task"):
        await asked.tasks.result("another-pool", start.task_id, within=1)
    with pytest.raises(NotFound):
        await asked.tasks.cancel("another-pool", start.task_id)


async def test_what_the_control_plane_asks_for_its_own_guards_leaves_no_event(asked: Asked) -> None:
    await asked.register()
    async with asked.answering(yes):
        start = asked.start(via="workflow", by="environment", service="checkout")
        result = await asked.client.execute_workflow(
            Guard.run, start, id=f"guard-{start.task_id}", task_queue=CONTROL_QUEUE
        )
    assert result.outcome is TaskOutcome.ANSWERED
    assert asked.given[0].signature is not None
    assert asked.given[0].signature.service == "checkout"
    assert (await asked.stores.events.list(EventQuery(action="task."))).items == []


async def test_what_the_api_did_not_send_is_neither_signed_nor_asked(asked: Asked) -> None:
    """Whatever it says of who asks: a guard's question has a parent."""
    await asked.register()
    async with asked.answering(yes):
        claimed: dict[str, Any] = {"via": "workflow", "by": "environment", "service": "checkout"}
        for fields in (dict[str, Any](), claimed):
            start = asked.start(**fields)
            await TaskClient(asked.client).ask(start)
            result = await asked.tasks.result(start.pool, start.task_id, within=30)
            assert result is not None
            assert (result.outcome, asked.given) == (TaskOutcome.REFUSED, [])
            assert "was sent straight to Temporal" in result.message
            assert "hybridci ask" in result.message
    assert (await asked.stores.events.list(EventQuery(action="task."))).items == []


def _raw(signature: str) -> bytes:
    return base64.b64decode(signature)
