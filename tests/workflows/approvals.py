"""Services whose production needs approvals, and versions that wait for them."""

from tests.workflows.deployment_harness import Deploys
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.services import Service

ONE = {"required": 1}


def reusing(service: Service) -> Service:
    """It may use a version again for another commit."""
    return service.model_copy(update={"spec": service.spec.model_copy(update={"allow_version_reuse": True})})


def approved_service(deploys: Deploys, **approval: object) -> Service:
    return deploys.service(deploys.environment("staging"), deploys.environment(approval=ONE | approval))


async def waiting_for_approval(deploys: Deploys, version: str = "1.0", **approval: object) -> Deployment:
    deployment = await deploys.start(version, approved_service(deploys, **approval))
    return await deploys.until_waits(deployment, "waits for approval")
