"""What must hold after any trouble: every history replays from every moment on, every workflow answers, and what its
record says is what the workflow says.
"""

import asyncio
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import BaseModel
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer

from activities.sandbox import LeanSandbox
from activities.stores.open import Stores
from workflows.contracts.commands import Discard
from workflows.contracts.deployments.commands import Resume
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import EnvironmentState, ReleaseCommand
from workflows.contracts.jobs import Job
from workflows.deployment.workflow import DeploymentWorkflow
from workflows.environment.workflow import EnvironmentWorkflow
from workflows.job.redrive import RedriveWorkflow
from workflows.job.workflow import JobWorkflow
from workflows.repair.live import LiveVersionsWorkflow
from workflows.repair.reconcile import ReconcileWorkflow
from workflows.service.workflow import PolicyDecisionWorkflow, ServiceWorkflow

WORKFLOWS = [
    JobWorkflow, RedriveWorkflow, ReconcileWorkflow, DeploymentWorkflow, EnvironmentWorkflow, ServiceWorkflow,
    LiveVersionsWorkflow,
    PolicyDecisionWorkflow,
]  # fmt: skip
_STATES = {"JobWorkflow": Job, "DeploymentWorkflow": Deployment, "EnvironmentWorkflow": EnvironmentState}
_CLOSED_BY_ITSELF = {
    WorkflowExecutionStatus.COMPLETED, WorkflowExecutionStatus.FAILED, WorkflowExecutionStatus.CANCELED,
}  # fmt: skip
_ANSWER_SECONDS = 180
"""Workers with a cache of one replay everything for nearly each answer."""
_AT_ONCE = 6


@dataclass
class Verdict:
    """``problems`` in words, none when all is well."""

    histories: int = 0
    prefixes: int = 0
    answered: int = 0
    renewed: int = 0
    calls_at_once: int = 0
    calls_gone_on: int = 0
    problems: list[str] = field(default_factory=list[str])
    troubled: list[WorkflowHistory] = field(default_factory=list[WorkflowHistory])

    def __str__(self) -> str:
        return (
            f"{self.histories} histories and {self.prefixes} beginnings of them replayed, {self.answered} workflows "
            f"answered, {self.renewed} had a renewed task; {self.calls_at_once} calls were done at once, "
            f"{self.calls_gone_on} went on as activities; "
            f"{len(self.problems)} problems"
        )


async def judge(client: Client, stores: Stores, workflow_ids: Iterable[str], *, beginnings: int = 3) -> Verdict:
    """Replay, ask and compare. ``beginnings``: of each history, so many replays as a worker that took it over at
    another moment would have seen it.
    """
    verdict, slots = Verdict(), asyncio.Semaphore(_AT_ONCE)

    async def one(workflow_id: str) -> None:
        async with slots:
            try:
                await _judge_one(client, stores, workflow_id, beginnings, verdict)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:  # never started: its start was not answered
                    verdict.problems.append(f"{workflow_id}: {error}")

    await asyncio.gather(*(one(workflow_id) for workflow_id in workflow_ids))
    return verdict


async def _judge_one(client: Client, stores: Stores, workflow_id: str, beginnings: int, verdict: Verdict) -> None:
    handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(workflow_id)
    kind, state = (await handle.describe()).workflow_type, None
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            state = await _asked(handle, kind)
            await _say_something(handle, kind)
        verdict.answered += 1
    except (RPCError, TimeoutError, WorkflowQueryFailedError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        task = (await handle.describe()).raw_description.pending_workflow_task
        verdict.problems.append(f"{workflow_id} does not answer: {error!r}; its task is tried for time {task.attempt}")
    history = await handle.fetch_history()
    if isinstance(state, Job | Deployment):
        await _compare(handle, stores, verdict, times=not _had_a_renewed_task(history))
    verdict.histories += 1
    verdict.renewed += _had_a_renewed_task(history)
    await _replay(history, verdict)
    for length in _moments(history, beginnings):
        verdict.prefixes += 1
        await _replay(WorkflowHistory(workflow_id, history.events[:length]), verdict, f"its first {length} events")
    if any(problem.startswith(workflow_id) for problem in verdict.problems):
        verdict.troubled.append(history)
    for event in history.events:
        verdict.calls_at_once += event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            name = event.activity_task_scheduled_event_attributes.activity_type.name
            verdict.calls_gone_on += name not in {"run_attempt", "await_closed"}


async def _asked(handle: WorkflowHandle[Any, Any], kind: str) -> Any:
    """Its state, None when it has none. A task that was lost several times is tried again after a while."""
    while kind in _STATES:
        try:
            return await handle.query("state", result_type=_STATES[kind])
        except RPCError as error:
            if "Workflow Task in failed state" not in error.message:
                raise
            await asyncio.sleep(1)
    return None


async def _say_something(handle: WorkflowHandle[Any, Any], kind: str) -> None:
    """An update that is answered or refused: either way the workflow works. It may also have come to its end."""
    update: tuple[str, BaseModel] | None = {
        "JobWorkflow": ("discard", Discard(by="ann", reason="the end")),
        "DeploymentWorkflow": ("resume", Resume(by="ann", reason="the end")),
        "EnvironmentWorkflow": ("release", ReleaseCommand(by="ann", reason="the end")),
    }.get(kind)
    if update is None or (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING:
        return
    with suppress(WorkflowUpdateFailedError):
        try:
            await _sent(handle, *update)
        except RPCError:
            if (await handle.describe()).status not in _CLOSED_BY_ITSELF:
                raise


async def _sent(handle: WorkflowHandle[Any, Any], name: str, command: BaseModel) -> None:
    """Temporal forgets an update whose task was lost; a person would send it again."""
    identity = str(uuid.uuid4())
    while True:
        try:
            await handle.execute_update(name, command, id=identity)  # pyright: ignore[reportUnknownMemberType]
        except RPCError as error:
            if "unexpected workflow task failure" not in error.message:
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def _compare(handle: WorkflowHandle[Any, Any], stores: Stores, verdict: Verdict, *, times: bool) -> None:
    """Looks again for a while: the last write can be under way.

    ``times`` False: a replay of a renewed task has another clock than its first run, in the SDK itself.
    """
    differ = ""
    for _ in range(60):
        said, stored = await _both(handle, stores)
        if not times and stored is not None:
            said, stored = _timeless(said), _timeless(stored)
        if said == stored:
            return
        there = stored or {}
        differ = ", ".join(
            f"{name} {said[name]!r} and {there.get(name)!r}" for name in said if said[name] != there.get(name)
        )
        await asyncio.sleep(1)
    verdict.problems.append(f"{handle.id}: workflow and record differ: {differ}")


async def _both(handle: WorkflowHandle[Any, Any], stores: Stores) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What the workflow says and what the record says."""
    stored: Job | Deployment | None
    if handle.id.startswith("job-"):
        job = await handle.query("state", result_type=Job)
        said, stored = job.model_dump(), await stores.jobs.get(job.job_id)
    else:
        deployment = await handle.query("state", result_type=Deployment)
        said, stored = deployment.model_dump(), await stores.deployments.get(deployment.deployment_id)
    return said, None if stored is None else stored.model_dump()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        timed = ("_at", "at", "_seconds", "sequence", "since", "until")
        return {name: _timeless(each) for name, each in fields.items() if not name.endswith(timed)}
    return [_timeless(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


def _had_a_renewed_task(history: WorkflowHistory) -> bool:
    """A task that lasted nearly as long as it may."""
    limit = history.events[0].workflow_execution_started_event_attributes.workflow_task_timeout.ToSeconds()
    began: dict[int, float] = {}
    for event in history.events:
        at = event.event_time.ToNanoseconds() / 1e9
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
            began[event.event_id] = at
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            started = began.get(event.workflow_task_completed_event_attributes.started_event_id, at)
            if at - started > 0.7 * limit:
                return True
    return False


async def _replay(history: WorkflowHistory, verdict: Verdict, what: str = "its history") -> None:
    replayer = Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter, workflow_runner=LeanSandbox())
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    if result.replay_failure is not None:
        verdict.problems.append(f"{history.workflow_id}: {what} does not replay: {result.replay_failure}")


def _moments(history: WorkflowHistory, count: int) -> list[int]:
    """Where workflow tasks began, some of them spread over the history, never the last."""
    began = [
        index + 1
        for index, event in enumerate(history.events)
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
        and index + 1 < len(history.events)
        and history.events[index + 1].event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ][1:]
    step = max(1, -(-len(began) // count)) if count else 1
    return began[::step][:count]
