"""Services over HTTP: registered as a whole from JSON or YAML, versioned, never overwritten by mistake."""

import asyncio
import json
from typing import Any

import pytest
import yaml

from api.http.bodies import YAML_MEDIA
from tests.api.conftest import SERVICE, Bench
from workflows.contracts.errors import InvalidState, Unavailable
from workflows.yaml_text import MAX_YAML_BYTES

SERVICES = "/api/dashboard/services"
CHECKOUT = SERVICES + "/checkout"
FULL: dict[str, Any] = {
    "git_repo": "https://example.com/shop.git",
    "git_ref": "main",
    "labels": {"team": "shop", "tier": "1"},
    "build": {"steps": [{"name": "build", "run": "make\nmake check\n"}], "env": {"DEBUG": "yes", "PORT": "8080"}},
    "environments": [
        {"name": "staging", "steps": [{"name": "d", "run": "./d"}], "health_check": {"run": "true", "attempts": 3}},
        {
            "name": "production",
            "pool": "prod",
            "steps": [{"name": "d", "run": "./d"}],
            "approval": {"required": 2, "groups": [{"name": "ops", "members": ["ann", "bob"]}]},
            "rollout": {"percent": [10, 100], "pause_seconds": 60},
            "verification": {"run": "./smoke", "bake_seconds": 300, "max_error_rate": 0.02, "max_latency_ms": 500.0},
            "rollback": {"steps": [{"name": "b", "run": "./b"}]},
            "freeze_windows": [{"name": "w", "cron": "0 18 * * 5", "duration_seconds": 3600}],
        },
    ],
}
AS_YAML = """\
git_repo: https://example.com/shop.git   # no quotes needed
git_ref: main
labels: {team: shop, tier: "1"}
build:
  steps:
    - name: build
      run: |
        make
        make check
  env: {DEBUG: yes, PORT: "8080"}
environments:
  - name: staging
    steps: &deploy
      - {name: d, run: ./d}
    health_check: {run: 'true', attempts: 3}
  - name: production
    pool: prod
    steps: *deploy
    approval:
      required: 2
      groups: [{name: ops, members: [ann, bob]}]
    rollout: {percent: [10, 100], pause_seconds: 60}
    verification: {run: ./smoke, bake_seconds: 300, max_error_rate: 0.02, max_latency_ms: 500}
    rollback: {steps: [{name: b, run: ./b}]}
    freeze_windows: [{name: w, cron: 0 18 * * 5, duration_seconds: 3600}]
"""


async def put_yaml(bench: Bench, text: str | bytes, media: str = YAML_MEDIA[0], name: str = "checkout") -> Any:
    return await bench.admin.put(f"{SERVICES}/{name}", content=text, headers={"Content-Type": media})


async def test_a_registered_service_can_be_read_at_once(bench: Bench) -> None:
    created = await bench.admin.put(CHECKOUT, json=FULL)
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    assert created.headers["location"] == CHECKOUT
    read = await bench.admin.get(CHECKOUT)
    assert read.json() == created.json()
    assert (read.json()["version"], read.json()["updated_by"], read.headers["etag"]) == (1, "admin", '"1"')
    assert [each["name"] for each in read.json()["spec"]["environments"]] == ["staging", "production"]
    listed = (await bench.admin.get(SERVICES)).json()
    assert (listed["items"], listed["next_cursor"]) == ([read.json()], None)


async def test_yaml_and_json_of_one_definition_are_the_same_service(bench: Bench) -> None:
    await bench.admin.put(CHECKOUT, json=FULL)
    stored = (await bench.admin.get(CHECKOUT)).json()
    for text in (AS_YAML, yaml.safe_dump(FULL), yaml.safe_dump(FULL, default_flow_style=True), json.dumps(FULL)):
        for media in (*YAML_MEDIA, "Application/YAML; charset=utf-8"):
            answer = await put_yaml(bench, text, media)
            assert (answer.status_code, answer.json()) == (200, stored), text
    assert stored["spec"]["build"]["env"] == {"DEBUG": "yes", "PORT": "8080"}


async def test_each_change_is_a_version_and_the_same_again_is_none(bench: Bench) -> None:
    await bench.register()
    await bench.register()
    assert (await bench.admin.get(CHECKOUT)).json()["version"] == 1
    changed = await bench.admin.put(CHECKOUT, json={**SERVICE, "git_ref": "main"})
    assert (changed.status_code, changed.headers["etag"], "location" in changed.headers) == (200, '"2"', False)
    first = await bench.admin.get(CHECKOUT, params={"version": 1})
    assert (first.json()["version"], first.json()["spec"]["git_ref"]) == (1, None)
    missing = await bench.admin.get(CHECKOUT, params={"version": 3})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("media", ["application/json", "application/yaml"])
async def test_every_bad_field_of_a_service_is_named_at_once(bench: Bench, media: str) -> None:
    body = {
        "git_repo": "ext::sh",
        "wrong": 1,
        "build": {"steps": [{"name": "", "run": "x"}], "timeout_seconds": "60"},
        "environments": [
            {"name": "Staging", "steps": [{"name": "d", "run": "d"}]},
            {"name": "production", "steps": [{"name": "d", "run": "d"}], "rollout": {"percent": [50]}},
            {"name": "qa"},
        ],
    }
    content = json.dumps(body) if media == "application/json" else yaml.safe_dump(body)
    answer = await bench.admin.put(CHECKOUT, content=content, headers={"Content-Type": media})
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {
        "git_repo",
        "wrong",
        "build.steps.0.name",
        "build.timeout_seconds",
        "environments.0.name",
        "environments.1.rollout",
        "environments.2",
    }
    assert (await bench.admin.get(CHECKOUT)).status_code == 404


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no document"),
        (b"a: [b", "line "),
        (b"\xff\xfea", "not UTF-8"),
        (b"git_repo: a\ngit_repo: b\n", "line 2: the key 'git_repo' is there twice"),
        (b"labels: &l {a: *l}", "stands inside"),
        (b"!!python/object/apply:os.system [id]", "the tag"),
        (b"a: 1\n---\na: 2", "second document"),
        (b"[" * 100_000, "nested deeper than 50"),
        (b"labels: *l", "no anchor 'l' before its alias"),
    ],
)
async def test_yaml_that_cannot_be_read_is_400_with_its_place(bench: Bench, text: bytes, words: str) -> None:
    answer = await put_yaml(bench, text)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")
    assert words in answer.json()["detail"]


async def test_yaml_has_a_limit_and_other_media_are_refused(bench: Bench) -> None:
    too_large = await put_yaml(bench, b"#" * (MAX_YAML_BYTES + 1))
    assert (too_large.status_code, too_large.json()["code"]) == (413, "payload_too_large")
    other = await put_yaml(bench, AS_YAML, "text/plain")
    assert (other.status_code, other.json()["code"]) == (415, "unsupported_media_type")
    assert other.headers["accept"] == "application/json, application/yaml, application/x-yaml, text/yaml, text/x-yaml"
    job = await bench.admin.post("/api/dashboard/jobs", content=b"a: b", headers={"Content-Type": "application/yaml"})
    assert (job.status_code, job.headers["accept"]) == (415, "application/json")


async def test_of_two_changes_made_from_one_version_one_is_refused(bench: Bench) -> None:
    await bench.register()
    changes = [
        bench.admin.put(CHECKOUT, json={**SERVICE, "git_ref": f"b{number}"}, headers={"If-Match": '"1"'})
        for number in range(8)
    ]
    answers = await asyncio.gather(*changes)
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    refused = next(answer for answer in answers if answer.status_code == 412)
    assert (refused.json()["code"], refused.headers["etag"]) == ("precondition_failed", '"2"')
    assert "version 2" in refused.json()["detail"]
    assert (await bench.admin.get(CHECKOUT)).json()["version"] == 2


async def test_of_two_registrations_one_is_refused(bench: Bench) -> None:
    headers = {"If-None-Match": "*"}
    bodies = [{**SERVICE, "git_ref": f"b{number}"} for number in range(5)]
    answers = await asyncio.gather(*(bench.admin.put(CHECKOUT, json=body, headers=headers) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [412] * 4


async def test_a_change_that_the_workflow_refuses_says_why(bench: Bench) -> None:
    """The record can change between our look and the workflow's."""
    await bench.register()
    bench.releases.failure = InvalidState("Service checkout is being changed by somebody else.")
    answer = await bench.admin.put(CHECKOUT, json={**SERVICE, "git_ref": "x"}, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")


async def test_if_match_any(bench: Bench) -> None:
    missing = await bench.admin.put(CHECKOUT, json=SERVICE, headers={"If-Match": "*"})
    assert missing.status_code == 412
    await bench.register()
    changed = await bench.admin.put(CHECKOUT, json={**SERVICE, "git_ref": "x"}, headers={"If-Match": "*"})
    assert changed.status_code == 200
    of_nothing = await bench.admin.put(SERVICES + "/other", json=SERVICE, headers={"If-Match": '"1"'})
    assert (of_nothing.status_code, "does not exist" in of_nothing.json()["detail"]) == (412, True)


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"If-Match": "1"}, "If-Match"),
        ({"If-Match": 'W/"1"'}, "If-Match"),
        ({"If-Match": '"0"'}, "If-Match"),
        ({"If-Match": '"1", "2"'}, "If-Match"),
        ({"If-None-Match": '"1"'}, "If-None-Match"),
        ({"If-None-Match": "*", "If-Match": '"1"'}, "If-None-Match"),
    ],
)
async def test_bad_conditions_are_named(bench: Bench, headers: dict[str, str], field: str) -> None:
    answer = await bench.admin.put(CHECKOUT, json=SERVICE, headers=headers)
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


@pytest.mark.parametrize("name", ["Checkout", "-a", "a" * 49, "a_b", "%00", "%ff", "a%2Fb", "é"])
async def test_a_name_that_no_service_can_have(bench: Bench, name: str) -> None:
    assert (await bench.admin.put(f"{SERVICES}/{name}", json=SERVICE)).status_code in {404, 422}
    assert (await bench.admin.get(f"{SERVICES}/{name}")).status_code == 404


async def test_services_page_by_name(bench: Bench) -> None:
    for name in ("c", "a", "d", "b"):
        await bench.register(name)
    first = (await bench.admin.get(SERVICES, params={"limit": 3})).json()
    rest = (await bench.admin.get(SERVICES, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [item["name"] for item in first["items"] + rest["items"]] == ["a", "b", "c", "d"]
    assert (await bench.admin.get(SERVICES, params={"cursor": "!"})).status_code == 422


async def test_nothing_is_registered_while_temporal_is_away(bench: Bench) -> None:
    bench.releases.failure = Unavailable("Temporal does not answer.")
    answer = await bench.admin.put(CHECKOUT, json=SERVICE)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert (await bench.admin.get(SERVICES)).json()["items"] == []
