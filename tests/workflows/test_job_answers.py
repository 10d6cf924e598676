"""Answers of agents that are no results: the job goes on, on a real server with the SDK's own worker."""

import pytest
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.worker import Worker

from tests.workflows.harness import Agent, Harness, fail, succeed
from workflows.client.jobs import JobClient
from workflows.client.proving import Prover
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.ids import pool_queue
from workflows.contracts.statuses import JobStatus, Outcome
from workflows.job.lost_attempt import MAX_RESULT_BYTES


async def test_each_attempt_is_given_its_own_key_to_deliver_with(jobs: Harness) -> None:
    """A job's key is the API's; a job that another has started has none."""
    given: dict[str, list[str | None]] = {}

    async def fails_once(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        given.setdefault(attempt.job_id, []).append(attempt.delivery_key)
        return await (succeed if attempt.attempt == 2 else fail())(attempt, agent)

    prover = Prover(b"a secret")
    started = [JobClient(jobs.client, prover), JobClient(jobs.client)]
    spec = jobs.spec(retry={"max_attempts": 2, "initial_interval_seconds": 0.05})
    async with jobs.agent(fails_once):
        proven, plain = [await jobs.result((await client.submit(jobs.input(spec))).job_id) for client in started]
    first, second = [key or "" for key in given[proven.job_id]]
    for number, key in ((1, first), (2, second)):
        assert prover.is_attempt_key(proven.job_id, number, key)
        assert not prover.is_attempt_key(proven.job_id, 3 - number, key)
        assert not Prover(b"another").is_attempt_key(proven.job_id, number, key)
    assert given[plain.job_id] == [None, None]
    assert "delivery_key" not in proven.model_dump_json(), "the record does not have it"


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
