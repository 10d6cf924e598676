"""A deployment under the policy of its service: whatever its commit says, and from whichever branch it comes."""

from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest

from tests.workflows.deployment_harness import BOB, CAT, Deploys
from tests.workflows.harness import Agent, Script, fail, succeed
from workflows.contracts.attempts import NOT_ON_REF, AttemptInput, AttemptResult
from workflows.contracts.deployments.commands import CancelDeployment, Resume
from workflows.contracts.deployments.services import Service, ServiceSpec
from workflows.contracts.errors import InvalidState
from workflows.contracts.statuses import Outcome

WITHOUT_APPROVAL = """
environments:
  - {{name: staging, pool: {pool}, steps: [{{name: go, run: ./go.sh}}]}}
  - {{name: production, pool: {pool}, steps: [{{name: go, run: ./go.sh}}]}}
"""


def service_of(deploys: Deploys, *, file: str = WITHOUT_APPROVAL, **production: Any) -> Service:
    """Its definition is ``file`` at whatever commit is deployed; ``production``: what its policy asks for there."""
    environments = [
        {"name": "staging", "pools": [deploys.pool]},
        {"name": "production", "pools": [deploys.pool], **production},
    ]
    deploys.script("definition", uploads(deploys, file.format(pool=deploys.pool)))
    return registered(deploys, definition={"pool": deploys.pool}, policy={"environments": environments})


def registered(deploys: Deploys, **fields: Any) -> Service:
    spec = ServiceSpec.model_validate({"git_repo": "file:///srv/shop.git", **fields})
    return Service(name=deploys.name, version=1, spec=spec, created_at=1, updated_at=1)


def uploads(deploys: Deploys, text: str) -> Script:
    """An agent that finds this definition at the commit."""

    async def upload(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        body = text.encode()
        await deploys.stores.artifacts.put(
            attempt.job_id, attempt.attempt, ".hybridci.yml", BytesIO(body), sha256=sha256(body).hexdigest()
        )
        return await succeed(attempt, agent)

    return upload


async def test_a_branch_without_approval_does_not_go_live_unapproved(deploys: Deploys) -> None:
    service = service_of(deploys, approval={"required": 2}, freeze_windows=[])
    waiting = await deploys.until_waits(await deploys.start("1.0", service), "0 of 2 approvals are given")
    assert deploys.kinds() == ["definition 1.0", "deploy staging 1.0"], "nothing of it runs in production"
    assert (waiting.definition.definition, waiting.definition.policy) == (None, None), "what holds, merged"
    await deploys.approve(waiting, BOB)
    await deploys.approve(waiting, CAT)
    live = await deploys.until_status(waiting, "live")
    assert [entry.by for entry in live.approvals] == [BOB, CAT]


async def test_a_file_that_loosens_ends_the_deployment_and_names_the_fields(deploys: Deploys) -> None:
    file = """
environments:
  - {{name: staging, pool: {pool}, steps: [{{name: go, run: ./go.sh}}]}}
  - {{name: production, pool: other, rollback: {{steps: [{{name: b, run: ./b}}]}}, steps: [{{name: go, run: ./go.sh}}]}}
"""
    service = service_of(deploys, file=file)
    ended = await deploys.until_status(await deploys.start("1.0", service), "failed")
    assert ended.cause == "definition_invalid"
    for said in ("environments.production.pool", "environments.production.rollback", "hybridci service apply"):
        assert said in (ended.error_message or ""), ended.error_message
    assert deploys.kinds() == ["definition 1.0"], "nothing of such a commit runs"


async def test_a_rollback_runs_the_policys_steps(deploys: Deploys) -> None:
    service = service_of(deploys, rollback={"steps": [{"name": "back", "run": "./policy-back.sh"}]})
    await deploys.live("1.0", service)
    deploys.script("deploy production 1.1", fail(1))
    await deploys.until_status(await deploys.start("1.1", service), "rolled_back")
    assert [ran.steps for ran in deploys.ran if ran.kind == "rollback"] == [["./policy-back.sh"]]


async def test_a_deployment_that_began_before_there_were_policies_goes_on(deploys: Deploys) -> None:
    """Only starting one without a policy is refused, and that by the API."""
    service = registered(deploys, definition={"pool": deploys.pool})
    deploys.script("definition", uploads(deploys, WITHOUT_APPROVAL.format(pool=deploys.pool)))
    live = await deploys.live("1.0", service)
    assert [each.name for each in live.definition.environments] == ["staging", "production"]


async def test_a_commit_that_is_not_on_the_ref_waits_and_goes_on_once_it_is(deploys: Deploys) -> None:
    missing = fail(1, Outcome.CHECKOUT_FAILED, retryable=False, cause=NOT_ON_REF, message="It is not on main.")
    deploys.script("source", missing)
    service = deploys.service(commit_on_ref=True, git_ref="main")
    one = await deploys.start("1.0", service)
    waiting = await deploys.until_waits(one, "waits for its commit to be on main. It is not on main.")
    assert (waiting.status, waiting.environment) == ("pending", None)
    assert f"hybridci deploy resume {one.deployment_id}" in (waiting.waits_for or "")
    await deploys.releases.command(one, Resume(by=BOB, reason="look again"))
    await deploys.until(one, lambda found: found.source_job_id != waiting.source_job_id and found.waits_for is not None)
    deploys.script("source", succeed)  # it was merged
    await deploys.releases.command(one, Resume(by=BOB, reason="merged"))
    await deploys.until_status(one, "live")
    assert deploys.kinds() == ["source 1.0"] * 3 + ["deploy staging 1.0", "deploy production 1.0"]
    asked = [ran.on_ref for ran in deploys.ran]
    assert asked == ["main"] * 3 + [None, None]
    actions = [event.action for event in await deploys.events(one)]
    assert actions.count("deployment.commit_missed") == 2
    with pytest.raises(InvalidState, match="not paused"):
        await deploys.releases.command(one, Resume(by=BOB, reason="again"))


async def test_nothing_of_a_commit_counts_before_it_is_on_the_ref(deploys: Deploys) -> None:
    deploys.script("source", fail(1, Outcome.CHECKOUT_FAILED, retryable=False, cause=NOT_ON_REF, message="No."))
    base = service_of(deploys)
    spec = base.spec.model_copy(update={"commit_on_ref": True, "git_ref": "main"})
    one = await deploys.start("1.0", base.model_copy(update={"spec": spec}))
    await deploys.until_waits(one, "waits for its commit")
    await deploys.crash()
    assert deploys.kinds() == ["source 1.0"], "its definition is not read"
    await deploys.releases.command(one, CancelDeployment(by=BOB))
    ended = await deploys.until_status(one, "failed")
    assert (ended.cause, ended.closed) == ("cancelled", True)


async def test_an_agent_that_cannot_look_ends_the_deployment(deploys: Deploys) -> None:
    deploys.script("source", fail(1))  # the step of an agent that knows nothing of refs
    service = deploys.service(commit_on_ref=True, git_ref="main")
    ended = await deploys.until_status(await deploys.start("1.0", service), "failed")
    assert ended.cause == "source_failed"
    assert f"hybridci job logs {ended.source_job_id}" in (ended.error_message or "")
