"""Link ValidateDeploymentCreation: the deployment's first record is what a request and a registered service make, or
every bad field is named at once.
"""

from typing import Any, Final

from codeuchain import Context
from pydantic import BaseModel, ValidationError

from activities.freezes import freeze_errors
from activities.links.base import require
from activities.links.deployment_contexts import DeploymentCreationContext
from activities.links.deployment_transitions import environments_of
from workflows.contracts.deployments import Deployment, DeploymentRequest, DeploymentWrite
from workflows.contracts.errors import FieldError, ValidationFailed, field_errors
from workflows.contracts.services import ServiceSpec

_ID_CHARACTERS: Final = 128


class ValidateDeploymentCreation:
    """``write`` → ``deployment``. Raises ValidationFailed.

    The record is a tolerant model and copies of models are not validated again, so both its fields and its snapshot of
    the service's definition are held against the strict models here.
    """

    async def call(self, ctx: Context[DeploymentCreationContext]) -> Context[DeploymentCreationContext]:
        """Stateless and without I/O."""
        deployment = require(ctx, "write", DeploymentWrite).deployment
        errors = [*_request_errors(deployment), *_service_errors(deployment), *_stage_errors(deployment)]
        if errors:
            fields = ", ".join(sorted({error.field for error in errors}))
            raise ValidationFailed(
                f"The deployment was not created. Correct {fields} and deploy again; the fields of `definition` are "
                "the service's.",
                errors,
            )
        return ctx.insert("deployment", deployment)


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
