"""What is wrong with a deployment that is about to be created, field by field. Pure.

Deliberately not here: refusing it (``links``).
"""

from typing import Any, Final

from pydantic import BaseModel, ValidationError

from activities.deployments.transitions import environments_of
from activities.environments.freezes import freeze_errors
from workflows.contracts.deployments.deployment import Deployment, DeploymentRequest
from workflows.contracts.deployments.services import ServiceSpec
from workflows.contracts.errors import FieldError, field_errors

_ID_CHARACTERS: Final = 128


def creation_errors(deployment: Deployment) -> list[FieldError]:
    """Of the request, the service's definition and the stages."""
    return [*_request_errors(deployment), *_service_errors(deployment), *_stage_errors(deployment)]


def _request_errors(deployment: Deployment) -> list[FieldError]:
    errors = _broken(DeploymentRequest, {name: getattr(deployment, name) for name in DeploymentRequest.model_fields})
    if not 0 < len(deployment.deployment_id) <= _ID_CHARACTERS:
        errors.append(FieldError(field="deployment_id", message=f"must have 1 to {_ID_CHARACTERS} characters"))
    return errors


def _service_errors(deployment: Deployment) -> list[FieldError]:
    definition = deployment.definition
    errors = _broken(ServiceSpec, definition.model_dump(), "definition")
    errors += [
        FieldError(field=f"definition.{error.field}", message=error.message) for error in freeze_errors(definition)
    ]
    if deployment.service_version < 1:
        errors.append(FieldError(field="service_version", message="must be that of a registered service: 1 or more"))
    if deployment.git_repo != definition.git_repo:
        errors.append(FieldError(field="git_repo", message="must be the service's repository"))
    return errors


def _stage_errors(deployment: Deployment) -> list[FieldError]:
    stages = [stage.environment for stage in deployment.stages]
    expected = environments_of(deployment)
    if stages == expected:
        return []
    return [FieldError(field="stages", message=f"must be one for each environment, in order: {', '.join(expected)}")]


def _broken(model: type[BaseModel], values: dict[str, Any], inside: str = "") -> list[FieldError]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        return field_errors(error, inside=inside)
    return []
