"""Who is given a job that may resume, after the loss of its agent: that agent alone for a while, then anybody."""

import asyncio

import pytest
from temporalio.worker import Worker

from tests.workflows.harness import Agent, Harness, Script, fail, one_after_another, succeed
from workflows.contracts.commands import Amend
from workflows.contracts.ids import pool_queue, resume_queue
from workflows.contracts.jobs import JobSpec
from workflows.contracts.statuses import JobStatus, Outcome
from workflows.contracts.workspace.resume import LostAttempts

LOST = fail(outcome=Outcome.AGENT_LOST, announce=True)
NEEDS = ["hybridci/resume=*"]


def a_spec(jobs: Harness) -> JobSpec:
    return jobs.spec(resume="step")


def worker(jobs: Harness, agent: Agent, queue: str) -> Worker:
    return Worker(jobs.client, task_queue=queue, activities=[agent.run_attempt])


def two(jobs: Harness, script: Script) -> tuple[Agent, Worker, Worker]:
    """An agent that also asks for what it alone may go on with."""
    agent = Agent(jobs.client, "agent-1", script)
    own = resume_queue(jobs.pool, "agent-1")
    return agent, worker(jobs, agent, pool_queue(jobs.pool, NEEDS)), worker(jobs, agent, own)


async def test_the_agent_that_lost_it_gets_it_again_and_knows_what_was_lost(jobs: Harness) -> None:
    agent, pool, own = two(jobs, one_after_another(LOST, LOST, succeed))
    async with own:
        async with pool:
            job = await jobs.submit(a_spec(jobs))
            await jobs.until(job.job_id, lambda found: bool(found.attempts))
        done = await jobs.result(job.job_id)
    assert (done.status, job.requires) == (JobStatus.SUCCESS, NEEDS)
    assert [given.avoid_agent for given in agent.inputs] == [None, None, None]
    assert [given.lost for given in agent.inputs] == [
        None, LostAttempts(agent_id="agent-1", numbers=[1]), LostAttempts(agent_id="agent-1", numbers=[1, 2]),
    ]  # fmt: skip


async def test_an_agent_that_loses_it_three_times_in_a_row_is_avoided(jobs: Harness) -> None:
    agent, pool, own = two(jobs, one_after_another(LOST, LOST, LOST, succeed))
    async with own, pool:
        job = await jobs.submit(a_spec(jobs))
        done = await jobs.result(job.job_id)
    assert [given.avoid_agent for given in agent.inputs] == [None, None, None, "agent-1"]
    assert done.status is JobStatus.SUCCESS


async def test_a_job_that_need_not_resume_goes_on_elsewhere_at_once(jobs: Harness) -> None:
    async with jobs.agent(one_after_another(LOST, succeed)) as agent:
        done = await jobs.result((await jobs.submit()).job_id)
    assert done.status is JobStatus.SUCCESS
    assert [(given.avoid_agent, given.lost) for given in agent.inputs] == [(None, None), ("agent-1", None)]


async def test_once_it_does_not_come_any_agent_begins_it(jobs: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.job.workflow.RESUME_WAIT_SECONDS", 2)
    first, pool, _ = two(jobs, LOST)
    async with pool:
        job = await jobs.submit(a_spec(jobs))
        await jobs.until(job.job_id, lambda found: any(each.finished_at for each in found.attempts))
    second = Agent(jobs.client, "agent-2", succeed)
    async with worker(jobs, second, pool_queue(jobs.pool, NEEDS)):
        done = await jobs.result(job.job_id)
    assert (done.status, done.agent_id) == (JobStatus.SUCCESS, "agent-2")
    assert (len(first.inputs), len(second.inputs)) == (1, 1)
    assert (second.inputs[0].attempt, second.inputs[0].avoid_agent) == (2, None)
    assert second.inputs[0].lost == LostAttempts(agent_id="agent-1", numbers=[1])
    history = await jobs.handle(job.job_id).fetch_history()
    queued = [each.activity_task_scheduled_event_attributes.task_queue.name for each in history.events]
    pool_of_all = pool_queue(jobs.pool, NEEDS)
    assert [name for name in queued if name] == [pool_of_all, resume_queue(jobs.pool, "agent-1"), pool_of_all]


async def test_while_it_waits_for_its_agent_it_can_be_moved_and_cancelled(jobs: Harness) -> None:
    agent, pool, _ = two(jobs, LOST)
    async with pool:
        job = await jobs.submit(a_spec(jobs))
        await jobs.until(job.job_id, lambda found: any(each.finished_at for each in found.attempts))
    await jobs.job_client.amend(job.job_id, Amend(requires=["os=linux"]))
    other = Agent(jobs.client, "agent-2", succeed)
    async with worker(jobs, other, pool_queue(jobs.pool, ["os=linux", *NEEDS])):
        done = await asyncio.wait_for(jobs.handle(job.job_id).result(), 60)
    assert (len(agent.inputs), done.agent_id, done.status) == (1, "agent-2", JobStatus.SUCCESS)
