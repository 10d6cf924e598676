"""Whether a document could be a service's definition, with every error at its line, and what it would change.

Nothing is changed. What only shows when it is applied (somebody was faster, something is live that would be lost) is
not seen here. Deliberately not here: applying it (``routes.services``).
"""

import asyncio
import json
from collections.abc import Iterable, Sequence

from activities.environments.freezes import freeze_errors
from api.http.bodies import parse
from api.http.errors import ApiError
from api.identity.policy import PoolRule
from api.identity.pools import pools_refused_to_service
from api.services.document import Document, definition_yaml, difference, read_document
from api.services.schemas import DefinitionCheck, DefinitionError
from workflows.contracts.deployments.policy import definition_errors, policy_changes
from workflows.contracts.deployments.services import Service, ServiceSpec
from workflows.contracts.errors import FieldError, ValidationFailed
from workflows.yaml_text import UnreadableYaml


async def checked(raw: bytes, name: str, present: Service | None, rules: Sequence[PoolRule]) -> DefinitionCheck:
    """``name``: whose it is to be."""
    return await asyncio.to_thread(_checked, raw, name, present, rules)  # others are answered meanwhile


def _checked(raw: bytes, name: str, present: Service | None, rules: Sequence[PoolRule]) -> DefinitionCheck:
    version, by = (0, "") if present is None else (present.version, present.updated_by)
    try:
        document = read_document(raw)
    except UnreadableYaml as error:
        problem = DefinitionError(field="", message=str(error), line=error.line)
        return DefinitionCheck(name=name, version=version, updated_by=by, errors=[problem])
    spec, errors = _spec_of(document, name, rules)
    if spec is None or errors:
        return DefinitionCheck(name=name, version=version, updated_by=by, errors=list(located(errors, document)))
    before = "" if present is None else definition_yaml(present)
    at = 0 if present is None else present.updated_at
    after = definition_yaml(Service(name=name, version=version + 1, spec=spec, created_at=at, updated_at=at))
    return DefinitionCheck(
        name=name,
        version=version,
        updated_by=by,
        difference=difference(before, after, (f"version {version}" if version else "nothing", "this text")),
        policy_changes=[] if present is None else policy_changes(present.spec, spec),
    )


def located(errors: Iterable[FieldError], document: Document) -> Iterable[DefinitionError]:
    """Each with its line, in the order of lines."""
    found = [
        DefinitionError(field=each.field, message=each.message, line=document.places.line(each.field))
        for each in errors
    ]
    return sorted(found, key=lambda each: each.line or 0)


def _spec_of(document: Document, name: str, rules: Sequence[PoolRule]) -> tuple[ServiceSpec | None, list[FieldError]]:
    if document.name is not None and document.name != name:
        return None, [FieldError(field="name", message=f"is {document.name[:64]}, and this is {name}: a name stays")]
    try:
        spec = parse(ServiceSpec, json.dumps(document.fields).encode())
    except ValidationFailed as error:
        return None, list(error.errors)
    except ApiError as error:
        return None, [FieldError(field="body", message=error.detail)]
    return spec, [*freeze_errors(spec), *definition_errors(spec), *pools_refused_to_service(rules, name, spec)]
