"""What a deployment's build and test leave behind is in the workspace of the jobs that follow, also of a rollback."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from temporalio.worker import Worker

from tests.workflows.deployment_harness import Deploys
from tests.workflows.harness import Agent, fail
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.deployments.commands import RecordStage, RollbackCommand
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.services import Service
from workflows.contracts.ids import pool_queue
from workflows.contracts.workspace.resume import ResumeAt

MAKE = [{"name": "make", "run": "make"}]
WANTS = [{"job": "build", "artifacts": ["dist/*"], "path": "in"}]


@asynccontextmanager
async def agents(harness: Deploys, *demands: str) -> AsyncGenerator[list[AttemptInput]]:
    """Of this version: what such an agent was given."""
    given: list[AttemptInput] = []

    async def run(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        given.append(attempt)
        return await harness.run(attempt, agent)

    agent = Agent(harness.client, "agent-2", run)
    queue = pool_queue(harness.pool, demands)
    async with Worker(harness.client, task_queue=queue, activities=[agent.run_attempt]):
        yield given


def a_service(harness: Deploys, **environment: Any) -> Service:
    production = harness.environment(inputs=WANTS, **environment)
    return harness.service(production, build={"pool": harness.pool, "steps": MAKE, "artifacts": ["dist/*"]})


def files(given: list[AttemptInput]) -> list[tuple[str, list[tuple[str | None, list[str], str | None]]]]:
    return [(each.job_type, [(wanted.job, wanted.artifacts, wanted.path) for wanted in each.inputs]) for each in given]


def of(deployment: Deployment) -> list[tuple[str | None, list[str], str | None]]:
    return [(deployment.build_job_id, ["dist/*"], "in")]


async def test_a_rollout_begins_with_the_files_of_its_build(deploys: Deploys) -> None:
    test = {"pool": deploys.pool, "steps": MAKE, "inputs": [{"job": "build"}]}
    service = deploys.service(
        deploys.environment(inputs=[*WANTS, {"job": "test", "artifacts": ["report/**"]}], health_check={"run": "true"}),
        build={"pool": deploys.pool, "steps": MAKE, "artifacts": ["dist/*"]},
        test=test,
    )
    async with agents(deploys, "hybridci/inputs=*") as given:
        live = await deploys.live("1.0", service)
    assert live.build_job_id is not None
    assert files(given) == [
        ("test", [(live.build_job_id, ["**"], None)]),
        ("deploy", [*of(live), (live.test_job_id, ["report/**"], None)]),
    ]
    assert deploys.kinds() == ["build 1.0", "test 1.0", "deploy production 1.0", "health production 1.0"]


async def test_a_rollback_begins_with_the_files_of_the_version_that_comes_back(deploys: Deploys) -> None:
    async with agents(deploys, "hybridci/inputs=*") as given:
        first = await deploys.live("1.0", a_service(deploys))
        second = await deploys.live("1.1", a_service(deploys))
        await deploys.releases.command(second, RollbackCommand(by="cat@example.com", reason="slow"))
        await deploys.until_status(second, "rolled_back")
    assert files(given) == [("deploy", of(first)), ("deploy", of(second)), ("rollback", of(first))]


async def test_rollback_steps_of_their_own_begin_without_files(deploys: Deploys) -> None:
    service = a_service(deploys, rollback={"steps": [{"name": "back", "run": "./switch.sh"}]})
    async with agents(deploys, "hybridci/inputs=*") as given:
        await deploys.live("1.0", service)
        deploys.script("deploy production 1.1", fail())
        await deploys.until_status(await deploys.start("1.1", service), "rolled_back")
    assert [each.job_type for each in given] == ["deploy", "deploy"]
    assert deploys.kinds()[-1] == "rollback production 1.0"


async def test_a_version_without_a_build_cannot_come_back_by_its_files(deploys: Deploys) -> None:
    """Its own environment had no steps of such a name, so that this one's are taken."""
    before = deploys.service({"name": "production", "external": True})
    first = await deploys.start("1.0", before)
    await deploys.until_waits(first, "hybridci deploy record")
    await deploys.releases.command(first, RecordStage(by="ci", environment="production", job_id="4711"))
    await deploys.until_status(first, "live")
    async with agents(deploys, "hybridci/inputs=*"):
        deploys.script("deploy production 1.1", fail())
        second = await deploys.start("1.1", a_service(deploys))
        stuck = await deploys.until(second, lambda each: each.cause == "rollback_failed")
    assert stuck.rollback is not None
    assert stuck.rollback.error_message == "It begins with files of build, and of no build of that version is known."


async def test_a_deployments_job_may_resume(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment(resume="step", health_check={"run": "true"}))
    async with agents(deploys, "hybridci/resume=*", "hybridci/resume-deployments=*") as given:
        await deploys.live("1.0", service)
    assert [(each.job_type, each.resume) for each in given] == [("deploy", ResumeAt.STEP)]
    assert deploys.kinds() == ["deploy production 1.0", "health production 1.0"]
