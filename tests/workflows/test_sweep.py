"""SweepWorkflow: each kind in turn, what one hands to the next, and what is noted; its histories are kept."""

import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from tests.workflows.conftest import keep_history
from workflows.client.proving import Prover
from workflows.client.storage import StorageClient
from workflows.contracts.ids import CONTROL_QUEUE
from workflows.contracts.storage.retention import (
    PREVIEW_WORKFLOW_ID,
    SWEEP_WORKFLOW_ID,
    RetentionPolicy,
    Sweep,
    SweepInput,
    SweepNote,
    SweepResult,
    SweepTask,
    Swept,
    SweptKind,
)
from workflows.retention.workflow import SweepWorkflow

SECRET = b"s" * 32


@dataclass
class Control:
    """Stands for the control worker's activities: two deployments go, with three jobs."""

    client: Client
    tasks: list[SweepTask] = field(default_factory=list[SweepTask])
    notes: list[SweepNote] = field(default_factory=list[SweepNote])
    failures: int = 0

    @activity.defn(name="sweep_records")
    async def sweep(self, task: SweepTask) -> SweepResult:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the store is away")
        self.tasks.append(task)
        swept = Swept(kind=task.kind, looked_at=10)
        if task.kind is SweptKind.DEPLOYMENTS:
            ids = ["d1", "d2"] if task.dry_run else []
            swept = swept.model_copy(update={"removed": 2, "job_ids": ["j1", "j2", "j3"], "ids": ids})
        if task.kind is SweptKind.JOBS:
            swept = swept.model_copy(update={"removed": len(task.first)})
        return SweepResult(policy=RetentionPolicy(jobs=60), kinds=[swept], dry_run=task.dry_run)

    @activity.defn(name="note_sweep")
    async def note(self, note: SweepNote) -> None:
        self.notes.append(note)


@pytest.fixture
async def control(temporal_client: Client) -> AsyncIterator[Control]:
    control = Control(temporal_client)
    async with Worker(
        temporal_client,
        task_queue=CONTROL_QUEUE,
        workflows=[SweepWorkflow],
        activities=[control.sweep, control.note],
    ):
        yield control


async def test_each_kind_in_turn_and_one_note(control: Control, request: pytest.FixtureRequest) -> None:
    client = StorageClient(control.client, Prover(SECRET))
    result = await client.sweep(Sweep(by="ann", reason="the disk is full"))
    assert result is not None
    assert [each.kind for each in result.kinds] == list(SweptKind)
    assert result.removed == 5
    assert [task.first for task in control.tasks][:3] == [[], ["j1", "j2", "j3"], []]
    assert all(not task.gone for task in control.tasks)
    (note,) = control.notes
    assert note.result == result
    command = note.start.command
    assert command is not None
    assert (command.by, command.reason) == ("ann", "the disk is full")
    assert command.claim().is_genuine(SECRET, SWEEP_WORKFLOW_ID), "whose word it is can be told"
    assert note.event_id.startswith("swept-")
    await keep_history(request, control.client, SWEEP_WORKFLOW_ID, "sweep-asked")


async def test_a_preview_notes_nothing_and_knows_what_would_be_gone(
    control: Control, request: pytest.FixtureRequest
) -> None:
    result = await StorageClient(control.client).sweep(Sweep(by="ann", dry_run=True))
    assert result is not None
    assert result.dry_run
    assert [task.gone for task in control.tasks] == [[], *[["d1", "d2"]] * 5]
    assert control.notes == []
    assert all(not each.ids and not each.job_ids for each in result.kinds)
    assert "deployments: 10 looked at, 2 would be removed" in result.words()
    await keep_history(request, control.client, PREVIEW_WORKFLOW_ID, "sweep-preview")


async def test_a_preview_that_has_just_ended_serves_who_asks_next(control: Control) -> None:
    client, command = StorageClient(control.client), Sweep(by="ann", dry_run=True)
    first = await client.sweep(command)
    asked = len(control.tasks)
    assert await client.preview(command, behind=0, within=10) == first
    assert len(control.tasks) == asked
    assert await client.preview(command, behind=time.time_ns() // 1_000_000, within=10) == first
    assert len(control.tasks) == 2 * asked, "there was a sweep meanwhile"
    assert await client.sweep(command) == first
    assert len(control.tasks) == 3 * asked, "who asks for a preview by hand gets a new one"


async def test_the_schedules_own_asks_nobody_and_outlasts_an_outage(
    control: Control, request: pytest.FixtureRequest
) -> None:
    control.failures, workflow_id = 1, f"maintenance-sweep-scheduled-{uuid.uuid4()}"
    handle = await control.client.start_workflow(
        SweepWorkflow.run, SweepInput(), id=workflow_id, task_queue=CONTROL_QUEUE
    )
    result = await handle.result()
    assert result.removed == 5
    assert [note.start.command for note in control.notes] == [None]
    await keep_history(request, control.client, workflow_id, "sweep-scheduled")
