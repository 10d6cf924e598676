"""Two workflow tasks stay two for a replay, also when the first told the workflow something and left no event."""

import asyncio
import threading
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from temporalio.service import RPCError
from temporalio.worker import Replayer, Worker, WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities import quiet_tasks
from activities.sandbox import LeanSandbox
from tests.workflows.quiet_workflow import QuietWorkflow, RelayWorkflow, SlotWorkflow, work
from workflows.client.answers import carried_out
from workflows.contracts.accepted import Taken
from workflows.contracts.errors import NotFound


class Holding(WorkflowRunner):
    """Another runner, which holds the tasks of SlotWorkflow unless it is ``free``."""

    def __init__(self, runner: WorkflowRunner) -> None:
        self._runner = runner
        self.held = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()

    def prepare_workflow(self, defn: object) -> None:
        self._runner.prepare_workflow(defn)  # pyright: ignore[reportArgumentType] - a private type of the SDK

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance = self._runner.create_instance(det)
        if det.info.workflow_type == "SlotWorkflow":
            activate = instance.activate

            def held(act: WorkflowActivation) -> WorkflowActivationCompletion:
                if not self.free.is_set():
                    self.held.release()
                    self.free.wait(1.8)  # the SDK takes 2 s for a deadlock
                return activate(act)

            instance.activate = held  # pyright: ignore[reportAttributeAccessIssue]
        return instance

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        self._runner.set_worker_level_failure_exception_types(types)


async def live(client: Client, runner: WorkflowRunner) -> WorkflowHistory:
    """The work ends; then, in one task of a worker that is late, an update is refused and a signal comes.

    The greeting before them takes away what the first task left; a replay looks for events since the one before.
    """
    queue, late = f"quiet-{uuid.uuid4()}", Holding(runner)
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[QuietWorkflow, SlotWorkflow],
        activities=[work],
        workflow_runner=late,
        max_concurrent_workflow_tasks=2,  # one for new workflows, one for those it knows
    )
    async with worker:
        await client.start_workflow(SlotWorkflow.run, id=f"{queue}-known", task_queue=queue)
        handle = await client.start_workflow(QuietWorkflow.run, id=queue, task_queue=queue)
        await seen(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
        await handle.signal(QuietWorkflow.greet)
        await seen(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
        await seen(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 3)
        await occupy(client, late, queue)
        refusal = asyncio.create_task(handle.execute_update("refused"))  # pyright: ignore[reportUnknownMemberType]
        await asyncio.sleep(0.5)  # its task has no event that could be waited for
        await handle.signal(QuietWorkflow.tell)
        late.free.set()
        with pytest.raises((WorkflowUpdateFailedError, RPCError)):  # refused, or not handed over behind the end
            await refusal
        assert await handle.result() == "the work came first"
    return await handle.fetch_history()


async def occupy(client: Client, late: Holding, queue: str) -> None:
    """Both slots of the worker: no task of another workflow begins before it is ``free``."""
    late.free.clear()
    await client.get_workflow_handle(f"{queue}-known").signal("end")
    await client.start_workflow(SlotWorkflow.run, id=f"{queue}-new", task_queue=queue)
    for _ in range(2):
        assert await asyncio.to_thread(late.held.acquire, timeout=10)


async def seen(handle: WorkflowHandle[Any, Any], kind: EventType.ValueType, times: int = 1) -> None:
    async with asyncio.timeout(30):
        while sum(event.event_type == kind for event in (await handle.fetch_history()).events) < times:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def replays(history: WorkflowHistory, runner: WorkflowRunner) -> bool:
    replayer = Replayer(workflows=[QuietWorkflow], workflow_runner=runner)
    return (await replayer.replay_workflow(history, raise_on_replay_failure=False)).replay_failure is None


async def test_a_task_that_says_nothing_stays_apart_from_the_next(temporal_client: Client) -> None:
    """By itself the SDK goes another way in a replay. When it does not any more, ``activities.quiet_tasks`` may go."""
    ours, plain = LeanSandbox(), SandboxedWorkflowRunner()
    history, without_marks = await live(temporal_client, ours), await live(temporal_client, plain)
    marks = [event for event in history.events if event.HasField("workflow_properties_modified_event_attributes")]
    memos = [event.workflow_properties_modified_event_attributes.upserted_memo for event in marks]
    assert [list(memo.fields) for memo in memos] == [[quiet_tasks.MEMO_FIELD], [quiet_tasks.MEMO_FIELD]]
    assert await replays(history, ours)
    assert not await replays(without_marks, plain)


@pytest.mark.parametrize("number", [1, 3])
async def test_an_update_beside_the_end_of_a_run_is_answered_by_the_next_or_there_is_none(
    temporal_client: Client, number: int
) -> None:
    """It would come behind what ends the run, and is not handed over: Temporal aborts it, and it is sent again."""
    queue, late = f"relay-{uuid.uuid4()}", Holding(LeanSandbox())
    worker = Worker(
        temporal_client,
        task_queue=queue,
        workflows=[RelayWorkflow, SlotWorkflow],
        workflow_runner=late,
        max_concurrent_workflow_tasks=2,
    )

    async def send() -> WorkflowUpdateHandle[str]:
        return await temporal_client.get_workflow_handle(queue).start_update(  # pyright: ignore[reportUnknownMemberType]
            "number", id="asked", wait_for_stage=WorkflowUpdateStage.ACCEPTED, result_type=str
        )

    async with worker:
        await temporal_client.start_workflow(SlotWorkflow.run, id=f"{queue}-known", task_queue=queue)
        handle = await temporal_client.start_workflow(RelayWorkflow.run, number, id=queue, task_queue=queue)
        await seen(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
        await occupy(temporal_client, late, queue)
        asking = asyncio.create_task(carried_out(send, Taken(asked="number", job_id="1")))
        await asyncio.sleep(0.5)  # its task has no event that could be waited for
        await handle.signal(RelayWorkflow.go_on)
        late.free.set()
        if number == 3:
            with pytest.raises(NotFound):
                await asking
        else:
            assert await asking != handle.first_execution_run_id
