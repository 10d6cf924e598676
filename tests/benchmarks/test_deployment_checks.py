"""What `hybridci bench` calls right of many deployments, and that it notices each thing that is not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from api.cli.benchmark.deployment_checks import Passage, SeenDeployment, problems
from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus, Stage, StageStatus
from workflows.contracts.deployments.environments import EnvironmentState, Holder, LiveVersion
from workflows.contracts.deployments.services import Environment, ServiceSpec
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import JobStatus

PLACES = ("staging", "production")
SPEC = ServiceSpec(
    git_repo="https://example.com/shop.git",
    environments=[
        Environment.model_validate({"name": name, "steps": [{"name": "s", "run": "true"}]}) for name in PLACES
    ],
)
SPOILT: list[tuple[Callable[[SeenDeployment], SeenDeployment], str]] = [
    (lambda seen: _with_deployment(seen, 0, status=DeploymentStatus.LIVE), "1.0 is live, not superseded by 1.1"),
    (lambda seen: _with_deployment(seen, 2, status=DeploymentStatus.FAILED), "nothing is live, not 1.2 alone"),
    (lambda seen: _with_passage(seen, 4, begun=150), "1.0 and 1.1 ran in production of shop together"),
    (lambda seen: _with_passage(seen, 4, version="1.2"), "1.0, 1.2, 1.2 passed production"),
    (lambda seen: replace(seen, passages=seen.passages[:-1]), "1.0, 1.1 passed production"),
    (
        lambda seen: _with_job(seen, "production-1", status=JobStatus.FAILED),
        "in production: failed; not one success",
    ),
    (lambda seen: _with_job(seen, "staging-1", started_at=105), "ran in staging of shop together"),
    (lambda seen: _with_fence(seen, 1, 10), "The turns in production of shop are [10, 10, 30]"),
    (lambda seen: _with_state(seen, live=None), "production of shop has nothing as its live version"),
    (lambda seen: _with_state(seen, holder=None), "production of shop is held by None"),
    (lambda seen: _with_state(seen, history=[]), "production of shop remembers []"),
    (lambda seen: replace(seen, environments=seen.environments[:1]), "production of shop has no record"),
]


def test_all_is_right() -> None:
    assert problems(_seen()) == []


@pytest.mark.parametrize(("spoil", "told"), SPOILT)
def test_what_is_wrong_is_told(spoil: Callable[[SeenDeployment], SeenDeployment], told: str) -> None:
    found = problems(spoil(_seen()))
    assert any(told in problem for problem in found), found


def _seen() -> SeenDeployment:
    """Three versions of one service that went their way."""
    last = 2
    deployments = [
        Deployment(
            deployment_id=f"d{number}", service_name="shop", service_version=1, version=f"1.{number}",
            git_repo=SPEC.git_repo, git_commit_sha="a" * 40, git_author="ann", definition=SPEC, created_at=number,
            updated_at=number, status=DeploymentStatus.LIVE if number == last else DeploymentStatus.SUPERSEDED,
            superseded_by=None if number == last else f"d{number + 1}",
            stages=[_stage(place, number) for place in PLACES],
        )
        for number in range(last + 1)
    ]  # fmt: skip
    return SeenDeployment(
        deployments,
        [_state(place, deployments) for place in PLACES],
        {f"{place}-{number}": _job(f"{place}-{number}", number) for place in PLACES for number in range(last + 1)},
        [
            Passage.of(f"shop {place} 1.{number} {100 + number * 100} {190 + number * 100}")
            for place in PLACES
            for number in range(last + 1)
        ],
    )


def _stage(place: str, number: int) -> Stage:
    fence = 10 + number * 10
    return Stage(environment=place, status=StageStatus.DEPLOYED, fence=fence, job_ids=[f"{place}-{number}"])


def _job(job_id: str, number: int) -> Job:
    return Job(
        job_id=job_id, job_type="deploy", git_repo=SPEC.git_repo, git_commit_sha="a" * 40, git_author="ann",
        status=JobStatus.SUCCESS, created_at=0, started_at=100 + number * 100, completed_at=190 + number * 100,
    )  # fmt: skip


def _state(place: str, deployments: list[Deployment]) -> EnvironmentState:
    versions = [
        LiveVersion(
            version=each.version, deployment_id=each.deployment_id, workflow_id="w", git_commit_sha="a", since=0
        )
        for each in reversed(deployments)
    ]
    last = deployments[-1]
    holder = Holder(
        deployment_id=last.deployment_id, workflow_id="w", version=last.version, fence=30, since=0, live=True
    )
    return EnvironmentState(
        service_name="shop", environment=place, live=versions[0], history=versions,
        holder=holder if place == "production" else None,
    )  # fmt: skip


def _with_deployment(seen: SeenDeployment, number: int, **update: Any) -> SeenDeployment:
    changed = [
        each.model_copy(update=update) if position == number else each for position, each in enumerate(seen.deployments)
    ]
    return replace(seen, deployments=changed)


def _with_fence(seen: SeenDeployment, number: int, fence: int) -> SeenDeployment:
    staging, production = seen.deployments[number].stages
    return _with_deployment(seen, number, stages=[staging, production.model_copy(update={"fence": fence})])


def _with_passage(seen: SeenDeployment, number: int, **update: Any) -> SeenDeployment:
    changed = [replace(each, **update) if position == number else each for position, each in enumerate(seen.passages)]
    return replace(seen, passages=changed)


def _with_job(seen: SeenDeployment, job_id: str, **update: Any) -> SeenDeployment:
    return replace(seen, jobs={**seen.jobs, job_id: seen.jobs[job_id].model_copy(update=update)})


def _with_state(seen: SeenDeployment, **update: Any) -> SeenDeployment:
    staging, production = seen.environments
    return replace(seen, environments=[staging, production.model_copy(update=update)])
