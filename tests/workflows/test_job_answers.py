"""Answers of agents that are no results: the job goes on, on a real server with the SDK's own worker."""

import pytest
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.worker import Worker

from tests.workflows.harness import Agent, Harness, succeed
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.ids import pool_queue
from workflows.contracts.statuses import JobStatus, Outcome
from workflows.job.lost_attempt import MAX_RESULT_BYTES


@pytest.mark.parametrize("what", ["junk", "nothing", "no encoding", "another attempt", "too much"])
async def test_an_answer_that_is_no_result_costs_one_attempt(jobs: Harness, what: str) -> None:
    """The job goes on: an agent with a stolen token, or of another version, must not stop it for good."""
    attempts: list[int] = []

    @activity.defn(name="run_attempt")
    async def answer(attempt: AttemptInput) -> object:
        attempts.append(attempt.attempt)
        result = Agent(jobs.client, "agent-1", succeed).result(attempt, Outcome.SUCCEEDED)
        wrong: dict[str, object] = {
            "junk": {"evil": 1},
            "nothing": None,
            "no encoding": RawValue(Payload(metadata={"encoding": b"\xff"}, data=b"\xff")),
            "another attempt": result.model_copy(update={"attempt": 7}),
            "too much": result.model_copy(update={"message": "x" * MAX_RESULT_BYTES}),
        }
        return wrong[what] if len(attempts) == 1 else result

    async with Worker(jobs.client, task_queue=pool_queue(jobs.pool), activities=[answer]):
        job = await jobs.result((await jobs.submit()).job_id)
    assert job.status is JobStatus.SUCCESS
    assert attempts == [attempt.number for attempt in job.attempts] == [1, 2]
    assert job.attempts[0].outcome is Outcome.AGENT_ERROR
    assert "no result of attempt 1" in (job.attempts[0].message or "")
