"""Drive JobWorkflow on a real Temporal server with scripted agents and a recorder in place of the control worker.

The recorder keeps the store's contract: an older or repeated sequence changes nothing, and ``previous`` is the queue
status written before.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal

from temporalio import activity
from temporalio.api.workflowservice.v1 import RecordActivityTaskHeartbeatRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from activities.sandbox import LeanSandbox
from workflows.client.answers import record_at_end
from workflows.client.jobs import JobClient
from workflows.contracts.attempts import AttemptInput, AttemptResult, AttemptStarted
from workflows.contracts.commands import JobInput
from workflows.contracts.ids import CONTROL_QUEUE, job_workflow_id, pool_queue
from workflows.contracts.jobs import Job, JobSpec, Step
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import Outcome, QueueStatus
from workflows.job import record
from workflows.job.workflow import JobWorkflow

Script = Callable[[AttemptInput, "Agent"], Awaitable[AttemptResult]]


class Recorder:
    """Stands for the control worker's record activities."""

    def __init__(self) -> None:
        self.writes: dict[str, list[JobWrite]] = {}
        self.calls: dict[str, list[tuple[str, bool]]] = {}
        """By job, for others' of earlier tests can come in: what was to be written, and whether as a local activity."""
        self.reject: ApplicationError | None = None
        self.fail_next = 0
        self.slow: Callable[[JobWrite], float] = lambda _: 0
        """How many seconds each write takes."""
        self.after_next: Callable[[JobWrite], Awaitable[bool]] | None = None
        """Called after each write until it returns True; then a workflow task may run again."""
        self._reruns = False

    @activity.defn(name="create_job")
    async def create_job(self, write: JobWrite) -> None:
        if self.reject is not None:
            raise self.reject
        assert write.previous is None
        await self._keep(write, creating=True)

    @activity.defn(name="record_job")
    async def record_job(self, write: JobWrite) -> None:
        self.calls.setdefault(write.job.job_id, []).append((write.job.status.value, activity.info().is_local))
        await asyncio.sleep(self.slow(write))
        if self.fail_next:
            self.fail_next -= 1
            raise RuntimeError("the store does not answer")
        await self._keep(write)

    async def _keep(self, write: JobWrite, *, creating: bool = False) -> None:
        kept = self.writes.setdefault(write.job.job_id, [])
        if kept and kept[-1].job.sequence >= write.job.sequence:
            return
        if creating and kept:
            assert {event.event_id for event in kept[0].events} <= {event.event_id for event in write.events}
        assert self._reruns or creating or write.previous == (kept[-1].job.queue_status if kept else None)
        kept.append(write)
        if self.after_next is not None and await self.after_next(write):
            self.after_next, self._reruns = None, True

    def last(self, job_id: str) -> Job:
        return self.writes[job_id][-1].job

    def statuses(self, job_id: str) -> list[str]:
        return [write.job.status.value for write in self.writes[job_id]]


class Agent:
    """An agent whose attempts follow a script."""

    def __init__(self, client: Client, name: str, script: Script) -> None:
        self.client, self.name, self.script = client, name, script
        self.inputs: list[AttemptInput] = []
        self.begun = asyncio.Event()

    @activity.defn(name="run_attempt")
    async def run_attempt(self, attempt: AttemptInput) -> AttemptResult:
        self.inputs.append(attempt)
        self.begun.set()
        return await self.script(attempt, self)

    async def announce(
        self,
        attempt: AttemptInput,
        phase: Literal[QueueStatus.CLAIMED, QueueStatus.RUNNING] = QueueStatus.RUNNING,
    ) -> None:
        announcement = AttemptStarted(
            attempt=attempt.attempt, agent_id=self.name, phase=phase, claimed_at=1, started_at=2
        )
        await JobClient(self.client).attempt_started(attempt.job_id, announcement)

    def result(self, attempt: AttemptInput, outcome: Outcome, **fields: object) -> AttemptResult:
        base = {"attempt": attempt.attempt, "agent_id": self.name, "claimed_at": 1, "finished_at": 3}
        return AttemptResult.model_validate(base | {"outcome": outcome} | fields)


async def succeed(attempt: AttemptInput, agent: Agent) -> AttemptResult:
    return agent.result(attempt, Outcome.SUCCEEDED, exit_code=0, started_at=2)


def fail(exit_code: int = 1, outcome: Outcome = Outcome.FAILED, *, announce: bool = False, **fields: object) -> Script:
    async def script(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        if announce:
            await agent.announce(attempt)
        code = exit_code if outcome is Outcome.FAILED else None
        return agent.result(attempt, outcome, exit_code=code, **fields)

    return script


def one_after_another(*scripts: Script) -> Script:
    remaining = list(scripts)

    async def script(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        return await (remaining.pop(0) if len(remaining) > 1 else remaining[0])(attempt, agent)

    return script


async def until_cancelled(attempt: AttemptInput, agent: Agent) -> AttemptResult:
    """Run until the server says that the attempt is to be cancelled, as the real agent finds out."""
    await agent.announce(attempt)
    return await wait_for_cancel(attempt, agent)


async def wait_for_cancel(attempt: AttemptInput, agent: Agent) -> AttemptResult:
    service = agent.client.workflow_service
    token = activity.info().task_token
    while True:
        request = RecordActivityTaskHeartbeatRequest(namespace=agent.client.namespace, task_token=token)
        if (await service.record_activity_task_heartbeat(request)).cancel_requested:
            return agent.result(attempt, Outcome.CANCELLED, cause="cancelled", message="Cancelled on request.")
        await asyncio.sleep(0.05)


class Harness:
    """A pool of its own, a recorder, and the jobs a test started."""

    def __init__(self, client: Client, recorder: Recorder, pool: str) -> None:
        self.client, self.recorder, self.pool = client, recorder, pool
        self.job_client = JobClient(client)
        self.started: list[str] = []

    def spec(self, **fields: object) -> JobSpec:
        base = {
            "job_type": "test",
            "git_repo": "file:///srv/shop.git",
            "git_commit_sha": "a" * 40,
            "git_author": "ann@example.com",
            "pool": self.pool,
            "steps": [Step(name="unit", run="pytest -q")],
            "retry": {"initial_interval_seconds": 0.05},
        }
        return JobSpec.model_validate(base | fields)

    async def submit(self, spec: JobSpec | None = None, **fields: object) -> Job:
        """As the API does, only that the record is created first, so that the writes come in one order."""
        start, now = self.input(spec, **fields), time.time_ns() // 1_000_000
        creation = record.creation(start, now)
        await self.recorder.create_job(creation)
        assert await self.job_client.start(start, now) == creation
        return creation.job

    def input(self, spec: JobSpec | None = None, **fields: object) -> JobInput:
        """What starts a job of this test."""
        job_id = str(uuid.uuid4())
        self.started.append(job_id)
        return JobInput.model_validate({"job_id": job_id, "spec": spec or self.spec()} | fields)

    def handle(self, job_id: str) -> WorkflowHandle[JobWorkflow, Job]:
        return self.client.get_workflow_handle_for(JobWorkflow.run, job_workflow_id(job_id))

    async def result(self, job_id: str) -> Job:
        """The record it closed with, however it closed. Raises WorkflowFailureError where there is none."""
        job = await asyncio.wait_for(record_at_end(self.handle(job_id), Job), 60)
        return await self.handle(job_id).result() if job is None else job

    async def until(self, job_id: str, condition: Callable[[Job], bool]) -> Job:
        """Wait until the record that was written last fulfils the condition."""
        for _ in range(1500):
            writes = self.recorder.writes.get(job_id)
            if writes and condition(writes[-1].job):
                return writes[-1].job
            await asyncio.sleep(0.02)
        raise AssertionError(f"never reached; last written: {self.recorder.last(job_id)}")

    @asynccontextmanager
    async def agent(self, script: Script, name: str = "agent-1", pool: str | None = None) -> AsyncGenerator[Agent]:
        agent = Agent(self.client, name, script)
        queue = pool_queue(pool or self.pool)
        async with Worker(self.client, task_queue=queue, activities=[agent.run_attempt], max_concurrent_activities=1):
            yield agent


@asynccontextmanager
async def harness(client: Client) -> AsyncGenerator[Harness]:
    recorder = Recorder()
    async with Worker(
        client,
        task_queue=CONTROL_QUEUE,
        workflows=[JobWorkflow],
        activities=[recorder.create_job, recorder.record_job],
        workflow_runner=LeanSandbox(),
    ):
        yield Harness(client, recorder, f"t-{uuid.uuid4().hex[:12]}")
