"""JSON Schemas of the files that people write, from the models that read them. ``python -m tests.unit.files.schemas``
writes ``api/file_schemas/*.json``, which the wheel has, the API serves and `hybridci schema` prints.

Only what a person may write: what deployments set, and forms that stand for another, are left out. What a file for the
command line may leave out (a job's commit) is not required. Rules between fields that JSON Schema cannot say stay with
the parser. Deliberately not here: what fields mean (the code's descriptions, and ``meanings``).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from pydantic import BaseModel

from agent.metrics.manifest import MetricManifest
from api.examples import BODIES
from api.identity.policy import AccessPolicy
from api.webhooks.manifest import Manifest
from tests.unit.files.meanings import MEANINGS
from workflows.contracts.deployments.services import ServiceDefinition, ServiceSpec
from workflows.contracts.jobs import JobSpec
from workflows.contracts.shapes import IN_WORDS

FOLDER: Final = Path(__file__).parents[3] / "api" / "file_schemas"
HOW_TO_RENEW: Final = "Renew them: `python -m tests.unit.files.schemas`, and commit api/file_schemas with it."
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_HIDDEN: Final = {
    "JobSpec": ("fence", "on_ref", "artifact_rules"),
    "JobDefinition": ("artifact_rules",),
    "Environment": ("artifact_rules",),
}
_ADDRESS: Final = r"^([a-z]+://|[^/@\s]+@[^/:\s]+:|\.|/|~)"
_NAME: Final = {"type": "string", "pattern": r"^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$"}


def build() -> dict[str, dict[str, Any]]:
    """Name → schema."""
    return {name: make() for name, make in _FILES.items()}


def text(schema: dict[str, Any]) -> str:
    """As it is shipped."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _of(name: str, title: str, model: type[BaseModel], description: str) -> dict[str, Any]:
    schema = model.model_json_schema(mode="validation", by_alias=True)
    for each, defined in {model.__name__: schema, **schema.get("$defs", {})}.items():
        _describe(each, defined)
    _drop_unused(schema)
    _close_maps(schema)
    rest = {key: value for key, value in schema.items() if key not in {"title", "description"}}
    return {
        "$schema": DIALECT,
        "$id": f"urn:hybridci:schema:{name}",
        "title": title,
        "description": description,
        **rest,
    }


def _describe(model: str, schema: dict[str, Any]) -> None:
    if "description" in schema:
        schema["description"] = " ".join(str(schema["description"]).replace("``", "`").split())
    fields: dict[str, Any] = schema.get("properties", {})
    if fields:
        schema["additionalProperties"] = False
    for hidden in _HIDDEN.get(model, ()):
        fields.pop(hidden, None)
    for name, field in fields.items():
        said = field.get("description") or MEANINGS.get(model, {}).get(name)
        if said is not None:
            field["description"] = " ".join(str(said).replace("``", "`").split())
        field.pop("title", None)  # the name with other letters
        _tell_patterns(field)


def _tell_patterns(field: dict[str, Any]) -> None:
    """Editors show this where a pattern does not fit."""
    pattern = str(field.get("pattern"))
    if pattern in IN_WORDS:
        field["patternErrorMessage"] = f"must be {IN_WORDS[pattern]}"


def _close_maps(schema: Any) -> None:
    """A map whose names have a pattern takes no others."""
    if isinstance(schema, dict):
        node = cast("dict[str, Any]", schema)
        if "patternProperties" in node:
            node["additionalProperties"] = False
        for each in node.values():
            _close_maps(each)
    elif isinstance(schema, list):
        for each in cast("list[Any]", schema):
            _close_maps(each)


def _drop_unused(schema: dict[str, Any]) -> None:
    defined: dict[str, Any] = schema.get("$defs", {})
    while True:
        said = json.dumps(schema)
        unused = [name for name in defined if f'"#/$defs/{name}"' not in said]
        if not unused:
            return
        for name in unused:
            del defined[name]


def _job() -> dict[str, Any]:
    schema = _of(
        "job", "A job", JobSpec, "The file of `hybridci job submit -F`, and the body of POST /api/dashboard/jobs."
    )
    schema.pop("required")  # the command line knows the commit, its author and the repository by itself
    schema["properties"]["git_repo"]["pattern"] = _ADDRESS
    schema["examples"] = [BODIES[JobSpec]]
    return schema


def _service() -> dict[str, Any]:
    schema = _of(
        "service", "A service", ServiceSpec, "The file of `hybridci service apply -f`: what is deployed, and how."
    )
    fields = schema["properties"]
    fields["git_repo"]["pattern"] = _ADDRESS
    schema["properties"] = {"name": {**_NAME, "description": MEANINGS["ServiceSpec"]["name"]}, **fields}
    schema["anyOf"] = [
        {"required": ["environments"], "properties": {"environments": {"minItems": 1}}}, {"required": ["definition"]},
    ]  # fmt: skip
    schema["examples"] = [{"name": "checkout", **BODIES[ServiceSpec]}]
    _steps_or_external(schema)
    return schema


def _definition() -> dict[str, Any]:
    schema = _of(
        "definition", "A definition in a repository", ServiceDefinition,
        "The `.hybridci.yml` of a service whose `definition` says that it is read from the repository.",
    )  # fmt: skip
    own = {
        name: {"type": "string", "description": MEANINGS["ServiceDefinition"][name]}
        for name in ("name", "git_repo", "git_ref")
    }
    schema["properties"] = {**own, **schema["properties"]}
    schema["required"] = ["environments"]
    environments: dict[str, Any] = schema["properties"]["environments"]
    environments["minItems"] = 1
    _steps_or_external(schema)
    return schema


def _steps_or_external(schema: dict[str, Any]) -> None:
    schema["$defs"]["Environment"]["anyOf"] = [
        {"required": ["steps"], "properties": {"steps": {"minItems": 1}}},
        {"required": ["external"], "properties": {"external": {"const": True}}},
    ]


def _policy() -> dict[str, Any]:
    return _of(
        "access-policy", "An access policy", AccessPolicy,
        "The file that HYBRIDCI_ACCESS_POLICY names: who is trusted, who may do what, who is who.",
    )  # fmt: skip


def _webhook() -> dict[str, Any]:
    schema = _of(
        "webhook-manifest", "A webhook manifest", Manifest,
        "A file of the folder HYBRIDCI_WEBHOOK_MANIFESTS: how one tool's webhooks are verified, and what they start. "
        "Texts under `when`, `each`, `key`, `service`, `with`, `event`, `delivery` and `answer` are JMESPath.",
    )  # fmt: skip
    verify = schema["properties"]["verify"]
    one = verify["items"]
    schema["properties"]["verify"] = {
        "description": verify["description"],
        "anyOf": [one, {k: v for k, v in verify.items() if k != "description"}],
    }
    return schema


def _metrics() -> dict[str, Any]:
    return _of(
        "metrics-manifest", "A metrics manifest", MetricManifest,
        "A file of the folder HYBRIDCI_METRICS_DIR: a provider of metrics that an agent can ask.",
    )  # fmt: skip


_FILES: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "job": _job, "service": _service, "definition": _definition, "access-policy": _policy,
    "webhook-manifest": _webhook, "metrics-manifest": _metrics,
}  # fmt: skip

if __name__ == "__main__":
    for name, schema in build().items():
        (FOLDER / f"{name}.json").write_text(text(schema), "utf-8")
