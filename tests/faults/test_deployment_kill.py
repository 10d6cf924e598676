"""kill -9 of each server while deployments stand in every stage: all go on to their right end, each stage once."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.faults.plant import Plant
from tests.faults.releases import Releases, script
from tests.servers import HOST, wait_until
from workflows.client.answers import record_at_end
from workflows.client.deployments import workflow_id_of
from workflows.contracts.deployments.deployment import Decision, Deployment, DeploymentStatus, RollbackStatus
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.deployments.services import PRODUCTION, STAGING
from workflows.contracts.ids import environment_workflow_id
from workflows.contracts.statuses import JobStatus, Outcome

BOB, CAT = "bob@example.com", "cat@example.com"
LINGER_SECONDS = 5
"""How long a rollout pauses and a version bakes: the kill comes in the middle of both."""
SHAPES: dict[str, dict[str, Any]] = {
    "building": {"build": True},
    "staging": {},
    "asking": {"production": {"approval": {"required": 2}}},
    "pausing": {"production": {"rollout": {"percent": [50, 100], "pause_seconds": LINGER_SECONDS}}},
    "baking": {"production": {"verification": {"run": script("verify"), "bake_seconds": LINGER_SECONDS}}},
    "waiting": {},
    "returning": {"production": {"rollback": {"steps": [{"name": "back", "run": script("rollback")}]}}},
    "late": {},
}
"""A service for each stage in which a deployment stands at the kill; ``late`` is deployed while the server is away."""
NEXT = "next"
"""The deployment that waits in line behind that of ``waiting``."""
ENDS = {
    **dict.fromkeys([*SHAPES, NEXT], DeploymentStatus.LIVE),
    "waiting": DeploymentStatus.SUPERSEDED,
    "returning": DeploymentStatus.ROLLED_BACK,
}
PLACE = ("ENVIRONMENT", "ROLLOUT_PERCENT")
NOT_SHOWN = {"sequence": 0, "fingerprint": None, "parties": None, "closed_in": None, "reopened_in": None}
"""The API keeps these to itself."""
ROUNDS = count(1)
"""Each kill hits new versions of the same services."""


@pytest.fixture(scope="module")
def releases(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    releases = Releases(plant, tmp_path_factory.mktemp("releases"))
    for service, shape in SHAPES.items():
        releases.register(service, **shape)
    first = releases.start("returning", "0.0")
    releases.until_status(first, DeploymentStatus.LIVE)
    yield releases
    releases.open_gates()


@pytest.mark.parametrize("victim", ["worker", "temporal", "aws", "api"])
async def test_kill_9_with_deployments_in_every_stage(plant: Plant, releases: Releases, victim: str) -> None:
    begun = time.monotonic()
    version = f"{next(ROUNDS)}.0"
    releases.open_gates()  # what a failed round before left closed
    ids = _bring_to_every_stage(releases, version)
    pid = plant.stack.children()[victim]
    with ThreadPoolExecutor(2) as people:
        os.kill(pid, signal.SIGKILL)
        approving = people.submit(releases.approve, ids["asking"], CAT)
        starting = people.submit(releases.start, "late", version)
        releases.open_gates()
        assert approving.result() in (200, 409), "409: the answer to the first one was lost"
        ids["late"] = starting.result()
    answered = time.monotonic() - begun
    for service, end in ENDS.items():
        releases.until_status(ids[service], end, seconds=60)
    print(f"{victim}: everything was answered after {answered:.1f} s, ended after {time.monotonic() - begun:.1f} s")
    assert f"{victim} (pid {pid}) died: SIGKILL" in plant.stack.text()
    wait_until(plant.stack.ready, seconds=60, what="ready again")

    deployments = {service: releases.get(identity) for service, identity in ids.items()}
    _nothing_was_lost(releases, deployments)
    _nothing_was_done_twice(releases, list(deployments.values()))
    for service in SHAPES:
        _one_version_is_live(releases, service, deployments[NEXT if service == "waiting" else service])
    await _records_equal_workflows(plant, releases, list(deployments.values()))
    releases.release("returning")


def _bring_to_every_stage(releases: Releases, version: str) -> dict[str, str]:
    """Ids by service. When this returns, commands are held at their gates, and two timers run."""
    wait_until(  # the environment's record follows the deployment's
        lambda: releases.environment("returning", PRODUCTION).live is not None, seconds=20, what="a live version"
    )
    target = releases.environment("returning", PRODUCTION).live
    assert target is not None
    back = f"rollback-returning-{target.version}-production-100"
    build, staging = f"build-building-{version}--", f"deploy-staging-{version}-staging-100"
    rollout = f"deploy-waiting-{version}-production-100"
    timed = [f"deploy-pausing-{version}-production-50", f"verify-baking-{version}-production-100"]
    releases.close_gates([back, build, staging, rollout, *timed])
    ids = {service: releases.start(service, version) for service in SHAPES if service != "late"}

    releases.until_status(ids["returning"], DeploymentStatus.LIVE)
    assert releases.tell(ids["returning"], "rollback", reason="It is slow.", by=BOB) == 200
    releases.until_noted("begin", rollout)
    ids[NEXT] = releases.start("waiting", f"{version}-next")
    releases.until(
        ids[NEXT], lambda one: one.environment == PRODUCTION and one.waits_for is not None, "a place in line"
    )
    releases.until(ids["asking"], lambda one: one.environment == PRODUCTION, "the question for approval")
    assert releases.approve(ids["asking"], BOB) == 200
    for held in (back, build, staging, *timed):
        releases.until_noted("begin", held)
    releases.open_gates(timed)  # both timers begin now
    for ended in timed:
        releases.until_noted("end", ended)
    assert not releases.noted("begin", f"deploy-pausing-{version}-production-100"), "it pauses"
    return ids


def _nothing_was_lost(releases: Releases, deployments: Mapping[str, Deployment]) -> None:
    asking, returning = deployments["asking"], deployments["returning"]
    approvals = [(each.person, each.decision, each.verified) for each in asking.approvals]
    assert approvals == [(BOB, Decision.APPROVE, True), (CAT, Decision.APPROVE, True)]
    approved = [by for action, by in releases.actions(asking.deployment_id) if action == "deployment.approved"]
    assert sorted(approved) == [f"key:{BOB}", f"key:{CAT}"], "once in the trail, however often it was sent"
    assert releases.approve(asking.deployment_id, BOB) == 409
    assert returning.rollback is not None
    assert (returning.rollback.status, returning.rollback.by) == (RollbackStatus.SUCCEEDED, f"admin for {BOB}")
    late = deployments["late"]
    assert releases.start("late", late.version) == late.deployment_id, "the same key is the same deployment"
    assert deployments["waiting"].superseded_by == deployments[NEXT].deployment_id


def _nothing_was_done_twice(releases: Releases, deployments: Sequence[Deployment]) -> None:
    lines = releases.lines()
    for deployment in deployments:
        own = [line for line in lines if line.deployment_id == deployment.deployment_id]
        jobs = {job_id: releases.job(job_id) for job_id in _job_ids(deployment)}
        assert {line.job_id for line in own} == jobs.keys(), "no job ran that is not on record"
        done = [(job.job_type, *(job.env.get(f"HYBRIDCI_{name}", "") for name in PLACE)) for job in jobs.values()]
        assert sorted(done) == sorted(_wanted(deployment))
        for job_id, job in jobs.items():
            outcomes = [attempt.outcome for attempt in job.attempts]
            assert (job.status, outcomes[-1]) == (JobStatus.SUCCESS, Outcome.SUCCEEDED)
            assert set(outcomes[:-1]) <= {Outcome.AGENT_LOST}, "only a lost attempt may have been done again"
            ended = Counter(line.attempt for line in own if line.job_id == job_id and line.what == "end")
            assert ended[len(outcomes)] == 1
            assert ended.total() <= len(outcomes)


def _wanted(deployment: Deployment) -> list[tuple[str, str, str]]:
    """(job, environment, percent) of all that must have been done once."""
    _, production = deployment.definition.environments
    wanted = [("deploy", STAGING, "100")]
    wanted += [("deploy", PRODUCTION, str(percent)) for percent in production.rollout.percent]
    wanted += [("build", "", "")] if deployment.definition.build is not None else []
    wanted += [("verify", PRODUCTION, "100")] if production.verification is not None else []
    wanted += [("rollback", PRODUCTION, "100")] if deployment.rollback is not None else []
    return wanted


def _job_ids(deployment: Deployment) -> list[str]:
    first = [deployment.build_job_id] if deployment.build_job_id is not None else []
    back = deployment.rollback.job_ids if deployment.rollback is not None else []
    return [*first, *(job_id for stage in deployment.stages for job_id in stage.job_ids), *back]


def _one_version_is_live(releases: Releases, service: str, last: Deployment) -> None:
    """``last`` is the service's last one; when it was rolled back, the one before is live again."""
    all_of = releases.of_service(service)
    back = last.rollback is not None
    live = last.rollback.target_deployment_id if last.rollback is not None else last.deployment_id
    wait_until(  # an environment hears of it only when it is on record
        lambda: _has_heard(releases.environment(service, PRODUCTION), live, back), seconds=30, what="word of the end"
    )
    wait_until(  # what comes back hears of it from its environment
        lambda: (
            [one.deployment_id for one in releases.of_service(service) if one.status is DeploymentStatus.LIVE] == [live]
        ),
        seconds=30,
        what="one live version on record",
    )
    staging, production = (releases.environment(service, name) for name in (STAGING, PRODUCTION))
    assert staging.live is not None
    assert production.live is not None
    assert (staging.live.deployment_id, production.live.deployment_id) == (last.deployment_id, live)
    assert (staging.holder, staging.hold, staging.queue, production.queue) == (None, None, [], [])
    assert (production.hold is not None) is back, "a rollback holds the environment"
    assert production.holder is not None
    assert (production.holder.deployment_id, production.holder.live) == (live, True)
    for state in (staging, production):
        turns = {
            one.deployment_id: stage.fence for one in all_of if (stage := one.stage(state.environment)) is not None
        }
        numbers = [turn for identity, turn in turns.items() if turn is not None and not (back and identity == live)]
        assert numbers == sorted(set(numbers)), "turns grow"
        assert len(numbers) == len(all_of) - back, "what came back has a newer one"
        assert state.fence >= max(turn for turn in turns.values() if turn is not None)


def _has_heard(state: EnvironmentState, live: str | None, back: bool) -> bool:
    if back:
        return state.hold is not None
    return state.live is not None and state.live.deployment_id == live


async def _records_equal_workflows(plant: Plant, releases: Releases, deployments: Sequence[Deployment]) -> None:
    client = await Client.connect(f"{HOST}:{plant.temporal_port}", data_converter=pydantic_data_converter)
    for deployment in deployments:
        handle = client.get_workflow_handle(workflow_id_of(deployment), result_type=Deployment)
        own: Any = await (
            record_at_end(handle, Deployment) if deployment.closed else handle.query("state", result_type=Deployment)
        )
        assert releases.get(deployment.deployment_id) == own.model_copy(update=NOT_SHOWN)
    for service in SHAPES:
        for name in (STAGING, PRODUCTION):
            owner = client.get_workflow_handle(environment_workflow_id(service, name))
            deadline = time.monotonic() + 20
            while True:  # it may hear of a closed workflow just now
                state = await owner.query("state", result_type=EnvironmentState)
                shown = releases.environment(service, name)
                if shown == state.model_copy(update={"sequence": 0}) or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.1)
            assert shown == state.model_copy(update={"sequence": 0})
