"""By which version a worker is known to Temporal."""

from temporalio.common import WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

from workflows.version import product_version


def worker_version(deployment: str) -> WorkerDeploymentConfig:
    """The product's version, shown and no more: any worker takes any task, for histories stay replayable.

    Unless it is told one, the SDK hashes the code of all loaded modules: a seventh of the time a worker takes to start.
    """
    version = WorkerDeploymentVersion(deployment_name=deployment, build_id=product_version())
    return WorkerDeploymentConfig(version=version, use_worker_versioning=False)
