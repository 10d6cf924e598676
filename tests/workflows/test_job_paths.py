"""Every path of a job, on the real server, with scripted agents."""

import asyncio

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from tests.workflows.harness import Agent, Harness, fail, one_after_another, succeed, until_cancelled, wait_for_cancel
from workflows.contracts import search_attributes as attributes
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.commands import Amend, Cancel, Complete, Discard, Edit, JobInput, Redrive
from workflows.contracts.errors import InvalidState, NotFound, ValidationFailed
from workflows.contracts.ids import job_workflow_id
from workflows.contracts.statuses import JobStatus, Outcome, Priority, QueueStatus


async def test_success(jobs: Harness) -> None:
    async with jobs.agent(succeed) as agent:
        submitted = await jobs.submit()
        assert submitted.status is JobStatus.QUEUED
        assert jobs.recorder.writes[submitted.job_id][0].job == submitted
        job = await jobs.result(submitted.job_id)
    assert (job.status, job.queue_status, job.exit_code) == (JobStatus.SUCCESS, QueueStatus.COMPLETED, 0)
    assert [attempt.agent_id for attempt in job.attempts] == ["agent-1"]
    assert job == jobs.recorder.last(job.job_id)
    assert [given.job_id for given in agent.inputs] == [job.job_id]
    assert jobs.recorder.statuses(job.job_id) == ["queued", "success"]


async def test_announced_start_is_recorded(jobs: Harness) -> None:
    async with jobs.agent(until_cancelled):
        job = await jobs.submit()
        running = await jobs.until(job.job_id, lambda job: job.status is JobStatus.RUNNING)
        assert (running.queue_status, running.agent_id) == (QueueStatus.RUNNING, "agent-1")
        assert running.lease_expires_at is not None
        await jobs.job_client.cancel(job.job_id, Cancel(by="ann"))
        assert (await jobs.result(job.job_id)).status is JobStatus.CANCELLED


async def test_claimed_then_running(jobs: Harness) -> None:
    async def script(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        await agent.announce(attempt, QueueStatus.CLAIMED)
        await agent.announce(attempt, QueueStatus.RUNNING)
        await agent.announce(attempt, QueueStatus.CLAIMED)  # late: changes nothing
        return await succeed(attempt, agent)

    async with jobs.agent(script):
        job = await jobs.result((await jobs.submit()).job_id)
    seen = [write.job.queue_status.value for write in jobs.recorder.writes[job.job_id]]
    assert seen == sorted(seen, key=["QUEUED", "CLAIMED", "RUNNING", "COMPLETED"].index)
    assert len(job.attempts) == 1


async def test_retry_then_success(jobs: Harness) -> None:
    async with jobs.agent(one_after_another(fail(3), succeed)) as agent:
        job = await jobs.result((await jobs.submit()).job_id)
    assert job.status is JobStatus.SUCCESS
    assert [(attempt.number, attempt.exit_code) for attempt in job.attempts] == [(1, 3), (2, 0)]
    assert [given.attempt for given in agent.inputs] == [1, 2]
    assert job.error_message is None


async def test_a_job_whose_record_the_workflow_creates_goes_the_same_way(jobs: Harness) -> None:
    """As the jobs of deployments do, and large ones."""
    job_client = jobs.job_client
    async with jobs.agent(one_after_another(fail(3, announce=True), succeed)):
        created = await job_client.submit(jobs.input())
        assert jobs.recorder.last(created.job_id).status is JobStatus.QUEUED
        done = await jobs.result(created.job_id)
    assert [attempt.exit_code for attempt in done.attempts] == [3, 0]
    assert jobs.recorder.last(created.job_id) == done
    waiting = await job_client.submit(jobs.input())
    await job_client.cancel(waiting.job_id, Cancel(by="ann"))
    assert jobs.recorder.statuses(waiting.job_id) == ["queued", "cancelled"]


async def test_final_exit_code_fails_at_once(jobs: Harness) -> None:
    async with jobs.agent(fail(2)):
        spec = jobs.spec(retry={"final_exit_codes": [2]})
        job = await jobs.result((await jobs.submit(spec)).job_id)
    assert (job.status, job.exit_code, len(job.attempts)) == (JobStatus.FAILED, 2, 1)


async def test_three_attempts_park_in_few_events(jobs: Harness) -> None:
    """Each attempt is announced, fails and waits for its backoff; then it is redriven with changes and succeeds."""
    async with jobs.agent(one_after_another(*[fail(1, announce=True)] * 3, succeed)) as agent:
        job = await jobs.submit()
        parked = await jobs.until(job.job_id, lambda job: job.status is JobStatus.DEAD_LETTERED)
        assert parked.queue_status is QueueStatus.DEAD_LETTERED
        assert "used up" in (parked.error_message or "")
        events = [event async for event in jobs.handle(job.job_id).fetch_history_events()]
        assert len(events) < 60, " ".join(str(event.event_type) for event in events)
        edited = await jobs.job_client.edit(job.job_id, Edit(env={"A": "1"}, priority=Priority.HIGH, timeout_seconds=7))
        assert edited.env == {"A": "1"}
        again = await jobs.job_client.redrive(job.job_id, Redrive(by="ann"))
        assert again.status in {JobStatus.QUEUED, JobStatus.SUCCESS}
        done = await jobs.result(job.job_id)
    assert done.status is JobStatus.SUCCESS
    assert [attempt.number for attempt in done.attempts] == [1, 2, 3, 4]
    assert (agent.inputs[-1].env, agent.inputs[-1].timeout_seconds) == ({"A": "1"}, 7)


async def test_discarded_dead_letter(jobs: Harness) -> None:
    async with jobs.agent(fail(1)):
        job = await jobs.submit(jobs.spec(retry={"max_attempts": 1}))
        await jobs.until(job.job_id, lambda job: job.status is JobStatus.DEAD_LETTERED)
        with pytest.raises(InvalidState, match="dead_lettered"):
            await jobs.job_client.amend(job.job_id, Amend(priority=Priority.LOW))
        done = await jobs.job_client.discard(job.job_id, Discard(reason="known", by="ann"))
    assert done.status is JobStatus.FAILED
    assert "Discarded by ann: known" in (done.error_message or "")
    assert (await jobs.result(job.job_id)).status is JobStatus.FAILED


async def test_cancelled_dead_letter(jobs: Harness) -> None:
    async with jobs.agent(fail(1)):
        job = await jobs.submit(jobs.spec(retry={"max_attempts": 1}))
        await jobs.until(job.job_id, lambda job: job.status is JobStatus.DEAD_LETTERED)
        done = await jobs.job_client.cancel(job.job_id, Cancel())
    assert done.status is JobStatus.CANCELLED
    assert await jobs.result(job.job_id) == done


async def test_timeout_parks(jobs: Harness) -> None:
    async with jobs.agent(fail(outcome=Outcome.TIMED_OUT, cause="job_timeout", message="It ran longer than 5 s.")):
        job = await jobs.submit(jobs.spec(timeout_seconds=5))
        parked = await jobs.until(job.job_id, lambda job: job.status is JobStatus.DEAD_LETTERED)
        assert parked.cause == "job_timeout"
        done = await jobs.job_client.discard(job.job_id, Discard())
    assert done.status is JobStatus.TIMEOUT


async def test_unparked_failure_keeps_its_status(jobs: Harness) -> None:
    async with jobs.agent(fail(outcome=Outcome.TIMED_OUT)):
        job = await jobs.result((await jobs.submit(jobs.spec(retry={"park": False}))).job_id)
    assert job.status is JobStatus.TIMEOUT


async def test_unknown_commit_is_not_tried_again(jobs: Harness) -> None:
    async with jobs.agent(fail(outcome=Outcome.CHECKOUT_FAILED, retryable=False, cause="unknown_commit")) as agent:
        job = await jobs.submit()
        parked = await jobs.until(job.job_id, lambda job: job.status is JobStatus.DEAD_LETTERED)
    assert (parked.cause, len(agent.inputs)) == ("unknown_commit", 1)


async def test_cancel_while_queued(jobs: Harness) -> None:
    job = await jobs.submit()
    cancelled = await jobs.job_client.cancel(job.job_id, Cancel(reason="wrong branch", by="ann"))
    assert (cancelled.status, cancelled.attempts) == (JobStatus.CANCELLED, [])
    assert cancelled.error_message == "Cancelled by ann: wrong branch"
    assert jobs.recorder.last(job.job_id) == cancelled
    with pytest.raises((NotFound, InvalidState)):
        await jobs.job_client.cancel(job.job_id, Cancel())


async def test_cancel_while_running(jobs: Harness) -> None:
    async with jobs.agent(until_cancelled):
        job = await jobs.submit()
        await jobs.until(job.job_id, lambda job: job.status is JobStatus.RUNNING)
        answer = await jobs.job_client.cancel(job.job_id, Cancel())
        assert answer.status is JobStatus.RUNNING
        done = await jobs.result(job.job_id)
    assert (done.status, done.attempts[0].outcome) == (JobStatus.CANCELLED, Outcome.CANCELLED)


async def test_cancel_while_claimed(jobs: Harness) -> None:
    async def check_out_for_ever(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        await agent.announce(attempt, QueueStatus.CLAIMED)
        return await wait_for_cancel(attempt, agent)

    async with jobs.agent(check_out_for_ever):
        job = await jobs.submit()
        await jobs.until(job.job_id, lambda job: job.queue_status is QueueStatus.CLAIMED)
        await jobs.job_client.cancel(job.job_id, Cancel())
        done = await jobs.result(job.job_id)
    assert (done.status, done.queue_status) == (JobStatus.CANCELLED, QueueStatus.CANCELLED)


async def test_cancel_during_backoff(jobs: Harness) -> None:
    async with jobs.agent(fail(1)):
        job = await jobs.submit(jobs.spec(retry={"initial_interval_seconds": 3600, "max_interval_seconds": 3600}))
        waiting = await jobs.until(job.job_id, lambda job: job.next_attempt_at is not None)
        assert waiting.status is JobStatus.QUEUED
        done = await jobs.job_client.cancel(job.job_id, Cancel())
    assert (done.status, len(done.attempts)) == (JobStatus.CANCELLED, 1)


async def test_cancel_in_the_temporal_ui(jobs: Harness) -> None:
    job = await jobs.submit()
    await jobs.handle(job.job_id).cancel()
    done = await jobs.result(job.job_id)
    assert (done.status, jobs.recorder.last(job.job_id)) == (JobStatus.CANCELLED, done)


async def test_success_wins_over_a_late_cancel(jobs: Harness) -> None:
    async def script(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        await until_cancelled(attempt, agent)
        return await succeed(attempt, agent)

    async with jobs.agent(script):
        job = await jobs.submit()
        await jobs.until(job.job_id, lambda job: job.status is JobStatus.RUNNING)
        await jobs.job_client.cancel(job.job_id, Cancel())
        assert (await jobs.result(job.job_id)).status is JobStatus.SUCCESS


async def test_completed_from_outside(jobs: Harness) -> None:
    job = await jobs.submit()
    done = await jobs.job_client.complete(job.job_id, Complete(exit_code=0, by="other-ci"))
    assert (done.status, done.exit_code) == (JobStatus.SUCCESS, 0)


async def test_reprioritise_and_move_while_queued(jobs: Harness) -> None:
    job = await jobs.submit()
    urgent = await jobs.job_client.amend(job.job_id, Amend(priority=Priority.CRITICAL, labels={"why": "hotfix"}))
    assert (urgent.priority, urgent.status, urgent.labels) == (Priority.CRITICAL, JobStatus.QUEUED, {"why": "hotfix"})
    other = f"{jobs.pool}-b"
    await jobs.job_client.amend(job.job_id, Amend(pool=other))
    async with jobs.agent(succeed, pool=other):
        done = await jobs.result(job.job_id)
    assert (done.pool, done.status, len(done.attempts)) == (other, JobStatus.SUCCESS, 1)


async def test_move_as_an_agent_begins(jobs: Harness) -> None:
    """The agent has the attempt, its announcement is still under way: the attempt is taken back, at no one's cost."""
    async with jobs.agent(wait_for_cancel) as first:
        job = await jobs.submit()
        await first.begun.wait()
        other = f"{jobs.pool}-b"
        await jobs.job_client.amend(job.job_id, Amend(pool=other))
        async with jobs.agent(succeed, name="agent-2", pool=other):
            done = await jobs.result(job.job_id)
    assert [(attempt.number, attempt.agent_id) for attempt in done.attempts] == [(1, "agent-1"), (2, "agent-2")]
    assert (done.attempts[0].cause, done.status) == ("moved", JobStatus.SUCCESS)


async def test_lost_agent_goes_on_elsewhere(jobs: Harness) -> None:
    """The server gives the attempt up when its lease lapses; the next agent is told whom to prefer not to be."""

    async def vanish(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        await agent.announce(attempt)
        await asyncio.sleep(60)  # sends no heartbeat
        raise AssertionError("the worker was to be gone by now")

    async def decline_then_run(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        if attempt.attempt == 1:
            return await vanish(attempt, agent)
        if attempt.avoid_agent == agent.name:
            return agent.result(attempt, Outcome.DECLINED)
        return await succeed(attempt, agent)

    async with jobs.agent(one_after_another(decline_then_run)) as agent:
        job = await jobs.submit()
        await jobs.until(job.job_id, lambda job: job.status is JobStatus.RUNNING)
        done = await asyncio.wait_for(jobs.handle(job.job_id).result(), 60)
    assert [attempt.outcome for attempt in done.attempts] == [Outcome.AGENT_LOST, Outcome.SUCCEEDED]
    assert "agent-1 stopped answering" in (done.attempts[0].message or "")
    assert [given.avoid_agent for given in agent.inputs] == [None, "agent-1", None]


async def test_a_failing_store_delays_but_loses_nothing(jobs: Harness) -> None:
    async with jobs.agent(succeed):
        jobs.recorder.fail_next = 3
        done = await jobs.result((await jobs.submit()).job_id)
    assert jobs.recorder.last(done.job_id) == done


async def test_same_id_is_the_same_job(jobs: Harness) -> None:
    async with jobs.agent(succeed) as agent:
        first = await jobs.submit(fingerprint="one")
        again = JobInput(job_id=first.job_id, spec=jobs.spec(job_type="other"), fingerprint="two")
        assert (await jobs.job_client.submit(again)).fingerprint == "one"
        await jobs.result(first.job_id)
        assert (await jobs.job_client.submit(again)).fingerprint == "one"
    assert len(agent.inputs) == 1


async def test_a_refused_record_refuses_the_job(jobs: Harness) -> None:
    detail = {"errors": [{"field": "git_repo", "message": "is missing"}]}
    jobs.recorder.reject = ApplicationError("bad", detail, type="validation_failed", non_retryable=True)
    start = jobs.input()
    with pytest.raises(ValidationFailed) as refused:
        await jobs.job_client.submit(start)
    assert [error.field for error in refused.value.errors] == ["git_repo"]
    with pytest.raises(WorkflowFailureError):
        await jobs.result(jobs.started[-1])
    with pytest.raises(ValidationFailed, match="bad") as again:  # also to whom asks when it has ended
        await jobs.job_client.submit(start)
    assert again.value.errors == refused.value.errors


async def test_search_attributes_and_words(jobs: Harness) -> None:
    async with jobs.agent(fail(1)):
        job = await jobs.submit(jobs.spec(retry={"max_attempts": 1}))
        await jobs.until(job.job_id, lambda job: job.status is JobStatus.DEAD_LETTERED)
        description = await jobs.handle(job.job_id).describe()
        while description.typed_search_attributes.get(attributes.STATUS) != "dead_lettered":  # shown after the record
            description = await jobs.handle(job.job_id).describe()
    found = description.typed_search_attributes
    assert (found.get(attributes.POOL), found.get(attributes.SHA)) == (jobs.pool, "a" * 40)
    assert found.get(attributes.AGENT) == "agent-1"
    assert "shop @ aaaaaaaa" in (await description.static_summary() or "")
    details = await jobs.client.get_workflow_handle(job_workflow_id(job.job_id)).query(  # pyright: ignore[reportUnknownMemberType]
        "__temporal_workflow_metadata"
    )
    assert f"hybridci dlq redrive {job.job_id}" in str(details)
