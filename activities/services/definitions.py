"""A service's definition from its repository: bytes that an agent uploaded become a ServiceDefinition, or every error
is named with its path.

Deliberately not here: where the definition lies and who reads it out of the repository (``workflows.deployment``).
"""

import asyncio
import json
import posixpath
from typing import Any, Final

from pydantic import ValidationError

from activities.environments.freezes import freeze_errors, freeze_errors_in
from activities.stores.interfaces.artifacts import ArtifactStore
from workflows.contracts.deployments.services import DefinitionRequest, ServiceDefinition
from workflows.contracts.errors import FieldError, NotFound, ValidationFailed, errors_text, field_errors
from workflows.yaml_text import UnreadableYaml, yaml_to_json

MAX_DEFINITION_BYTES: Final = 256 * 1024
REGISTERED: Final = frozenset({"name", "git_repo", "git_ref"})
"""What of a file as `hybridci init` writes it is for registering alone: in the repository nothing is read from it, as a
commit cannot say of which service it is.
"""


async def load_definition(artifacts: ArtifactStore, request: DefinitionRequest) -> ServiceDefinition:
    """The definition that a job left as an artifact. Raises ValidationFailed, Unavailable."""
    return await asyncio.to_thread(parse_definition, await _content(artifacts, request), request.path)


def parse_definition(content: bytes, path: str) -> ServiceDefinition:
    """YAML (or JSON) as a definition; ``path`` is how messages call it. Raises ValidationFailed.

    Takes up to a second for the worst bytes: call it in a thread.
    """
    try:
        document = yaml_to_json(content)
    except UnreadableYaml as error:
        raise _refused(path, [FieldError(field="", message=f"it is no YAML that can be read: {error}")]) from None
    fields: Any = json.loads(document)
    if isinstance(fields, dict):
        fields = {name: value for name, value in fields.items() if name not in REGISTERED}  # pyright: ignore[reportUnknownVariableType]
    try:
        definition = ServiceDefinition.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        # The text of pydantic's error quotes values, which do not belong in logs.
        raise _refused(path, all_errors(error, fields)) from None
    errors = freeze_errors(definition)
    if not definition.environments:
        errors.append(FieldError(field="environments", message="at least one is needed"))
    if errors:
        raise _refused(path, errors)
    return definition


def all_errors(error: ValidationError, definition: object) -> list[FieldError]:
    """What pydantic found wrong with a definition, and what is wrong with its freeze windows besides."""
    errors = field_errors(error)
    named = {found.field for found in errors}
    return errors + [found for found in freeze_errors_in(definition) if found.field not in named]


async def _content(artifacts: ArtifactStore, request: DefinitionRequest) -> bytes:
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in artifacts.open(request.job_id, request.attempt, posixpath.normpath(request.path)):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_DEFINITION_BYTES:
                too_large = f"it is larger than {MAX_DEFINITION_BYTES} bytes"
                raise _refused(request.path, [FieldError(field="", message=too_large)])
    except NotFound:
        missing = "there is no such file at this commit, or no agent handed it over"
        raise _refused(request.path, [FieldError(field="", message=missing)]) from None
    return b"".join(pieces)


def _refused(path: str, errors: list[FieldError]) -> ValidationFailed:
    """The message tells the first errors, because it is what the deployment's record shows."""
    return ValidationFailed(
        f"The service's definition {path} cannot be used: {errors_text(errors)}. Correct it in the repository and "
        "deploy that commit.",
        errors,
    )
