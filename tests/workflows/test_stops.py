"""Nothing that an agent, a developer or Temporal's own CLI sends stops a workflow, whatever its length, number or
encoding; and an answer is its holder's.
"""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.update.v1 import Input, Meta, Request, WaitPolicy
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest, UpdateWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from tests.workflows.deployment_harness import BOB, Deploys
from tests.workflows.harness import Agent, Harness, fail, succeed, until_cancelled
from tests.workflows.test_odd_answers import submit, with_codec
from workflows.client.deployments import workflow_id_of
from workflows.client.jobs import JobClient
from workflows.client.repairs import RepairClient
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.commands import Amend
from workflows.contracts.deployments.commands import CancelDeployment
from workflows.contracts.deployments.environments import ReleaseCommand
from workflows.contracts.errors import NotFound
from workflows.contracts.ids import CONTROL_QUEUE, environment_workflow_id, job_workflow_id, pool_queue
from workflows.contracts.jobs import Job
from workflows.contracts.repairs import Kind, Repair, RepairInput, RepairOutcome, Subject
from workflows.contracts.statuses import JobStatus, Outcome
from workflows.payloads.holder import HOLDER
from workflows.repair.stuck import StuckWorkflows

LONG = "r" * 40_000
NULL = Payload(metadata={"encoding": b"binary/null"})
OBJECT = Payload(metadata={"encoding": b"json/plain"}, data=b"{}")
BYTES = Payload(metadata={"encoding": b"binary/plain"}, data=b"\xff")
STRANGE = Payload(metadata={"encoding": b"\xff"}, data=b"\xff")
ODD: list[list[Payload]] = [[], [OBJECT, OBJECT], [NULL], [BYTES], [STRANGE], [OBJECT] * 20]


async def signal(client: Client, workflow_id: str, name: str, payloads: list[Payload]) -> None:
    """As Temporal's own CLI sends them: any number, of any encoding."""
    request = SignalWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=workflow_id),
        signal_name=name,
        input=Payloads(payloads=payloads),
    )
    await client.workflow_service.signal_workflow_execution(request)


async def update(client: Client, workflow_id: str, name: str, payloads: list[Payload]) -> bool:
    """Whether it was refused, rather than hanging for ever."""
    request = UpdateWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=workflow_id),
        wait_policy=WaitPolicy(lifecycle_stage=3),  # pyright: ignore[reportArgumentType] - completed
        request=Request(meta=Meta(update_id=f"{name}-{len(payloads)}"), input=Input(name=name)),
    )
    request.request.input.args.payloads.extend(payloads)
    answer = await asyncio.wait_for(client.workflow_service.update_workflow_execution(request), 60)
    return answer.outcome.HasField("failure")


async def odd_ones(client: Client, workflow_id: str, signals: list[str], updates: list[str]) -> None:
    """All of them, and every update is answered by a refusal."""
    for name in signals:
        for payloads in ODD:
            await signal(client, workflow_id, name, payloads)
    for name in updates:
        for payloads in ([NULL], [OBJECT, OBJECT], [STRANGE]):
            assert await update(client, workflow_id, name, payloads), f"{name} {payloads}"


async def test_no_signal_and_no_update_stops_a_deployment_or_its_environment(deploys: Deploys) -> None:
    one = await deploys.start("1.0", deploys.service(deploys.environment(approval={"required": 1})))
    await deploys.until_waits(one, "waits for approval")
    names = ["approve", "reject", "rollback", "cancel", "granted", "superseded", "report_metrics"]
    await odd_ones(deploys.client, workflow_id_of(one), names, ["approve", "cancel"])
    lock = environment_workflow_id(deploys.name, "production")
    locks = ["join", "leave", "became_live", "yielded", "hold", "freeze"]
    await odd_ones(deploys.client, lock, locks, ["hold", "release", "freeze", "unfreeze"])
    await asyncio.wait_for(deploys.approve(one), 60)
    await deploys.until_status(one, "live")
    assert await deploys.environment_handle().query("state") is not None


async def test_what_no_environment_could_act_on_does_not_stop_it(deploys: Deploys) -> None:
    one = await deploys.live("1.0")
    ticket = {"deployment_id": "x", "version": "1", "git_commit_sha": "a" * 40, "arrived_at": 1, "ready": True}
    hold = {"by": "x", "reason": LONG, "at": 10**30}
    handle = deploys.environment_handle()
    for workflow_id in ("", "w" * 2000):
        await handle.signal("join", {"ticket": ticket | {"workflow_id": workflow_id}})
    await handle.signal("leave", {"deployment_id": one.deployment_id, "how": "broken", "hold": hold})
    await handle.signal("freeze", {"by": "x", "freeze_id": "f", "name": "f", "ends_at": 10**40})
    await deploys.live("1.1")


async def test_no_signal_and_no_update_stops_a_job(jobs: Harness) -> None:
    job_id = (await jobs.submit(jobs.spec(retry={"max_attempts": 1}))).job_id
    updates = ["cancel", "complete", "amend", "edit", "redrive", "discard"]
    await odd_ones(jobs.client, job_workflow_id(job_id), ["attempt_started"], updates)
    assert await update(jobs.client, job_workflow_id(job_id), "created", [OBJECT]) is False
    async with jobs.agent(succeed):
        assert (await jobs.result(job_id)).status is JobStatus.SUCCESS


async def test_a_long_word_of_a_developer_ends_no_rollout_and_is_kept(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment(rollback={"steps": [{"name": "back", "run": "true"}]}))
    one = await deploys.live("1.0", service)
    began = asyncio.Event()

    async def hang(attempt: AttemptInput, agent: Agent) -> Any:
        began.set()
        return await until_cancelled(attempt, agent)

    deploys.script("deploy production 1.1", hang)
    two = await deploys.start("1.1", service)
    await asyncio.wait_for(began.wait(), 60)
    await deploys.releases.command(two, CancelDeployment(by=BOB, reason=LONG))
    back = await deploys.until_status(two, "rolled_back")
    assert back.rollback is not None
    assert len(back.rollback.reason) <= 4096
    assert "(cut: it had 40" in back.rollback.reason
    cancelled = next(event for event in await deploys.events(two) if event.action.startswith("deployment.cancel"))
    assert cancelled.by == BOB
    assert (cancelled.reason or "").startswith("rrr")
    assert await deploys.result(two) == back
    assert (await deploys.get(one)).status == "live"


@pytest.mark.parametrize("where", ["deploy production 1.1", "verify"])
async def test_a_long_word_of_an_agent_keeps_no_version_from_being_rolled_back(deploys: Deploys, where: str) -> None:
    verification = {"run": "check"}
    steps = {"steps": [{"name": "back", "run": "true"}]}
    service = deploys.service(deploys.environment(verification=verification, rollback=steps))
    await deploys.live("1.0", service)
    deploys.script(where, fail(message="m" * 100_000, cause="c" * 20_000, retryable=False))
    two = await deploys.start("1.1", service)
    back = await deploys.until_status(two, "rolled_back")
    assert "(cut: it had 100000 characters)" in (back.rollback.reason if back.rollback else "")
    await deploys.until_environment(lambda state: state.hold is not None and state.holder is not None)


async def test_a_refused_record_of_a_job_is_not_its_end(jobs: Harness) -> None:
    refusal = ApplicationError("too large", type="validation_failed", non_retryable=True)
    record_job, refused = jobs.recorder.slow, list[str]()

    def refuse(write: Any) -> float:
        if write.job.status is JobStatus.RUNNING:
            refused.append(write.job.job_id)
            raise refusal
        return record_job(write)

    jobs.recorder.slow = refuse
    job_id = (await jobs.submit()).job_id

    async def script(attempt: AttemptInput, agent: Agent) -> Any:
        await agent.announce(attempt)
        while not refused:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return await succeed(attempt, agent)

    async with jobs.agent(script):
        assert (await jobs.result(job_id)).status is JobStatus.SUCCESS
    assert jobs.recorder.last(job_id).status is JobStatus.SUCCESS


async def test_labels_that_no_trail_can_hold_are_amended_all_the_same(deploys: Deploys) -> None:
    pool = f"nobody-{deploys.pool}"
    job_id = await submit(deploys, pool)
    labels = {f"l{number}": "x" * 9000 for number in range(9)}
    changed = await JobClient(deploys.client).amend(job_id, Amend(by="ann", via="cli", labels=labels))
    assert changed.labels["l8"] == "x" * 9000
    found = await deploys.stores.jobs.get(job_id)
    assert found is not None
    assert found.labels == labels


async def answered(jobs: Harness, metadata: dict[str, bytes], **says: Any) -> Job:
    """A job whose agent, ``agent-1``, says this, with this beside the answer."""

    @activity.defn(name="run_attempt")
    async def answer(attempt: AttemptInput) -> RawValue:
        result = Agent(jobs.client, "agent-1", succeed).result(attempt, Outcome.SUCCEEDED, **says)
        (payload,) = await jobs.client.data_converter.encode([result])
        for name, value in metadata.items():
            payload.metadata[name] = value
        return RawValue(payload)

    async with Worker(jobs.client, task_queue=pool_queue(jobs.pool), activities=[answer]):
        retry = {"max_attempts": 1, "lost_agent_attempts": 1, "park": False}
        return await jobs.result((await jobs.submit(jobs.spec(retry=retry))).job_id)


async def test_an_answer_is_its_holders_whatever_it_says(jobs: Harness) -> None:
    job = await answered(jobs, {HOLDER: b"evil-1"}, agent_id="production-vm-4b96")
    assert (job.status, job.agent_id) == (JobStatus.SUCCESS, "evil-1")
    assert [each.agent_id for each in job.attempts] == ["evil-1"]
    assert jobs.recorder.last(job.job_id).agent_id == "evil-1"


@pytest.mark.parametrize("agent_id", ["a" * 130_000, "\x1b[2J\u202e", "../x", ""])
async def test_what_is_no_agents_id_is_nobodys(jobs: Harness, agent_id: str) -> None:
    assert (await answered(jobs, {}, agent_id=agent_id)).agent_id in {None, ""}


async def test_an_agent_of_before_is_believed_as_temporal_believes_it(jobs: Harness) -> None:
    assert (await answered(jobs, {}, agent_id="agent-1")).agent_id == "agent-1"


async def test_what_a_record_keeps_of_an_answer_is_bounded(jobs: Harness) -> None:
    steps = [{"name": "s" * 1000}] * 110
    artifacts = [{"path": "p" * 2000, "size": 1, "sha256": "0" * 64}]
    says = {"message": "m" * 4000 + "\x1b", "cause": "\u202ec" * 500, "steps": steps, "artifacts": artifacts}
    (attempt,) = (await answered(jobs, {}, **says)).attempts
    assert len(attempt.message or "") == 1024
    assert (attempt.message or "").endswith("(cut: it had 4001 characters)")
    assert len(attempt.cause or "") == 100
    assert "\u202e" not in (attempt.cause or "")
    assert (len(attempt.steps), {len(step.name) for step in attempt.steps}, attempt.artifacts) == (100, {256}, [])
    absurd = await answered(jobs, {}, log_bytes=10**30, retryable=False)
    assert absurd.attempts[0].outcome is Outcome.AGENT_ERROR


async def stuck(deploys: Deploys, subject: Subject) -> None:
    finder = StuckWorkflows(deploys.client)
    async with asyncio.timeout(30):
        while not await finder.is_stuck(subject):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def test_a_repair_leaves_out_what_nobody_can_read_and_nothing_else(deploys: Deploys, tmp_path: Path) -> None:
    await with_codec(deploys, tmp_path)
    one = await deploys.start("1.0", deploys.service(deploys.environment(approval={"required": 1})))
    await deploys.until_waits(one, "waits for approval")
    of_one = Subject(kind=Kind.DEPLOYMENT, workflow_id=workflow_id_of(one), deployment_id=one.deployment_id)
    lock = environment_workflow_id(deploys.name, "production")
    of_lock = Subject(kind=Kind.ENVIRONMENT, workflow_id=lock, service_name=deploys.name, environment="production")
    garbage = Payload(metadata={"encoding": b"binary/hybridci-sealed"}, data=bytes(80))
    await signal(deploys.client, of_one.workflow_id, "granted", [garbage])
    await deploys.handle(one).signal("approve", {"by": BOB, "comment": "fine"})
    await signal(deploys.client, lock, "leave", [garbage])
    await signal(deploys.client, lock, "leave", [OBJECT, OBJECT])
    await deploys.environment_handle().signal("hold", {"by": BOB, "reason": "wait"})
    await asyncio.gather(stuck(deploys, of_one), stuck(deploys, of_lock))
    repairs = RepairClient(deploys.client)
    for subject, outcome in ((of_one, RepairOutcome.RESET), (of_lock, RepairOutcome.ENDED)):
        command = Repair(by="ann", via="cli", reason="poisoned", end=subject is of_lock)
        result = await repairs.repair(RepairInput(subject=subject, command=command))
        assert result is not None
        assert result.outcome is outcome, result
    await deploys.until(one, lambda found: [each.comment for each in found.approvals] == ["fine"])
    await deploys.until_environment(lambda state: state.hold is not None and state.hold.reason == "wait")
    await deploys.releases.command_environment(deploys.name, "production", ReleaseCommand(by=BOB))
    await deploys.until_status(one, "production")


@pytest.mark.parametrize("given", [{"x": 1}, "nonsense", None, [1]])
async def test_what_was_started_with_garbage_is_no_deployment_and_no_job(deploys: Deploys, given: Any) -> None:
    name = uuid.uuid4().hex
    for workflow, workflow_id in (("DeploymentWorkflow", f"deploy-x-1-{name}"), ("JobWorkflow", f"job-{name}")):
        started = await deploys.client.start_workflow(workflow, given, id=workflow_id, task_queue=CONTROL_QUEUE)
        query = f"WorkflowId='{workflow_id}'"
        while not [each async for each in deploys.client.list_workflows(query)]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        try:
            known = deploys.releases.known if workflow == "DeploymentWorkflow" else JobClient(deploys.client).known
            with pytest.raises(NotFound):
                await known(name)
        finally:
            await started.terminate("the test is over")


async def test_a_failure_without_its_words_says_where_they_are_and_whose_it_is(jobs: Harness) -> None:
    """As the gateway passes on what a codec has sealed; Temporal knows who answered."""

    @activity.defn(name="run_attempt")
    async def fails(attempt: AttemptInput) -> None:
        raise ApplicationError("Encoded failure", type="x")

    async with Worker(jobs.client, task_queue=pool_queue(jobs.pool), activities=[fails], identity="agent-7"):
        retry = {"lost_agent_attempts": 1, "park": False}
        job = await jobs.result((await jobs.submit(jobs.spec(retry=retry))).job_id)
    assert (job.status, job.agent_id) == (JobStatus.ERROR, "agent-7")
    assert "its own log tells them" in (job.error_message or "")
