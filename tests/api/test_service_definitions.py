"""A definition that is checked before it is applied, and the ones that there were."""

import json
from typing import Any

import pytest

from tests.api.conftest import Bench

PATH = "/api/dashboard/services/shop"
YAML = {"Content-Type": "application/yaml"}
GOOD = """name: shop
git_repo: https://example.com/shop.git
environments:
  - name: staging
    steps:
      - {name: deploy, run: ./deploy.sh}
"""


async def check(bench: Bench, text: str, status: int = 200) -> dict[str, Any]:
    answer = await bench.admin.post(f"{PATH}/check", content=text.encode(), headers=YAML)
    assert answer.status_code == status, answer.text
    return answer.json()


async def apply(bench: Bench, text: str) -> None:
    text = text.replace("name: shop\n", "", 1)
    assert (await bench.admin.put(PATH, content=text.encode(), headers=YAML)).status_code in {200, 201}


async def test_a_good_one_changes_nothing_and_says_what_it_would(bench: Bench) -> None:
    new = await check(bench, GOOD)
    assert (new["errors"], new["version"]) == ([], 0)
    assert "+git_repo: https://example.com/shop.git" in new["difference"]
    assert (await bench.admin.get(PATH)).status_code == 404
    await apply(bench, GOOD)
    assert (await check(bench, GOOD))["difference"] == []
    other = await check(bench, GOOD + "    approval: {required: 2}\n")
    assert (other["version"], other["updated_by"]) == (1, "admin")
    assert any(line.startswith("+") and "required: 2" in line for line in other["difference"])
    assert other["policy_changes"]


@pytest.mark.parametrize(
    ("text", "field", "line"),
    [
        (GOOD.replace("name: staging", "name: No!"), "environments.0.name", 4),
        (GOOD.replace("{name: deploy, run: ./deploy.sh}", "{name: deploy, run: 5}"), "environments.0.steps.0.run", 6),
        (GOOD + "colour: red\n", "colour", 7),
        (GOOD + "    freeze_windows: [{name: w, cron: 0 0 30 2 *, duration_seconds: 60}]\n",
         "environments.0.freeze_windows.0.cron", 7),
        (GOOD.replace("name: shop", "name: other"), "name", 1),
        (GOOD + "description: .nan\n", "description", 7),
        (GOOD + "    timeout_seconds: 1e999\n", "environments.0.timeout_seconds", 7),
        ("git_repo: [", "", 2),
        ("a: 1\na: 2\n", "", 2),
        ("&a [*a]", "", 1),
        ("- 1", "", 1),
        ("name: 5", "", 1),
    ],
)  # fmt: skip
async def test_each_error_has_its_line(bench: Bench, text: str, field: str, line: int) -> None:
    found = await check(bench, text)
    assert (field, line) in {(each["field"], each["line"]) for each in found["errors"]}, found
    assert found["difference"] == []


async def test_what_is_made_to_be_large_is_refused(bench: Bench) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for number in range(1, 9):
        names = ", ".join([f"*{chr(96 + number)}"] * 10)
        bomb += f"{chr(97 + number)}: &{chr(97 + number)} [{names}]\n"
    found = await check(bench, bomb)
    assert "too large" in found["errors"][0]["message"]
    assert (await bench.admin.post(f"{PATH}/check", content=b"a" * 300_000, headers=YAML)).status_code == 413
    plain = await bench.admin.post(f"{PATH}/check", content=b"a: 1", headers={"Content-Type": "text/plain"})
    assert plain.status_code == 415
    assert (
        await bench.admin.post("/api/dashboard/services/No!/check", content=b"a: 1", headers=YAML)
    ).status_code == 422
    body = json.dumps({"name": "shop", "git_repo": float("nan")})
    assert (await check(bench, body))["errors"]


async def test_its_versions_are_listed(bench: Bench) -> None:
    await apply(bench, GOOD)
    for number in range(4):
        await apply(bench, GOOD + f"description: {number} times\n")
    first = (await bench.admin.get(f"{PATH}/versions?limit=3")).json()
    assert [each["version"] for each in first["items"]] == [5, 4, 3]
    assert first["items"][0]["updated_by"] == "admin"
    rest = (await bench.admin.get(f"{PATH}/versions?limit=3&before={first['next_before']}")).json()
    assert ([each["version"] for each in rest["items"]], rest["next_before"]) == ([2, 1], None)
    assert (await bench.admin.get("/api/dashboard/services/none/versions")).status_code == 404
