"""The way of a deployment from start to live and after, on the real server, with scripted agents."""

import hashlib
import io
import time
import uuid

import pytest

from tests.workflows.approvals import ONE, waiting_for_approval
from tests.workflows.deployment_harness import BOB, STEP, Deploys
from tests.workflows.harness import Agent, fail, succeed, until_cancelled
from workflows.contracts import search_attributes as attributes
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.deployments.commands import (
    CancelDeployment,
    RecordStage,
    RollbackCommand,
)
from workflows.contracts.deployments.deployment import StageStatus
from workflows.contracts.deployments.environments import FreezeCommand
from workflows.contracts.deployments.services import Service, ServiceSpec
from workflows.contracts.errors import InvalidState
from workflows.contracts.statuses import Outcome


async def test_a_version_becomes_live_and_the_next_takes_its_place(deploys: Deploys) -> None:
    one = await deploys.start("1.0")
    assert one.status == "pending"
    assert await deploys.get(one) == one, "readable as soon as it is acknowledged"
    live = await deploys.until_status(one, "live")
    assert [stage.status for stage in live.stages] == [StageStatus.DEPLOYED, StageStatus.DEPLOYED]
    two = await deploys.live("1.1")
    gone = await deploys.until_status(one, "superseded")
    assert (gone.superseded_by, gone.closed) == (two.deployment_id, True)
    assert await deploys.handle(one).result() == gone
    assert deploys.kinds() == [
        "deploy staging 1.0", "deploy production 1.0", "deploy staging 1.1", "deploy production 1.1",
    ]  # fmt: skip
    assert [ran.env["HYBRIDCI_PREVIOUS_VERSION"] for ran in deploys.ran] == ["", "", "1.0", "1.0"]
    fences = [ran.fence.number for ran in deploys.ran if ran.fence and ran.fence.name.endswith("/production")]
    assert fences == sorted(set(fences))
    assert len(fences) == 2
    actions = [event.action for event in await deploys.events(one) if event.action.startswith("deployment.")]
    assert actions == ["deployment.created", "deployment.staged", "deployment.live", "deployment.superseded"]


async def test_build_and_test_come_first_and_end_it_when_they_fail(deploys: Deploys) -> None:
    job = {"pool": deploys.pool, "steps": [STEP]}
    service = deploys.service(build=job, test=job)
    one = await deploys.live("1.0", service)
    assert deploys.kinds() == ["build 1.0", "test 1.0", "deploy staging 1.0", "deploy production 1.0"]
    assert {one.build_job_id, one.test_job_id} & {None} == set()
    build, test = one.timings["build"], one.timings["test"]
    assert one.started_at == build.started_at, "it began with its first job"
    assert build.started_at <= (build.ended_at or 0) <= test.started_at <= (test.ended_at or 0)
    deploys.script("test", fail(3))
    two = await deploys.until_status(await deploys.start("1.1", service), "failed")
    assert (two.cause, two.closed) == ("test_failed", True)
    assert f"hybridci job logs {two.test_job_id}" in (two.error_message or "")
    assert (await deploys.get(one)).status == "live"


async def test_a_failed_staging_ends_it_and_the_next_one_goes(deploys: Deploys) -> None:
    deploys.script("deploy staging 1.0", fail(1))
    one = await deploys.until_status(await deploys.start("1.0"), "failed")
    assert (one.cause, one.stages[0].status, one.stages[1].status) == ("deploy_failed", "failed", "pending")
    await deploys.live("1.1")


async def test_the_rollout_goes_by_percent_with_health_checks(deploys: Deploys) -> None:
    rollout = {"percent": [10, 50, 100], "pause_seconds": 0}
    service = deploys.service(deploys.environment(rollout=rollout, health_check={"run": "curl -f localhost"}))
    await deploys.live("1.0", service)
    assert deploys.kinds() == ["deploy production 1.0", "health production 1.0"] * 3
    assert [ran.env["HYBRIDCI_ROLLOUT_PERCENT"] for ran in deploys.ran[::2]] == ["10", "50", "100"]


async def test_pauses_between_rollout_steps_and_bake_time_take_their_time(deploys: Deploys) -> None:
    rollout = {"percent": [10, 100], "pause_seconds": 1}
    verification = {"run": "./smoke.sh", "bake_seconds": 1}
    live = await deploys.live("1.0", deploys.service(deploys.environment(rollout=rollout, verification=verification)))
    assert live.live_at is not None
    assert live.live_at - live.created_at >= 2000
    assert deploys.kinds() == ["deploy production 1.0", "deploy production 1.0", "verify production 1.0"]


async def test_another_ci_rolls_out_and_records_it(deploys: Deploys) -> None:
    external = {"name": "production", "external": True}
    service = deploys.service(deploys.environment("staging"), external)
    one = await deploys.start("1.0", service)
    await deploys.until_waits(one, "hybridci deploy record")
    with pytest.raises(InvalidState, match="staging is rolled out from here"):
        await deploys.releases.command(one, RecordStage(by="jenkins", environment="staging", job_id="17"))
    await deploys.releases.command(one, RecordStage(by="jenkins", environment="production", job_id="jenkins-18"))
    live = await deploys.until_status(one, "live")
    assert live.stages[1].job_ids == ["jenkins-18"]
    two = await deploys.start("1.1", service)
    await deploys.until_waits(two, "hybridci deploy record")
    failed = RecordStage(by="jenkins", environment="production", job_id="19", succeeded=False)
    await deploys.releases.command(two, failed)
    await deploys.until_waits(two, "--job-id")
    await deploys.releases.command(two, RollbackCommand(by="jenkins", reason="done there", job_id="jenkins-20"))
    back = await deploys.until_status(two, "rolled_back")
    assert back.rollback is not None
    assert back.rollback.job_ids == ["jenkins-20"]


async def test_one_at_a_time_in_order_of_arrival(deploys: Deploys) -> None:
    deploys.script("deploy staging 1.0", until_cancelled)
    one = await deploys.start("1.0")
    await deploys.until(one, lambda _: "deploy staging 1.0" in deploys.kinds())
    others = [await deploys.start(version) for version in ("1.1", "1.2", "1.3")]
    for other in others:
        await deploys.until_waits(other, "1.0")
    await deploys.releases.command(one, CancelDeployment(by=BOB))
    for other in others[:-1]:
        await deploys.until_status(other, "superseded")
    await deploys.until_status(others[-1], "live")
    staging = [kind for kind in deploys.kinds() if kind.startswith("deploy staging")]
    assert staging == [f"deploy staging 1.{number}" for number in range(4)]


async def test_a_newer_one_takes_the_place_of_those_that_wait(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment(approval=ONE, supersede="older"))
    one = await deploys.until_waits(await deploys.start("1.0", service), "approval")
    two = await deploys.until_waits(await deploys.start("1.1", service), "approval")
    gone = await deploys.until_status(one, "superseded")
    assert gone.superseded_by == two.deployment_id
    await deploys.approve(two)
    await deploys.until_status(two, "live")


async def _freeze(deploys: Deploys, *, seconds: int) -> FreezeCommand:
    """The trade fair; again: it ends at another time."""
    ends_at = int(time.time() * 1000) + seconds * 1000
    freeze = FreezeCommand(by=BOB, freeze_id="fair", name="trade fair", ends_at=ends_at)
    await deploys.releases.command_environment(deploys.name, "production", freeze)
    return freeze


async def test_an_approved_version_ships_when_the_freeze_ends_and_all_is_still_well(deploys: Deploys) -> None:
    staging = deploys.environment("staging", health_check={"run": "curl -f localhost"})
    waiting = await deploys.start("1.0", deploys.service(staging, deploys.environment(approval=ONE)))
    await deploys.until_waits(waiting, "waits for approval")
    await _freeze(deploys, seconds=3600)
    await deploys.approve(waiting)
    frozen = await deploys.until_waits(waiting, "trade fair")
    assert "hybridci freeze override" in (frozen.waits_for or "")
    assert frozen.approvals[0].by == BOB
    assert deploys.kinds() == ["deploy staging 1.0", "health staging 1.0"]
    freeze = await _freeze(deploys, seconds=3)
    live = await deploys.until_status(waiting, "live")
    assert live.live_at is not None
    assert live.live_at >= freeze.ends_at
    assert deploys.kinds()[2:] == ["health staging 1.0", "deploy production 1.0"]


async def test_after_a_freeze_a_sick_staging_stops_it(deploys: Deploys) -> None:
    staging = deploys.environment("staging", health_check={"run": "curl -f localhost", "attempts": 1})
    await _freeze(deploys, seconds=3600)
    one = await deploys.start("1.0", deploys.service(staging, deploys.environment()))
    await deploys.until_waits(one, "trade fair")
    deploys.script("health staging", fail(1))
    await _freeze(deploys, seconds=3)
    ended = await deploys.until_status(one, "failed")
    assert ended.cause == "health_check_failed"
    assert "After the freeze, staging is not well" in (ended.error_message or "")
    assert "deploy production 1.0" not in deploys.kinds()


async def test_a_terminated_holder_frees_the_environment(deploys: Deploys) -> None:
    deploys.script("deploy production 1.0", until_cancelled)
    one = await deploys.start("1.0")
    await deploys.until(one, lambda found: found.status == "production" and bool(found.stages[1].job_ids))
    two = await deploys.start("1.1")
    await deploys.until_waits(two, "1.0")
    await deploys.handle(one).terminate("by an operator in the Temporal UI")
    await deploys.until_status(two, "live", seconds=60)


async def test_cancelled_in_the_temporal_ui_a_rollout_rolls_back(deploys: Deploys) -> None:
    await deploys.live("1.0")
    deploys.script("deploy production 1.1", until_cancelled)
    two = await deploys.start("1.1")
    await deploys.until(two, lambda found: found.status == "production" and bool(found.stages[1].job_ids))
    await deploys.handle(two).cancel()
    back = await deploys.until_status(two, "rolled_back")
    assert back.rollback is not None
    assert "Cancelled in Temporal" in back.rollback.reason


async def test_the_same_start_again_is_the_same_deployment(deploys: Deploys) -> None:
    start = deploys.input("1.0")
    first = await deploys.releases.start(start)
    deploys.started.append(first)
    again = await deploys.releases.start(start)
    assert again.deployment_id == first.deployment_id
    await deploys.until_status(first, "live")
    assert deploys.kinds() == ["deploy staging 1.0", "deploy production 1.0"]


def _with_definition(deploys: Deploys, text: str) -> Service:
    """A service whose definition an agent reads from the repository; ``text`` is what the file holds."""

    async def upload(attempt: AttemptInput, agent: Agent) -> AttemptResult:
        assert attempt.artifacts == [".hybridci.yml"]
        body = text.encode()
        digest = hashlib.sha256(body).hexdigest()
        await deploys.stores.artifacts.put(
            attempt.job_id, attempt.attempt, ".hybridci.yml", io.BytesIO(body), sha256=digest
        )
        return await succeed(attempt, agent)

    deploys.script("definition", upload)
    spec = {"git_repo": "file:///srv/shop.git", "definition": {"pool": deploys.pool}}
    return Service(name=deploys.name, version=1, spec=ServiceSpec.model_validate(spec), created_at=1, updated_at=1)


async def test_the_definition_is_read_at_the_deployed_commit(deploys: Deploys) -> None:
    text = f"""
build: {{pool: {deploys.pool}, steps: [{{name: make, run: make}}]}}
environments:
  - {{name: staging, pool: {deploys.pool}, steps: [{{name: go, run: ./go.sh}}]}}
  - {{name: production, pool: {deploys.pool}, steps: [{{name: go, run: ./go.sh}}]}}
"""
    live = await deploys.live("1.0", _with_definition(deploys, text))
    assert [each.name for each in live.definition.environments] == ["staging", "production"]
    assert deploys.kinds() == ["definition 1.0", "build 1.0", "deploy staging 1.0", "deploy production 1.0"]
    assert live.definition_job_id is not None


async def test_a_bad_definition_in_the_repository_ends_it_and_names_every_error(deploys: Deploys) -> None:
    service = _with_definition(deploys, "environments:\n  - {name: UPPER, steps: []}\nbuilt: 1\n")
    ended = await deploys.until_status(await deploys.start("1.0", service), "failed")
    assert ended.cause == "definition_invalid"
    for field in ("environments.0.name", "built"):
        assert field in (ended.error_message or ""), ended.error_message


async def test_a_job_that_makes_no_sense_ends_it_in_words(deploys: Deploys) -> None:
    deploys.script("deploy staging", fail(1, Outcome.CHECKOUT_FAILED, retryable=False, cause="unknown_commit"))
    one = await deploys.until_status(await deploys.start("1.0"), "failed")
    assert f"hybridci job logs {one.stages[0].job_ids[0]}" in (one.error_message or "")


async def test_the_temporal_ui_tells_what_it_waits_for(deploys: Deploys) -> None:
    waiting = await waiting_for_approval(deploys)
    description = await deploys.handle(waiting).describe()
    for _ in range(1000):
        if description.typed_search_attributes.get(attributes.STATUS) == attributes.WAITS_FOR_APPROVAL:
            break  # the UI follows the record
        await deploys.pause()
        description = await deploys.handle(waiting).describe()
    seen = description.typed_search_attributes
    keywords = [seen.get(key) for key in (attributes.SERVICE, attributes.VERSION, attributes.STATUS)]
    assert keywords == [deploys.name, "1.0", "waiting_approval"]
    assert seen.get(attributes.ENVIRONMENT) == "production"
    assert list(seen.get(attributes.AUTHOR) or []) == ["ann@example.com"]
    assert description.id == f"deploy-{deploys.name}-1.0-{waiting.deployment_id}"
    summary = await description.static_summary()
    assert summary is not None
    assert summary.startswith(f"{deploys.name} 1.0")
    assert uuid.UUID(waiting.deployment_id)
