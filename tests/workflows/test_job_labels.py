"""Jobs that demand labels wait in a queue of their own, and what was asked of a job is in the audit trail."""

import asyncio

import pytest
from temporalio.worker import Worker

from tests.workflows.harness import Agent, Harness, fail, succeed, until_cancelled
from workflows.contracts.commands import Amend, Cancel, Edit, Redrive
from workflows.contracts.errors import InvalidState
from workflows.contracts.ids import is_queue_of, job_workflow_id, pool_queue
from workflows.contracts.labels import contradiction, normalised, unmet
from workflows.contracts.statuses import JobStatus, Priority


@pytest.mark.parametrize(
    ("requires", "labels", "missing"),
    [
        (["os=linux"], {"os": "linux"}, []),
        (["os=linux"], {"os": "macos"}, ["os=linux"]),
        (["gpu=*"], {"gpu": "a100"}, []),
        (["gpu=*", "os=linux"], {"os": "linux"}, ["gpu=*"]),
        (["!spot"], {"spot": "true"}, ["!spot"]),
        (["!spot", "!os=windows"], {"os": "linux"}, []),
        (["!os=windows"], {"os": "windows"}, ["!os=windows"]),
    ],
)
def test_labels_meet_requirements(requires: list[str], labels: dict[str, str], missing: list[str]) -> None:
    assert unmet(labels, requires) == missing


@pytest.mark.parametrize(
    "requires", [["os=linux", "os=macos"], ["!gpu", "gpu=*"], ["gpu=a", "!gpu"], ["os=linux", "!os=linux"]]
)
def test_what_no_agent_can_meet_is_found(requires: list[str]) -> None:
    assert contradiction(requires) is not None
    assert contradiction([requires[0]]) is None


def test_a_demand_has_one_queue_whatever_its_order() -> None:
    one, other = pool_queue("gpu", ["os=linux", "gpu=*"]), pool_queue("gpu", ["gpu=*", "os=linux", "gpu=*"])
    assert one == other != pool_queue("gpu")
    assert is_queue_of("gpu", one)
    assert is_queue_of("gpu", "pool-gpu")
    assert not is_queue_of("gp", one)
    assert not is_queue_of("gpu", "pool-gpu-2")
    assert normalised(["b=1", "a=1", "b=1"]) == ["a=1", "b=1"]


async def test_a_job_with_requirements_goes_to_who_meets_them(jobs: Harness) -> None:
    plain, gpu = Agent(jobs.client, "plain", succeed), Agent(jobs.client, "gpu", succeed)
    async with (
        Worker(jobs.client, task_queue=pool_queue(jobs.pool), activities=[plain.run_attempt]),
        Worker(jobs.client, task_queue=pool_queue(jobs.pool, ["gpu=*"]), activities=[gpu.run_attempt]),
    ):
        needs = await jobs.submit(jobs.spec(requires=["gpu"]))
        any_will_do = await jobs.submit()
        done = await asyncio.gather(jobs.result(needs.job_id), jobs.result(any_will_do.job_id))
    assert [job.agent_id for job in done] == ["gpu", "plain"]
    assert gpu.inputs[0].requires == ["gpu=*"]


async def test_other_requirements_move_a_queued_job(jobs: Harness) -> None:
    job = await jobs.submit(jobs.spec(requires=["os=plan9"]))
    described = await jobs.client.get_workflow_handle(job_workflow_id(job.job_id)).describe()
    assert described.status is not None
    agent = Agent(jobs.client, "linux", succeed)
    async with Worker(jobs.client, task_queue=pool_queue(jobs.pool, ["os=linux"]), activities=[agent.run_attempt]):
        amended = await jobs.job_client.amend(job.job_id, Amend(requires=["os=linux"], by="ann", role="operator"))
        done = await jobs.result(job.job_id)
    assert (amended.requires, done.agent_id, done.status) == (["os=linux"], "linux", JobStatus.SUCCESS)


async def test_commands_are_in_the_audit_trail_with_the_write_that_follows(jobs: Harness) -> None:
    async with jobs.agent(fail()):
        job = await jobs.submit(jobs.spec(retry={"max_attempts": 1}), created_by="ci", role="developer")
        await jobs.until(job.job_id, lambda found: found.status is JobStatus.DEAD_LETTERED)
        edit = Edit(env={"TOKEN": "not for the trail"}, requires=["os=linux"], by="ann", via="cli", role="operator")
        await jobs.job_client.edit(job.job_id, edit)
        await jobs.job_client.redrive(job.job_id, Redrive(by="ann", reason="fixed", address="192.0.2.1"))
        await jobs.job_client.amend(job.job_id, Amend(priority=Priority.LOW, by="bob"))
        await jobs.job_client.cancel(job.job_id, Cancel(by="bob", reason="enough"))
        await jobs.result(job.job_id)
    events = [event for write in jobs.recorder.writes[job.job_id] for event in write.events]
    assert [(event.action, event.by, event.reason) for event in events] == [
        ("job.submitted", "ci", None),
        ("job.edited", "ann", None),
        ("job.redriven", "ann", "fixed"),
        ("job.amended", "bob", None),
        ("job.cancelled", "bob", "enough"),
    ]
    assert (events[0].via, events[0].role, events[0].details) == ("api", "developer", {})
    assert (events[1].via, events[1].role, events[2].address) == ("cli", "operator", "192.0.2.1")
    changed = ["requires: nothing → os=linux", "env TOKEN: set"]
    assert events[1].details == {"requires": ["os=linux"], "changed": changed}
    assert len({event.event_id for event in events}) == 5
    assert all(event.job_id == job.job_id for event in events)


async def test_a_running_job_keeps_its_labels(jobs: Harness) -> None:
    async with jobs.agent(until_cancelled) as agent:
        job = await jobs.submit()
        await agent.begun.wait()
        await jobs.until(job.job_id, lambda found: found.status is JobStatus.RUNNING)
        with pytest.raises(InvalidState, match="only a queued job"):
            await jobs.job_client.amend(job.job_id, Amend(requires=["os=linux"]))
        await jobs.job_client.cancel(job.job_id, Cancel())
        assert (await jobs.result(job.job_id)).status is JobStatus.CANCELLED
