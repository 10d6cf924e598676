"""The schemas and the reference of files are what the code says, and schema and parser agree on what is in order."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from typer.testing import CliRunner

from agent.metrics.manifest import MetricManifest
from api.cli.commands.files.schema import app
from api.file_schemas.shipped import NAMES, schema_text
from api.identity.policy import AccessPolicy
from api.webhooks.manifest import Manifest
from tests.unit.files import references, schemas
from workflows.contracts.deployments.services import ServiceDefinition, ServiceSpec
from workflows.contracts.fields import INCOMING
from workflows.contracts.jobs import JobSpec
from workflows.yaml_text import yaml_to_json

ROOT: Final = Path(__file__).parents[3]
SHA: Final = "0" * 40
STEP: Final = {"name": "unit", "run": "make test"}
JOB: Final = {"job_type": "test", "git_repo": "https://git.example.com/a", "git_commit_sha": SHA, "git_author": "Ann"}
SERVICE: Final = {
    "name": "shop",
    "git_repo": "https://git.example.com/a",
    "environments": [{"name": "production", "steps": [STEP]}],
}
POLICY: Final = {
    "issuers": [{"name": "okta", "issuer": "https://x.example.com", "client_id": "us"}],
    "users": [{"match": {"issuer": "okta"}, "grants": [{"role": "viewer"}]}],
    "pools": [{"name": "prod", "deployments_only": True}],
}
WEBHOOK: Final = {
    "name": "tool", "title": "Tool", "docs": "Set it up.", "event": "'x'",
    "verify": {"scheme": "token", "header": "X-Token"},
    "rules": [{"name": "r", "action": "ignore", "reason": "None of ours."}],
}  # fmt: skip
METRICS: Final = {"name": "m", "request": {"url": "https://m.example.com"}, "value": "data.value"}


def without_name(model: Any) -> Callable[[dict[str, Any]], Any]:
    def read(fields: dict[str, Any]) -> Any:
        return model.model_validate_json(
            json.dumps({key: value for key, value in fields.items() if key != "name"}), strict=True, context=INCOMING
        )

    return read


def strictly(model: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda fields: model.model_validate_json(json.dumps(fields), strict=True, context=INCOMING)


PARSERS: Final[dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], Any]]]] = {
    "job": (JOB, strictly(JobSpec)),
    "service": (SERVICE, without_name(ServiceSpec)),
    "definition": ({"environments": SERVICE["environments"]}, strictly(ServiceDefinition)),
    "access-policy": (POLICY, strictly(AccessPolicy)),
    "webhook-manifest": (WEBHOOK, lambda fields: Manifest.model_validate_json(json.dumps(fields))),
    "metrics-manifest": (METRICS, lambda fields: MetricManifest.model_validate_json(json.dumps(fields))),
}


def valid(name: str, fields: object) -> bool:
    validator: Any = Draft202012Validator(json.loads(schema_text(name)))
    return bool(validator.is_valid(fields))


def validate(name: str, document: bytes) -> None:
    validator: Any = Draft202012Validator(json.loads(schema_text(name)))
    validator.validate(json.loads(yaml_to_json(document)))


def taken(name: str, fields: dict[str, Any]) -> bool:
    try:
        PARSERS[name][1](fields)
    except ValidationError:
        return False
    return True


def test_what_is_shipped_is_what_the_code_says() -> None:
    built = schemas.build()
    assert tuple(built) == NAMES
    for name, schema in built.items():
        assert schema_text(name) == schemas.text(schema), schemas.HOW_TO_RENEW


def test_the_reference_is_what_the_code_says() -> None:
    assert references.PAGE.read_text("utf-8") == references.page(), references.HOW_TO_RENEW


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one_and_each_field_has_a_meaning_and_no_other_is_taken(name: str) -> None:
    schema = json.loads(schema_text(name))
    Draft202012Validator.check_schema(schema)
    for model, defined in {schema["title"]: schema, **schema.get("$defs", {})}.items():
        if "properties" in defined:
            assert defined["additionalProperties"] is False, model
            assert [field for field, said in defined["properties"].items() if not said.get("description")] == [], (
                f"{model}: give these fields a description, or a line in tests/unit/files/meanings.py"
            )
            assert "``" not in json.dumps(defined), model


CHANGES: Final[list[tuple[str, str, Any, bool]]] = [
    ("job", "step", [], False),
    ("job", "steps", [STEP], True),
    ("job", "steps", [{**STEP, "when": "always", "background": "keep"}], True),
    ("job", "steps", [{**STEP, "when": "often"}], False),
    ("job", "steps", [{"name": "x"}], False),
    ("job", "steps", "make", False),
    ("job", "git_repo", "git@host:a/b.git", True),
    ("job", "git_repo", "host/a", False),
    ("job", "git_commit_sha", "abc", False),
    ("job", "timeout_seconds", 0, False),
    ("job", "timeout_seconds", "60", False),
    ("job", "timeout_seconds", 60, True),
    ("job", "priority", "HIGH", True),
    ("job", "priority", "high", False),
    ("job", "env", {"A": "x"}, True),
    ("job", "env", {"A": 1}, False),
    ("job", "env", {"1A": "x"}, False),
    ("job", "artifacts", ["dist/**"], True),
    ("job", "artifacts", {"paths": ["a"], "if_none": "fail"}, True),
    ("job", "artifacts", {"path": ["a"]}, False),
    ("job", "checkout", {"submodules": True}, True),
    ("job", "checkout", {"submodule": True}, False),
    ("job", "retry", {"max_attempts": 51}, False),
    ("job", "metadata", {"a": [1, {"b": None}]}, True),
    ("job", "pool", "No Pool", False),
    ("job", "git_ref", None, True),
    ("service", "git_ref", "main", True),
    ("service", "environments", [], False),
    ("service", "environments", [{"name": "x"}], False),
    ("service", "environments", [{"name": "x", "external": True}], True),
    ("service", "environments", [{"name": "No!", "steps": [STEP]}], False),
    ("service", "environments", [{"name": "x", "steps": [STEP], "rollout": {"percent": [10, 100]}}], True),
    ("service", "environments", [{"name": "x", "steps": [STEP], "approvals": {}}], False),
    ("service", "environments", [{"name": "x", "steps": [STEP], "approval": {"required": 0}}], False),
    ("service", "environments", [{"name": "x", "steps": [STEP], "approval": {"required": 2}}], True),
    ("service", "build", {"steps": [STEP]}, True),
    ("service", "build", {"steps": STEP}, False),
    ("service", "triggers", {"branches": ["main"]}, True),
    ("service", "triggers", {"branch": "main"}, False),
    ("service", "colour", "red", False),
    ("definition", "build", None, True),
    ("definition", "policy", {}, False),
    ("access-policy", "users", [{"match": {}, "grants": []}], False),
    ("access-policy", "users", [{"match": {"a": {"contains": "b"}}, "grants": [{"role": "admin"}]}], True),
    ("access-policy", "users", [{"match": {}, "grants": [{"role": "king"}]}], False),
    ("access-policy", "user", [], False),
    ("webhook-manifest", "verify", [{"scheme": "basic"}], True),
    ("webhook-manifest", "verify", {"scheme": "none"}, False),
    ("webhook-manifest", "verify", [], False),
    ("webhook-manifest", "rules", [], False),
    ("webhook-manifest", "rule", [], False),
    ("metrics-manifest", "title", "x", True),
    ("metrics-manifest", "titles", "x", False),
    ("metrics-manifest", "request", {}, False),
]


@pytest.mark.parametrize(("name", "field", "value", "well"), CHANGES)
def test_schema_and_parser_agree(name: str, field: str, value: Any, well: bool) -> None:
    fields = copy.deepcopy(PARSERS[name][0])
    assert valid(name, fields)
    assert taken(name, fields)
    fields[field] = value
    assert (valid(name, fields), taken(name, fields)) == (well, well)


@pytest.mark.parametrize("name", NAMES)
def test_what_must_be_given_is_the_same_to_both(name: str) -> None:
    left_out_for_a_job = {"job_type", "git_repo", "git_commit_sha", "git_author"}
    for field in PARSERS[name][0]:
        fields = {key: value for key, value in PARSERS[name][0].items() if key != field}
        if name == "job" and field in left_out_for_a_job:
            assert valid(name, fields)  # the command line knows them
        elif name == "service" and field == "name":
            assert valid(name, fields)  # --name says it
        elif name == "metrics-manifest" and field in {"request", "value"}:
            assert not taken(name, fields)  # one of two, which the parser says
        elif name == "definition":
            assert not valid(name, fields)
        else:
            assert valid(name, fields) == taken(name, fields), field


def test_a_file_for_the_command_line_may_name_a_folder() -> None:
    for said in (".", "./a", "../b", "/srv/a", "~/a"):
        assert valid("job", {**JOB, "git_repo": said})
        assert valid("service", {**SERVICE, "git_repo": said})


def files_of(*folders: str) -> list[Path]:
    return [file for folder in folders for file in sorted((ROOT / folder).glob("*.y*ml"))]


@pytest.mark.parametrize("file", files_of("api/webhooks/manifests"), ids=lambda file: file.stem)
def test_the_shipped_webhook_manifests(file: Path) -> None:
    validate("webhook-manifest", file.read_bytes())


@pytest.mark.parametrize("file", files_of("agent/metrics/manifests"), ids=lambda file: file.stem)
def test_the_shipped_metrics_manifests(file: Path) -> None:
    validate("metrics-manifest", file.read_bytes())


def test_the_services_of_the_pages_and_the_demo() -> None:
    texts = [(ROOT / "api/cli/demo/shop/service.yml").read_text("utf-8")]
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        blocks = re.findall(r"(?ms)^```yaml\n(.*?)^```", page.read_text("utf-8"))
        texts += [block for block in blocks if re.search(r"(?m)^git_repo:", block) and "environments:" in block]
    assert len(texts) >= 3
    for text in texts:
        validate("service", re.sub(r"\$\((\w+)\)", lambda found: found[1].lower(), text).encode())


def test_the_command_prints_them() -> None:
    assert CliRunner().invoke(app, []).output.split() == list(NAMES)
    assert CliRunner().invoke(app, ["service"]).output == schema_text("service")
    refused = CliRunner().invoke(app, ["services"])
    assert refused.exit_code == 2
    assert "did you mean service?" in refused.output
