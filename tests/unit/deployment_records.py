"""Deployments, services and environments for tests of the layers above the stores."""

from typing import Any

from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus, Rollback, RollbackStatus, Stage
from workflows.contracts.deployments.environments import EnvironmentState, Holder, Ticket
from workflows.contracts.deployments.services import Environment, ServiceSpec, ServiceWrite

STEPS = [{"name": "go", "run": "true"}]


def make_environment(name: str, **changes: Any) -> Environment:
    return Environment.model_validate({"name": name, "steps": STEPS, **changes})


def make_spec(*environments: Environment, **changes: Any) -> ServiceSpec:
    chosen = list(environments) or [make_environment("staging"), make_environment("production")]
    return ServiceSpec(git_repo="https://example.com/shop.git", environments=chosen, **changes)


def make_write(name: str = "shop", spec: ServiceSpec | None = None, **changes: Any) -> ServiceWrite:
    return ServiceWrite(name=name, spec=spec or make_spec(), by="ann", **changes)


def make_deployment(deployment_id: str = "d1", **changes: Any) -> Deployment:
    """``changes`` get past all validation, the definition's too."""
    spec = make_spec()
    deployment = Deployment(
        deployment_id=deployment_id,
        service_name="shop",
        service_version=1,
        version="1.0",
        git_repo=spec.git_repo,
        git_commit_sha="a" * 40,
        git_author="ann@example.com",
        definition=spec,
        stages=[Stage(environment=each.name) for each in spec.environments],
        created_at=1_000,
        updated_at=1_000,
    )
    return deployment.model_copy(update=changes)


def make_rollback(status: RollbackStatus = RollbackStatus.RUNNING, **changes: Any) -> Rollback:
    completed_at = None if status is RollbackStatus.RUNNING else 9_000
    rollback = Rollback(
        environment="production",
        target_version="0.9",
        reason="bad",
        by="bob",
        status=status,
        requested_at=8_000,
        completed_at=completed_at,
    )
    return rollback.model_copy(update=changes)


def in_status(status: DeploymentStatus, *, with_rollback: bool = False, **changes: Any) -> Deployment:
    """A record of this status that holds together."""
    final = status.final
    back = None
    if with_rollback:
        succeeded = status is DeploymentStatus.ROLLED_BACK
        back = make_rollback(RollbackStatus.SUCCEEDED if succeeded else RollbackStatus.FAILED)
    facts: dict[str, Any] = {
        "status": status,
        "environment": "staging" if status is DeploymentStatus.STAGING else "production",
        "rollback": back,
        "staged_at": 2_000,
        "live_at": 3_000 if status is DeploymentStatus.LIVE else None,
        "completed_at": 9_000 if final else None,
        "closed": final,
    }
    return make_deployment(**facts | changes)


def make_ticket(deployment_id: str, **changes: Any) -> Ticket:
    ticket = Ticket(
        deployment_id=deployment_id,
        workflow_id=f"deploy-shop-1.0-{deployment_id}",
        version="1.0",
        git_commit_sha="a" * 40,
        arrived_at=1_000,
    )
    return ticket.model_copy(update=changes)


def make_state(**changes: Any) -> EnvironmentState:
    return EnvironmentState(service_name="shop", environment="production").model_copy(update=changes)


def make_holder(deployment_id: str, fence: int) -> Holder:
    facts = {"deployment_id": deployment_id, "workflow_id": "w", "version": "1.0", "fence": fence, "since": 1}
    return Holder.model_validate({**facts, "git_commit_sha": "a" * 40})
