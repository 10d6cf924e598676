"""The OpenAPI document: FastAPI's own, plus the bodies that ``http.bodies`` reads and the problems routes answer."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, cast

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.examples import BODIES
from api.http.bodies import BODY, Body
from api.http.errors import PROBLEM_MEDIA_TYPE
from api.http.problems import Problem
from api.http.times import beside, times_of
from workflows.contracts.fields import IS_MILLIS

TAGS: Final = [
    {"name": "jobs", "description": "Submit, watch, change and stop jobs."},
    {"name": "queue", "description": "The same jobs as the queue sees them, in numbers and in bulk."},
    {"name": "dead letters", "description": "Jobs whose budget is used up, parked until somebody decides."},
    {"name": "maintenance", "description": "Workflows that cannot go on: which they are, and their repair."},
    {"name": "storage", "description": "What takes how much, and what goes by policy."},
    {"name": "services", "description": "What is deployed, and how."},
    {"name": "environments", "description": "Where it is deployed: what is live, who waits, holds and freezes."},
    {"name": "line", "description": "Freezes and holds of many services at once."},
    {"name": "deployments", "description": "Start a version on its way, approve it, roll it back."},
    {"name": "webhooks", "description": "What other tools tell: a commit, an alert, a person's word."},
    {"name": "events", "description": "Who did what when, from where, why."},
    {"name": "access", "description": "Who may come in: keys, and what was handed out to whom."},
    {"name": "summary", "description": "The dashboard's first page."},
    {"name": "agents", "description": "Who runs the jobs: register, heartbeat, drain; what attempts deliver."},
    {"name": "pools", "description": "What waits for agents, and how many there should be."},
    {"name": "tasks", "description": "What a pool's agents are asked besides jobs: commits, files, metrics."},
    {"name": "codec", "description": "Sealed payloads in clear, for the Temporal UI."},
    {"name": "sign-in", "description": "Sessions of people, tokens of workloads."},
    {"name": "core", "description": "Health and information."},
]
_PROBLEMS: Final = {
    "400": "The body or a parameter cannot be read.",
    "401": "No key, or an unknown one.",
    "403": "The caller's grants do not reach so far.",
    "404": "There is no such thing.",
    "409": "Not possible in this state, or the idempotency key stands for another request.",
    "411": "Content-Length is needed.",
    "413": "The body is too large.",
    "415": "The body is of another kind than the route takes.",
    "422": "`errors` names every bad field.",
    "429": "Too many requests with this credential, or unknown ones from this address; see Retry-After.",
    "431": "The headers are too large.",
    "503": "A backing service does not answer; see Retry-After.",
}
_MAY_BE_GONE: Final = ("read_log", "search_log", "list_artifacts", "get_artifact")
_TIME: Final = "2026-11-30T09:12:03.123Z"
_REF: Final = "#/components/schemas/"
_NAMED: Final = re.compile(rf'"{_REF}([^"]+)"')


def install_openapi(app: FastAPI) -> None:
    """Let ``app.openapi()`` build the document at its first call."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build_document(app)
        return app.openapi_schema

    app.openapi = document  # FastAPI's documented way to replace it


def build_document(app: FastAPI) -> dict[str, Any]:
    """The document."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=TAGS
    )
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    bodies = {(path, method): body for path, method, body in _bodies(app)}
    names = {(path, method): name for path, method, name in _names(app)}
    references = _add_models(schemas, {body.model for body in bodies.values()} | {Problem})
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["operationId"] = names[path, method]
            body = bodies.get((path, method))
            if body is not None:
                operation["requestBody"] = _request_body(body, references)
            _add_problems(operation, guarded="security" in operation, references=references)
            _hoist(operation["responses"], schemas)
    for leftover in ("HTTPValidationError", "ValidationError"):
        schemas.pop(leftover, None)
    for name in _reached(schemas, _answers(document)):
        _add_times(schemas[name])
    return cast("dict[str, Any]", _without_mark(document))


def _answers(document: dict[str, Any]) -> str:
    """The schemas of all that routes answer, as text."""
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    return json.dumps([operation["responses"] for operation in operations])


def _reached(schemas: dict[str, Any], text: str) -> set[str]:
    """The names of the schemas that this names, and that those name."""
    found, new = set[str](), set(_NAMED.findall(text))
    while new:
        found |= new
        new = set(_NAMED.findall(json.dumps([schemas[name] for name in new]))) - found
    return found


def _add_times(schema: dict[str, Any]) -> None:
    """As ``http.times`` puts them into answers."""
    properties: dict[str, Any] = schema.get("properties", {})
    for name in times_of(schema):
        time = beside(name)
        text: dict[str, Any] = {"type": "string", "format": "date-time"}
        maybe: dict[str, Any] = text if "anyOf" not in properties[name] else {"anyOf": [text, {"type": "null"}]}
        words = f"The same as `{name}`, in RFC 3339."
        properties[time] = {**maybe, "title": time.replace("_", " ").title(), "description": words, "examples": [_TIME]}
        if name in schema.get("required", ()):
            schema["required"].append(time)


def _without_mark(value: Any) -> Any:
    """Without what only says which numbers are times."""
    if isinstance(value, dict):
        return {name: _without_mark(each) for name, each in cast("dict[str, Any]", value).items() if name != IS_MILLIS}
    return [_without_mark(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


def _names(app: FastAPI) -> Iterator[tuple[str, str, str]]:
    """(path, method, name) of each route: the name of its function, which generated clients call it by."""
    for context in iter_route_contexts(app.routes):
        for method in context.methods or ():
            yield str(context.path_format), method.lower(), str(context.name)


def _bodies(app: FastAPI) -> Iterator[tuple[str, str, Body]]:
    """(path, method, body) of each route that reads a model."""
    for context in iter_route_contexts(app.routes):
        dependant = getattr(context, "dependant", None)
        if not isinstance(dependant, Dependant):
            continue
        for body in _body_models(dependant):
            for method in context.methods or ():
                yield str(context.path_format), method.lower(), body


def _body_models(dependant: Dependant) -> Iterator[Body]:
    found = getattr(dependant.call, BODY, None)
    if isinstance(found, Body):
        yield found
    for inner in dependant.dependencies:
        yield from _body_models(inner)


def _add_models(schemas: dict[str, Any], models: set[type[BaseModel]]) -> dict[type[BaseModel], str]:
    """Add the schemas of what is read. One that differs from what is written gets a name of its own."""
    ordered = sorted(models, key=lambda model: model.__name__)
    mapping, defined = models_json_schema([(model, "validation") for model in ordered], ref_template=_REF + "{model}")
    definitions: dict[str, Any] = defined.get("$defs", {})
    renamed = {name: f"{name}Input" for name, schema in definitions.items() if schemas.get(name, schema) != schema}
    text = json.dumps(definitions)
    for name, new in renamed.items():
        text = text.replace(f'"{_REF}{name}"', f'"{_REF}{new}"')
    for name, schema in json.loads(text).items():
        schemas[renamed.get(str(name), str(name))] = {**schema, "title": renamed.get(str(name), schema["title"])}
    names = {model: str(mapping[model, "validation"]["$ref"]).removeprefix(_REF) for model in ordered}
    return {model: _REF + renamed.get(name, name) for model, name in names.items()}


def _hoist(responses: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Definitions that stand within an answer's schema go where all stand: a reference within is lost on many tools."""
    for response in responses.values():
        for content in response.get("content", {}).values():
            defined = content.get("schema", {}).get("$defs")
            if defined:
                text = json.dumps(content["schema"]).replace('"#/$defs/', f'"{_REF}')
                content["schema"] = json.loads(text)
                for name, schema in content["schema"].pop("$defs").items():
                    schemas.setdefault(name, schema)


def _request_body(body: Body, references: dict[type[BaseModel], str]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": references[body.model]}}
    if body.model in BODIES:
        content["example"] = BODIES[body.model]
    as_text = {**content, "schema": {"type": "string", "format": "binary", "description": "The same as YAML."}}
    kinds = {kind: content if kind == "application/json" else as_text for kind in body.media}
    return {"required": not body.optional, "content": kinds}


def _add_problems(operation: dict[str, Any], *, guarded: bool, references: dict[type[BaseModel], str]) -> None:
    content = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": references[Problem]}}}
    named = any(parameter["in"] == "path" for parameter in operation.get("parameters", ()))
    open_statuses = {"400", "413", "422", "431", "503"} | ({"404"} if named else set[str]())
    for status, description in _PROBLEMS.items():
        if guarded or status in open_statuses:
            operation["responses"][status] = {"description": description, "content": content}
    if operation.get("operationId", "").startswith(_MAY_BE_GONE):
        operation["responses"]["410"] = {"description": "It was removed by policy.", "content": content}
    if "requestBody" in operation:
        operation["responses"]["408"] = {"description": "The body came too slowly.", "content": content}
    if any(parameter["name"] == "If-Match" for parameter in operation.get("parameters", ())):
        operation["responses"]["412"] = {"description": "It has another version now.", "content": content}
