"""A deployment's way in phases, in every state that people see."""

from typing import Any

import pytest

from api.dashboard.deployments.way import Stretch, frames_of, in_a_sentence, way_back, way_of
from tests.unit.deployment_records import make_deployment
from workflows.contracts.deployments.deployment import (
    Approval,
    Decision,
    Deployment,
    DeploymentStatus,
    Rollback,
    RollbackStatus,
    Stage,
    StageStatus,
    Timing,
)
from workflows.contracts.deployments.rules import ApprovalPolicy, Verification
from workflows.contracts.deployments.services import Environment, JobDefinition, ServiceSpec
from workflows.contracts.jobs import Step

STEPS = [Step(name="go", run="true")]
SPEC = ServiceSpec(
    git_repo="https://example.com/shop.git",
    build=JobDefinition(steps=STEPS),
    environments=[
        Environment(name="staging", steps=STEPS),
        Environment(
            name="production", steps=STEPS, approval=ApprovalPolicy(required=2), verification=Verification(run="true")
        ),
    ],
)


ENDED: dict[str, Any] = {"closed": True, "environment": "production"}


def _record(production: dict[str, Any] | None = None, **changes: Any) -> Deployment:
    stages = [Stage(environment="staging", status=StageStatus.DEPLOYED, started_at=0, deployed_at=4000, percent=100)]
    stages.append(Stage(environment="production", **(production or {})))
    return make_deployment(definition=SPEC, stages=stages, **changes)


def _shown(record: Deployment) -> dict[str, list[tuple[str, str, str]]]:
    return {leg.name: [(each.name, each.state, each.words) for each in leg.phases] for leg in way_of(record)}


def test_what_has_just_begun() -> None:
    record = _record(build_job_id="j", timings={"build": Timing(started_at=1)})
    record = record.model_copy(update={"stages": [Stage(environment="staging"), Stage(environment="production")]})
    assert _shown(record) == {
        "before": [("build", "now", "runs")],
        "staging": [("roll out", "todo", "to come")],
        "production": [
            ("approval", "todo", "2 needed"),
            ("roll out", "todo", "to come"),
            ("verify", "todo", "to come"),
            ("live", "todo", "to come"),
        ],
    }


@pytest.mark.parametrize(
    ("production", "changes", "expected"),
    [
        (
            {"status": "waiting", "approval_expires_at": 9},
            {},
            ["wait 0 of 2", "todo to come", "todo to come", "todo to come"],
        ),
        ({"status": "waiting", "approved_at": 3}, {}, ["done given", "wait in line", "todo to come", "todo to come"]),
        (
            {"status": "deploying", "approved_at": 3, "started_at": 4, "percent": 10},
            {},
            ["done given", "now 10 %", "todo to come", "todo to come"],
        ),
        (
            {"status": "paused", "approved_at": 3, "started_at": 4, "percent": 50},
            {},
            ["done given", "wait paused, 50 %", "todo to come", "todo to come"],
        ),
        (
            {"status": "paused", "approved_at": 3, "started_at": 4, "percent": 100},
            {},
            ["done given", "done 100 %", "wait asks a person", "todo to come"],
        ),
        (
            {"status": "deployed", "approved_at": 3, "started_at": 4, "deployed_at": 5, "percent": 100},
            {"status": DeploymentStatus.LIVE, "live_at": 5},
            ["done given", "done 100 %", "done passed", "done live"],
        ),
        (
            {"status": "failed", "approved_at": 3, "started_at": 4, "percent": 10},
            {"status": DeploymentStatus.FAILED, "cause": "deploy_failed", "closed": True},
            ["done given", "failed stopped, 10 %", "todo not done", "todo not reached"],
        ),
        (
            {"status": "failed"},
            {"status": DeploymentStatus.FAILED, "cause": "approval_expired", "closed": True},
            ["todo 2 needed", "todo not done", "todo not done", "todo not reached"],
        ),
        (
            {"status": "rolled_back", "approved_at": 3, "started_at": 4, "percent": 100},
            {"status": DeploymentStatus.ROLLED_BACK, "cause": "metrics_breached", **ENDED},
            ["done given", "done 100 %", "failed metrics", "todo not reached"],
        ),
    ],
)  # fmt: skip
def test_production_in_every_state(production: dict[str, Any], changes: dict[str, Any], expected: list[str]) -> None:
    production["status"] = StageStatus(production["status"])
    shown = _shown(_record(production, **{"status": DeploymentStatus.STAGED, **changes}))
    assert [f"{state} {words}" for _, state, words in shown["production"]] == expected
    assert [name for name, *_ in shown["before"]] == ["build"]


def test_who_rejected_and_who_approved() -> None:
    def decided(decision: Decision) -> Approval:
        return Approval(environment="production", decision=decision, by="ann", at=7, git_commit_sha="a" * 40)

    waiting = {"status": StageStatus.WAITING, "approval_expires_at": 9}
    one = _record(waiting, approvals=[decided(Decision.APPROVE)])
    assert _shown(one)["production"][0] == ("approval", "wait", "1 of 2")
    no = _record(waiting, approvals=[decided(Decision.APPROVE), decided(Decision.REJECT)])
    assert _shown(no)["production"][0] == ("approval", "failed", "rejected")


@pytest.mark.parametrize(
    ("status", "state"),
    [(RollbackStatus.RUNNING, "now"), (RollbackStatus.SUCCEEDED, "back"), (RollbackStatus.FAILED, "failed")],
)
def test_the_way_back(status: RollbackStatus, state: str) -> None:
    assert way_back(_record()) is None
    rollback = Rollback(
        environment="production",
        target_version="1.0",
        reason="",
        by="",
        requested_at=0,
        completed_at=2000,
        status=status,
    )
    found = way_back(_record(rollback=rollback))
    assert found is not None
    assert (found.name, found.state, found.seconds) == ("back to 1.0", state, 2.0)


def test_it_is_said_in_a_sentence_and_drawn_with_its_times() -> None:
    legs = way_of(_record())
    assert "staging: roll out 100 %; production: approval 2 needed, " in in_a_sentence(legs, None)
    assert in_a_sentence(list[Stretch](), None) == "Nothing has happened yet."
    staging = frames_of(legs)[1]
    assert [box.words for box in staging.boxes] == ["100 % 4.0 s"]
