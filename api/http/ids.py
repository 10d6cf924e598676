"""Path parameters that are ids or names: what cannot be one is not found, before anything is read."""

from typing import Annotated, Final

from fastapi import Depends
from pydantic import TypeAdapter, ValidationError

from workflows.contracts.deployments.services import EnvironmentName, ServiceName
from workflows.contracts.errors import NotFound
from workflows.contracts.ids import is_uuid


async def known_id(job_id: str) -> str:
    """A well-formed job id; there can be no job of any other. Raises NotFound."""
    if not is_uuid(job_id):
        raise NotFound(f"There is no job {job_id[:64]!r}: a job id is a UUID in lower case.")
    return job_id


async def known_deployment(deployment_id: str) -> str:
    """A well-formed deployment id; there can be no deployment of any other. Raises NotFound."""
    if not is_uuid(deployment_id):
        raise NotFound(f"There is no deployment {deployment_id[:64]!r}: a deployment id is a UUID in lower case.")
    return deployment_id


async def known_service(name: str) -> str:
    """A well-formed service name; there can be no service of any other. Raises NotFound."""
    if not _fits(_SERVICE_NAME, name):
        raise NotFound(f"There is no service {name[:64]!r}: a name has lower-case letters, digits and '-', at most 48.")
    return name


async def known_environment(environment: str) -> str:
    """A well-formed name of an environment. Raises NotFound."""
    if not _fits(_ENVIRONMENT_NAME, environment):
        raise NotFound(
            f"There is no environment {environment[:64]!r}: a name has lower-case letters, digits and '-', at most 32."
        )
    return environment


async def known_redrive(redrive_id: str) -> str:
    """A well-formed id of a bulk redrive. Raises NotFound."""
    if not is_uuid(redrive_id):
        raise NotFound(f"There is no bulk redrive {redrive_id[:64]!r}: its id is a UUID in lower case.")
    return redrive_id


async def known_task(task_id: str) -> str:
    """A well-formed id of an agent task. Raises NotFound."""
    if not is_uuid(task_id):
        raise NotFound(f"There is no task {task_id[:64]!r}: its id is a UUID in lower case.")
    return task_id


def _fits(kind: TypeAdapter[str], text: str) -> bool:
    try:
        kind.validate_python(text)
    except ValidationError:
        return False
    return True


_SERVICE_NAME: Final = TypeAdapter[str](ServiceName)
_ENVIRONMENT_NAME: Final = TypeAdapter[str](EnvironmentName)
JobId = Annotated[str, Depends(known_id)]
DeploymentId = Annotated[str, Depends(known_deployment)]
KnownService = Annotated[str, Depends(known_service)]
KnownEnvironment = Annotated[str, Depends(known_environment)]
RedriveId = Annotated[str, Depends(known_redrive)]
TaskId = Annotated[str, Depends(known_task)]
