"""A real agent that answers questions besides its jobs: in slots of its own, and only signed ones where it says so."""

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from nacl.signing import SigningKey
from temporalio import workflow
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.worker import Worker

from activities.deployments.signing import SpecSigner
from tests.agent.agent_process import AgentProcess, Repository
from tests.agent.helpers import begin, eventually
from tests.control_plane_server import ControlPlaneServer

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import run_task
    from workflows.contracts.ids import tasks_queue
    from workflows.contracts.statuses import Outcome
    from workflows.contracts.tasks import (
        AncestryAnswer,
        AncestryQuestion,
        FileAnswer,
        FileQuestion,
        HeadQuestion,
        MetricAnswer,
        MetricQuestion,
        Question,
        ReadyAnswer,
        ReadyQuestion,
        TaskInput,
        TaskOutcome,
        TaskReport,
    )

QUEUE = "one-task"
KEY = SigningKey(b"k" * 32)


@workflow.defn(sandboxed=False)
class OneTask:
    """Just the activity, scheduled as ``AgentTaskWorkflow`` does it."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskReport:
        return await workflow.execute_activity(
            run_task,
            task,
            task_queue=tasks_queue(task.pool),
            schedule_to_close_timeout=timedelta(seconds=60),
            heartbeat_timeout=timedelta(seconds=5),
            retry_policy=RetryPolicy(maximum_attempts=3),
        )


@pytest.fixture(scope="module")
async def asker(temporal_client: Client) -> AsyncIterator[Client]:
    async with Worker(temporal_client, task_queue=QUEUE, workflows=[OneTask]):
        yield temporal_client


async def start(client: Client, task: TaskInput) -> WorkflowHandle[Any, TaskReport]:
    return await client.start_workflow(OneTask.run, task, id=f"one-{task.task_id}", task_queue=QUEUE)


async def ask(client: Client, pool: str, question: Question, **fields: Any) -> TaskReport:
    task = TaskInput(task_id=str(uuid.uuid4()), pool=pool, question=question, **fields)
    return await asyncio.wait_for((await start(client, task)).result(), 60)


async def pollers(client: Client, pool: str) -> list[str]:
    request = DescribeTaskQueueRequest(
        namespace="default",
        task_queue=TaskQueue(name=tasks_queue(pool)),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    return [each.identity for each in (await client.workflow_service.describe_task_queue(request)).pollers]


def ancestry(repository: Repository) -> AncestryQuestion:
    repo = f"file://{repository.path}"
    return AncestryQuestion(git_repo=repo, ancestor=repository.sha, descendant=repository.sha)


async def test_it_says_what_it_answers_and_answers_while_all_its_slots_are_at_work(
    lone: AgentProcess, asker: Client, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    lone.environment["HYBRIDCI_AGENT_CAPACITY"] = "1"
    lone.start()
    await eventually(lambda: any(each.pool == lone.pool for each in api.registry.registered), "the registration")
    (registered,) = [each for each in api.registry.registered if each.pool == lone.pool]
    assert registered.tasks == ["ancestry", "commits", "paths", "head", "file", "ready"]

    running = repository.attempt("echo begun; while [ ! -e ${0%/*}/../go ]; do sleep 0.05; done", pool=lone.pool)
    handle = await begin(starter, running)
    await eventually(lambda: b"begun" in api.log(running.job_id).data, "the step")
    report = await ask(asker, lone.pool, ancestry(repository))
    assert (report.outcome, report.answer) == (
        TaskOutcome.ANSWERED,
        AncestryAnswer(is_ancestor=True, complete=True),
    )
    file = FileQuestion(git_repo=f"file://{repository.path}", git_commit_sha=repository.sha, path="hello.txt")
    answer = (await ask(asker, lone.pool, file)).answer
    assert isinstance(answer, FileAnswer)
    assert base64.b64decode(answer.content) == b"hello\n"
    _go(lone, running.job_id)
    assert (await asyncio.wait_for(handle.result(), 60)).outcome is Outcome.SUCCEEDED
    assert await asyncio.to_thread(lone.end) == 0
    assert list((lone.directory / "tasks").iterdir()) == []


async def test_what_it_cannot_tell_is_a_report_and_not_tried_again(
    lone: AgentProcess, asker: Client, repository: Repository, tmp_path: Path
) -> None:
    lone.start()
    gone = HeadQuestion(git_repo=f"file://{tmp_path}/gone", git_ref="main", git_commit_sha="a" * 40)
    report = await ask(asker, lone.pool, gone)
    assert (report.outcome, report.cause) == (TaskOutcome.FAILED, "repository_not_found")
    unknown = ancestry(repository).model_copy(update={"ancestor": "f" * 40})
    report = await ask(asker, lone.pool, unknown)
    assert (report.outcome, report.cause) == (TaskOutcome.FAILED, "unknown_commit")
    metric = await ask(asker, lone.pool, MetricQuestion(name="error-rate"))
    assert (metric.outcome, metric.cause) == (TaskOutcome.NOT_OFFERED, "unknown_kind")


async def test_metrics_and_artifacts_are_what_the_operators_own_commands_say(
    lone: AgentProcess, asker: Client, api: ControlPlaneServer, repository: Repository, tmp_path: Path
) -> None:
    """Which find what was asked in their environment, and nothing of the agent's own keys."""
    seen = tmp_path / "seen"
    probes = {
        "metrics": {
            "error-rate": {"command": ["bash", "-c", f'env > {seen}; echo "0.0${{HYBRIDCI_TASK_VERSION}}"']},
            "words": {"command": ["echo", "many words"]},
            "slow": {"command": ["sleep", "60"], "timeout_seconds": 0.2},
        },
        "artifact": {"command": ["bash", "-c", '[[ "$HYBRIDCI_TASK_ARTIFACT" == there ]]']},
    }
    (tmp_path / "probes.yml").write_text(yaml.safe_dump(probes))
    lone.environment["HYBRIDCI_PROBES_FILE"] = str(tmp_path / "probes.yml")
    lone.start()
    report = await ask(asker, lone.pool, MetricQuestion(name="error-rate", service="shop", version="2"))
    assert isinstance(report.answer, MetricAnswer)
    assert report.answer.value == 0.02
    variables = seen.read_text()
    assert "HYBRIDCI_TASK_SERVICE=shop\n" in variables
    assert "HYBRIDCI_API_KEY" not in variables
    for name, why in {"words": "no number", "slow": "longer than 0.2 s", "nothing": "no metric nothing"}.items():
        report = await ask(asker, lone.pool, MetricQuestion(name=name))
        assert (report.outcome, report.cause) == (TaskOutcome.FAILED, "probe_failed")
        assert why in report.message
    repo = f"file://{repository.path}"
    ready = ReadyQuestion(git_repo=repo, git_commit_sha=repository.sha, artifact="there")
    assert (await ask(asker, lone.pool, ready)).answer == ReadyAnswer(ready=True, commit=True, artifact=True)
    missing = (await ask(asker, lone.pool, ready.model_copy(update={"artifact": "elsewhere"}))).answer
    assert isinstance(missing, ReadyAnswer)
    assert (missing.ready, missing.commit, missing.artifact) == (False, True, False)


async def test_an_agent_with_the_control_planes_keys_answers_only_what_is_signed_for_its_pool(
    lone: AgentProcess, asker: Client, repository: Repository, tmp_path: Path
) -> None:
    keys = {"keys": [{"name": "control", "key": base64.b64encode(bytes(KEY.verify_key)).decode()}]}
    (tmp_path / "control.yml").write_text(yaml.safe_dump(keys))
    lone.environment["HYBRIDCI_CONTROL_KEYS_FILE"] = str(tmp_path / "control.yml")
    lone.start()
    question, signer = ancestry(repository), SpecSigner(KEY)
    unsigned = await ask(asker, lone.pool, question)
    assert (unsigned.outcome, unsigned.cause) == (TaskOutcome.REFUSED, "specification_unverified")
    task = TaskInput(task_id=str(uuid.uuid4()), pool=lone.pool, question=question)
    signed = task.model_copy(update={"signature": signer.sign_task(task, None)})
    report = await (await start(asker, signed)).result()
    assert report.outcome is TaskOutcome.ANSWERED
    other = signed.model_copy(update={"task_id": str(uuid.uuid4())})
    forged = await (await start(asker, other)).result()
    assert (forged.outcome, forged.cause) == (TaskOutcome.REFUSED, "specification_unverified")


@pytest.mark.parametrize("way", ["none", "approvals only", "an older control plane"])
async def test_an_agent_that_answers_nothing_polls_for_nothing_and_works(
    way: str,
    tmp_path: Path,
    temporal_server: Any,
    asker: Client,
    starter: Client,
    repository: Repository,
) -> None:
    async with ControlPlaneServer() as api:
        environment: dict[str, str] = {}
        if way == "none":
            environment["HYBRIDCI_AGENT_TASKS"] = "0"
        elif way == "approvals only":
            (tmp_path / "approvers.yml").write_text("[]\n")
            environment["HYBRIDCI_APPROVERS_FILE"] = str(tmp_path / "approvers.yml")
        else:
            api.registry.knows_tasks = False
        pool = f"pool{uuid.uuid4().hex[:8]}"
        agent = AgentProcess(tmp_path / "a", temporal_server.address, api.url, pool, environment).start()
        try:
            await asyncio.to_thread(agent.wait_for_log, " works for pool ")
            assert [each.tasks for each in api.registry.registered] == [[]]
            result = await asyncio.wait_for((await begin(starter, repository.attempt("true", pool=pool))).result(), 60)
            assert result.outcome is (Outcome.AGENT_ERROR if way == "approvals only" else Outcome.SUCCEEDED)
            assert await pollers(asker, pool) == []
            assert await asyncio.to_thread(agent.end) == 0
        finally:
            agent.ensure_dead()


async def test_a_question_that_is_answered_while_the_agent_dies_is_answered_by_another_one(
    lone: AgentProcess,
    tmp_path: Path,
    temporal_server: Any,
    asker: Client,
    api: ControlPlaneServer,
) -> None:
    probes = {"metrics": {"slow": {"command": ["bash", "-c", f"touch {tmp_path}/begun; sleep 30; echo 1"]}}}
    (tmp_path / "probes.yml").write_text(yaml.safe_dump(probes))
    lone.environment["HYBRIDCI_PROBES_FILE"] = str(tmp_path / "probes.yml")
    lone.start()
    task = TaskInput(task_id=str(uuid.uuid4()), pool=lone.pool, question=MetricQuestion(name="slow"))
    handle = await start(asker, task)
    await eventually((tmp_path / "begun").exists, "the probe")
    lone.running.kill()
    quick = {"metrics": {"slow": {"command": ["echo", "7"]}}}
    (tmp_path / "quick.yml").write_text(yaml.safe_dump(quick))
    environment = {"HYBRIDCI_PROBES_FILE": str(tmp_path / "quick.yml")}
    other = AgentProcess(tmp_path / "b", temporal_server.address, api.url, lone.pool, environment).start()
    try:
        report = await asyncio.wait_for(handle.result(), 60)
    finally:
        other.ensure_dead()
    assert isinstance(report.answer, MetricAnswer)
    assert report.answer.value == 7


def _go(agent: AgentProcess, job_id: str) -> None:
    (agent.directory / "attempts" / f"{job_id}-1" / "go").touch()
