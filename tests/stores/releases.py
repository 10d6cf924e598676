"""Services, deployments and events, and the writes that a DeploymentWorkflow makes in a deployment's life."""

import base64
import random
from typing import Any

from tests.stores.lives import NOON, SHA
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus, DeploymentWrite
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.deployments.services import Environment, Service, ServiceSpec
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import Step

_NEXT = {
    DeploymentStatus.PENDING: [DeploymentStatus.STAGING, DeploymentStatus.FAILED],
    DeploymentStatus.STAGING: [DeploymentStatus.STAGED, DeploymentStatus.STAGING, DeploymentStatus.FAILED],
    DeploymentStatus.STAGED: [DeploymentStatus.PRODUCTION, DeploymentStatus.SUPERSEDED],
    DeploymentStatus.PRODUCTION: [DeploymentStatus.LIVE, DeploymentStatus.PRODUCTION, DeploymentStatus.ROLLED_BACK],
    DeploymentStatus.LIVE: [DeploymentStatus.ROLLED_BACK, DeploymentStatus.SUPERSEDED, DeploymentStatus.LIVE],
}


def noise(characters: int, seed: int = 1) -> str:
    """Text that hardly compresses."""
    return base64.b64encode(random.Random(seed).randbytes(characters)).decode()[:characters]


def make_spec(steps: list[Step] | None = None, **changes: Any) -> ServiceSpec:
    environments = [
        Environment(name="staging", external=True),
        Environment(name="production", steps=steps or [Step(name="deploy", run="./deploy.sh")]),
    ]
    return ServiceSpec(git_repo="https://example.com/shop.git", environments=environments).model_copy(update=changes)


def make_service(name: str = "checkout", version: int = 1, **changes: Any) -> Service:
    service = Service(name=name, version=version, spec=make_spec(), created_at=NOON, updated_at=NOON + version)
    return service.model_copy(update=changes)


def make_deployment(*, created_at: int = NOON, service_name: str = "checkout", **changes: Any) -> Deployment:
    deployment = Deployment(
        deployment_id=new_job_id(),
        service_name=service_name,
        service_version=1,
        version="1.4.2",
        git_repo="https://example.com/shop.git",
        git_commit_sha=SHA,
        git_author="ann@example.com",
        definition=make_spec(),
        created_at=created_at,
        updated_at=created_at,
        sequence=1,
    )
    return deployment.model_copy(update=changes)


def make_event(event_id: str | None = None, *, at: int = NOON, **changes: Any) -> AuditEvent:
    event = AuditEvent(event_id=event_id or new_job_id(), at=at, action="deployment.approved", by="ann")
    return event.model_copy(update=changes)


def make_state(environment: str = "production", service_name: str = "checkout", **changes: Any) -> EnvironmentState:
    return EnvironmentState(service_name=service_name, environment=environment, sequence=1).model_copy(update=changes)


class DeploymentLife:
    """One deployment and its writes, each with an event, by chance."""

    def __init__(self, chance: random.Random, created_at: int, steps: int) -> None:
        self.deployment = make_deployment(created_at=created_at, service_name=chance.choice(["cart", "checkout"]))
        self.writes: list[DeploymentWrite] = []
        self._write(None)
        for _ in range(steps):
            previous = self.deployment.status
            if not previous.final:
                status = chance.choice(_NEXT[previous])
                changes = {"status": status, "sequence": self.deployment.sequence + 1}
                self.deployment = self.deployment.model_copy(update=changes)
                self._write(previous)

    def _write(self, previous: DeploymentStatus | None) -> None:
        deployment = self.deployment
        event = make_event(
            f"{deployment.deployment_id}-{deployment.sequence:03d}",
            at=deployment.created_at + deployment.sequence,
            deployment_id=deployment.deployment_id,
            service_name=deployment.service_name,
        )
        self.writes.append(DeploymentWrite(deployment=deployment, previous=previous, events=[event]))
