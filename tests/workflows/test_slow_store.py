"""A store that is slow or away while workflows run: what lasts goes on as an ordinary activity, and what was decided is
decided again in every replay. The many orders are in ``tests/outages``.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from activities.sandbox import LeanSandbox
from tests.workflows.deployment_harness import Deploys
from tests.workflows.harness import Agent, Harness, fail, succeed
from workflows import calls
from workflows.contracts.accepted import Accepted
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.commands import JobInput, Redrive
from workflows.contracts.errors import Unavailable
from workflows.contracts.ids import CONTROL_QUEUE, job_workflow_id
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, Outcome
from workflows.job import record
from workflows.job.workflow import JobWorkflow

EVENTS_OF_A_CALL = {"record_job", "record_deployment", "record_environment"}


async def replays(jobs: Harness, job_id: str) -> WorkflowHistory:
    history = await jobs.client.get_workflow_handle(job_workflow_id(job_id)).fetch_history()
    replayer = Replayer(workflows=[JobWorkflow], data_converter=pydantic_data_converter, workflow_runner=LeanSandbox())
    await replayer.replay_workflow(history)
    return history


def gone_on(history: WorkflowHistory) -> list[str]:
    """The calls that became ordinary activities."""
    scheduled = [event.activity_task_scheduled_event_attributes.activity_type.name for event in history.events]
    return [name for name in scheduled if name in EVENTS_OF_A_CALL]


def renewed(event: HistoryEvent, after: HistoryEvent) -> bool:
    """A task that ended by asking for the next one: it waited for a local activity."""
    ended = event.HasField("workflow_task_completed_event_attributes")
    return ended and after.HasField("workflow_task_scheduled_event_attributes")


async def test_a_write_that_lasts_goes_on_as_an_activity(jobs: Harness) -> None:
    jobs.recorder.slow = lambda write: 3.5 if write.job.status is JobStatus.SUCCESS else 0
    async with jobs.agent(succeed):
        done = await jobs.result((await jobs.submit()).job_id)
    assert jobs.recorder.last(done.job_id) == done
    assert jobs.recorder.calls[done.job_id] == [("success", True), ("success", False)]
    assert gone_on(await replays(jobs, done.job_id)) == ["record_job"]


async def test_a_store_that_refuses_again_and_again_renews_no_task(jobs: Harness) -> None:
    """Refused at once: a local activity that is tried again would be between two tries when its time is up."""
    until = time.monotonic() + 9

    def refuse(write: JobWrite) -> float:
        if write.job.status is JobStatus.RUNNING and time.monotonic() < until:
            raise RuntimeError("the store refuses writes")
        return 0

    jobs.recorder.slow = refuse
    async with jobs.agent(fail(1, announce=True)):
        job = await jobs.submit(jobs.spec(retry={"max_attempts": 1}))
        await jobs.until(job.job_id, lambda job: job.status is JobStatus.DEAD_LETTERED)
    history = await replays(jobs, job.job_id)
    assert not any(renewed(event, after) for event, after in pairwise(history.events))
    assert gone_on(history) == ["record_job"]


async def test_several_writes_of_one_task_together_end_before_it_is_renewed(jobs: Harness) -> None:
    """Each takes long, none too long: only the sum would outlive the task."""
    jobs.recorder.slow = lambda _: 2.5
    async with jobs.agent(fail(1)):
        job = await jobs.submit(jobs.spec(retry={"max_attempts": 2, "initial_interval_seconds": 0}))
        await jobs.until(job.job_id, lambda job: job.status is JobStatus.DEAD_LETTERED)
    history = await replays(jobs, job.job_id)
    assert not any(renewed(event, after) for event, after in pairwise(history.events))
    assert jobs.recorder.last(job.job_id).status is JobStatus.DEAD_LETTERED


async def started(jobs: Harness) -> JobInput:
    """A job whose workflow's tasks are renewed after 1.6 s."""
    now = time.time_ns() // 1_000_000
    start = jobs.input(jobs.spec(retry={"max_attempts": 1}), accepted_at=now)
    await jobs.recorder.create_job(record.creation(start, now))
    await jobs.client.start_workflow(
        "JobWorkflow",
        start,
        id=job_workflow_id(start.job_id),
        task_queue=CONTROL_QUEUE,
        task_timeout=timedelta(seconds=2),
    )
    return start


async def replays_as_the_sdk_tells_it(history: WorkflowHistory) -> bool:
    """Without ``activities.delivery``."""
    replayer = Replayer(workflows=[JobWorkflow], data_converter=pydantic_data_converter)
    try:
        await replayer.replay_workflow(history)
    except NondeterminismError:
        return False
    return True


async def test_a_task_that_is_renewed_all_the_same_is_replayed_as_it_went(
    jobs: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a worker that stands still, and in all histories of before: the end of the attempt comes with one renewal
    of the task that writes its start, and the write ends only after another one.
    """
    monkeypatch.setattr(calls, "LOCAL_SECONDS", 60)
    jobs.recorder.slow = lambda write: 5 if write.job.status is JobStatus.RUNNING else 0

    async def announce_and_fail(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        if attempt.env.get("OK") == "1":
            return agent.result(attempt, Outcome.SUCCEEDED, exit_code=0)
        await agent.announce(attempt)
        return agent.result(attempt, Outcome.FAILED, exit_code=1)

    async with jobs.agent(announce_and_fail):
        for _ in range(5):  # on a busy machine the end can come with the start, and then there is no other order
            start = await started(jobs)
            await jobs.until(start.job_id, lambda job: job.status is JobStatus.DEAD_LETTERED)
            history = await replays(jobs, start.job_id)
            assert any(renewed(event, after) for event, after in pairwise(history.events))
            if not await replays_as_the_sdk_tells_it(history):
                break
        else:
            pytest.fail("five times the SDK by itself told it in the same order")
        await jobs.job_client.redrive(start.job_id, Redrive.model_validate({"edit": {"env": {"OK": "1"}}}))
        assert (await jobs.result(start.job_id)).status is JobStatus.SUCCESS
    await replays(jobs, start.job_id)


async def test_a_deployment_goes_live_through_an_outage(deploys: Deploys, monkeypatch: pytest.MonkeyPatch) -> None:
    """All writes are refused for 4 s; what was begun goes on, and the lock is told once."""
    away = True
    for store in (deploys.stores.deployments, deploys.stores.environments, deploys.stores.jobs):
        write = store.write

        async def refuse_or_write(
            change: Any, document: str | None = None, *, write: Callable[..., Awaitable[Any]] = write
        ) -> Any:
            if away:
                raise Unavailable("the store refuses writes")
            return await write(change, document) if document is not None else await write(change)

        monkeypatch.setattr(store, "write", refuse_or_write)
    start = deploys.input("1.0")
    starting = asyncio.create_task(deploys.releases.start(start))
    await asyncio.sleep(4)
    away = False
    with suppress(Accepted):  # on a slow machine its record follows
        await starting
    live = None
    while live is None:
        await deploys.pause()
        live = await deploys.stores.deployments.get(start.deployment_id)
    deploys.started.append(live)
    live = await deploys.until_status(live, "live", seconds=40)
    await deploys.crash()
    assert (await deploys.until_environment(lambda state: state.live is not None)).live is not None
    assert (await deploys.handle(live).query("state")) is not None
