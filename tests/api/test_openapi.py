"""The OpenAPI document: examples that work, a key on every guarded operation, problems on all."""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

import jsonschema
import pytest
from pydantic import BaseModel

from api.examples import BODIES
from tests.api.conftest import DEPLOYMENT, Bench, memory_app
from tests.api.test_auth import OPEN, SIGN_IN, SIGNED
from workflows.contracts.shapes import IN_WORDS

METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return memory_app()[0].openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    found = operations(document)
    assert len({operation["operationId"] for _, _, operation in found}) == len(found) > 30
    tags = {tag["name"] for tag in document["tags"]}
    for path, method, operation in found:
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)
        assert set(operation["tags"]) <= tags, (path, method)
        assert ("security" in operation) == (path not in OPEN | SIGNED | SIGN_IN), (path, method)
        assert "application/problem+json" in operation["responses"]["422"]["content"], (path, method)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    references = {part.split('"', 1)[0] for part in text.split('"#/components/schemas/')[1:]}
    assert references <= set(schemas)
    assert {"JobSpec", "JobOut", "Problem"} <= references
    assert not {"fingerprint", "sequence"} & set(schemas["JobOut"]["properties"])


async def test_the_example_job_is_accepted_and_answered_as_described(bench: Bench, document: dict[str, Any]) -> None:
    body = document["paths"]["/api/dashboard/jobs"]["post"]["requestBody"]["content"]["application/json"]
    answer = await bench.admin.post("/api/dashboard/jobs", json=body["example"])
    assert answer.status_code == 201, answer.text
    jsonschema.validate(answer.json(), {**document, "$ref": "#/components/schemas/JobOut"})
    jsonschema.validate(body["example"], {**document, "$ref": body["schema"]["$ref"]})
    problem = (await bench.admin.post("/api/dashboard/jobs", json={})).json()
    jsonschema.validate(problem, {**document, "$ref": "#/components/schemas/Problem"})


async def test_the_example_service_and_deployment_are_accepted_and_answered_as_described(
    bench: Bench, document: dict[str, Any]
) -> None:
    def described(path: str, method: str) -> Any:
        return document["paths"][path][method]["requestBody"]["content"]

    bodies = described("/api/dashboard/services/{name}", "put")
    assert set(bodies) == {"application/json", "application/yaml"}
    service = bodies["application/json"]
    answer = await bench.admin.put("/api/dashboard/services/checkout", json=service["example"])
    assert answer.status_code == 201, answer.text
    jsonschema.validate(service["example"], {**document, "$ref": service["schema"]["$ref"]})
    jsonschema.validate(answer.json(), {**document, "$ref": "#/components/schemas/Service"})
    start = described("/api/dashboard/deployments", "post")["application/json"]
    answer = await bench.admin.post("/api/dashboard/deployments", json=start["example"])
    assert answer.status_code == 201, answer.text
    jsonschema.validate(answer.json(), {**document, "$ref": "#/components/schemas/DeploymentOut"})
    listed = await bench.admin.get("/api/dashboard/services/checkout/environments")
    jsonschema.validate(listed.json(), {**document, "$ref": "#/components/schemas/EnvironmentList"})
    shown = document["components"]["schemas"]
    assert not {"fingerprint", "sequence"} & (
        set(shown["DeploymentOut"]["properties"]) | set(shown["EnvironmentOut"]["properties"])
    )
    assert "412" in document["paths"]["/api/dashboard/services/{name}"]["put"]["responses"]


async def test_the_bare_address_leads_to_the_documentation(bench: Bench) -> None:
    answer = await bench.anyone.get("/", follow_redirects=True)
    assert (answer.status_code, answer.url.path) == (200, "/api/docs")
    assert "/api/openapi.json" in answer.text


async def test_the_documentation_needs_no_other_host(bench: Bench) -> None:
    page = (await bench.anyone.get("/api/docs")).text
    assert "https://" not in page
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert (await bench.anyone.get(asset)).status_code == 200, asset


def _patterns(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        members = cast("dict[str, object]", node)
        pattern, names = members.get("pattern"), members.get("patternProperties")
        yield from [pattern] if isinstance(pattern, str) else []
        yield from cast("dict[str, object]", names) if isinstance(names, dict) else ()
        for value in members.values():
            yield from _patterns(value)
    elif isinstance(node, list):
        for item in cast("list[object]", node):
            yield from _patterns(item)


def test_whoever_does_not_match_a_pattern_is_told_in_words(document: dict[str, Any]) -> None:
    unsaid = set(_patterns(document)) - IN_WORDS.keys()
    assert not unsaid, "say them in workflows/contracts/shapes.py"


async def test_a_version_that_is_none_is_refused_in_words(bench: Bench) -> None:
    answer = await bench.admin.post("/api/dashboard/deployments", json={**DEPLOYMENT, "version": "1.0 beta"})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["field"]) == (422, "version")
    assert error["message"].startswith("must be letters, digits and . _ + -, beginning with a letter or a digit")


def test_operations_are_called_by_short_names(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) and len(name) <= 40 for name in names), names
    assert {"submit_job", "get_job", "start_deployment", "approve_deployment", "register_agent"} <= set(names)


def test_no_two_schemas_have_one_title_and_all_stand_together(document: dict[str, Any]) -> None:
    titles = [schema["title"] for schema in document["components"]["schemas"].values()]
    assert sorted(titles) == sorted(set(titles))
    assert "$defs" not in json.dumps(document)


def test_every_answer_and_every_body_has_its_schema_and_every_body_an_example(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            assert status in {"204", "302", "303", "307"} or answer.get("content"), (path, method, status)
            for kind, content in answer.get("content", {}).items():
                assert content.get("schema"), (path, method, status, kind)
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            assert "schema" in content, (path, method, kind)
            assert kind == "application/octet-stream" or "example" in content, (path, method, kind)


@pytest.mark.parametrize("model", BODIES, ids=lambda model: model.__name__)
def test_every_example_is_what_its_route_takes(model: type[BaseModel]) -> None:
    model.model_validate_json(json.dumps(BODIES[model]))
