"""Whatever a deployment runs is signed as its agent gets it: each kind of job, each attempt, going there and back."""

import base64
import time

import pytest
from nacl.signing import SigningKey

from activities.deployments.signing import SpecSigner
from agent.safety.specifications import ControlKey, ControlKeys, Specifications, Verified
from tests.workflows.deployment_harness import BOB, Deploys
from tests.workflows.harness import Agent, fail, succeed
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.commands import JobInput
from workflows.contracts.deployments.commands import RollbackCommand
from workflows.deployment.jobs import Jobs

KEY = SigningKey(b"k" * 32)
KEYS = ControlKeys(keys=[ControlKey(name="control", key=base64.b64encode(bytes(KEY.verify_key)).decode())])


async def test_every_attempt_of_every_job_is_signed_for_its_agent(deploys: Deploys) -> None:
    deploys.signer = SpecSigner(KEY)
    await deploys.crash()  # a control worker that has the key
    known, seen = Specifications(KEYS, deploys.pool), list[tuple[str, int]]()

    async def checked(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        verified = known.verified(attempt, int(time.time() * 1000))
        assert attempt.deployment_id is not None
        assert verified == Verified(deploys.name, attempt.deployment_id)
        seen.append((attempt.job_type, attempt.attempt))
        first_build = (attempt.job_type, attempt.attempt) == ("build", 1)
        bad = attempt.job_type == "verify" and attempt.env["HYBRIDCI_VERSION"] == "1.1"
        return await (fail() if first_build or bad else succeed)(attempt, agent)

    deploys.script("", checked)
    build = {"pool": deploys.pool, "steps": [{"name": "b", "run": "make"}], "retry": {"initial_interval_seconds": 0.05}}
    test = {"pool": deploys.pool, "steps": [{"name": "t", "run": "make test"}]}
    production = deploys.environment(
        health_check={"run": "true"}, verification={"run": "./verify.sh"}, secrets=["TOKEN"], env={"A": "1"}
    )
    service = deploys.service(production, build=build, test=test)
    await deploys.live("1.0", service)
    going = [("build", 1), ("build", 2), ("test", 1), ("deploy", 1), ("health", 1), ("verify", 1)]
    assert seen == going
    seen.clear()
    await deploys.until_status(await deploys.start("1.1", service), "rolled_back")
    assert seen == [*going, ("rollback", 1), ("health", 1)]


async def test_what_went_live_before_there_were_signatures_rolls_back_with_them(
    deploys: Deploys, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def as_before(jobs: Jobs, start: JobInput, *, stoppable: bool) -> JobInput:
        return start

    deploys.signer = SpecSigner(KEY)
    production = deploys.environment(health_check={"run": "true"})
    with monkeypatch.context() as earlier:
        earlier.setattr(Jobs, "_signed", as_before)
        await deploys.crash()
        await deploys.live("1.0", deploys.service(production))
        two = await deploys.live("1.1", deploys.service(production))
        await deploys.stop_worker()
    await deploys.start_worker()  # this version, which knows of the workflow only what is in its history
    known, seen = Specifications(KEYS, deploys.pool), list[str]()

    async def checked(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        known.verified(attempt, int(time.time() * 1000))
        seen.append(attempt.job_type)
        return await succeed(attempt, agent)

    deploys.script("", checked)
    await deploys.releases.command(two, RollbackCommand(by=BOB, reason="slow"))
    await deploys.until_status(two, "rolled_back")
    assert seen == ["rollback", "health"]
