"""The OpenAPI document: examples that work, a key on every guarded operation, problems on all."""

import json
import re
from collections.abc import Iterator
from typing import Any, cast

import jsonschema
import pytest

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
