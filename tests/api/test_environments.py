"""Environments over HTTP: what is live and what stops it; hold, release, freeze."""

import pytest

from tests.api.conftest import Bench
from workflows.contracts.deployments.environments import FreezeCommand, HoldCommand

ALL = "/api/dashboard/services/checkout/environments"
PRODUCTION = ALL + "/production"


async def test_environments_are_listed_in_the_order_a_version_passes_them(bench: Bench) -> None:
    await bench.register()
    await bench.releases.go_live(await bench.deploy())
    items = (await bench.admin.get(ALL)).json()["items"]
    assert [item["environment"] for item in items] == ["staging", "production"]
    assert [item["live"] and item["live"]["version"] for item in items] == [None, "1.4.2"]
    assert (await bench.admin.get(PRODUCTION)).json() == items[1]
    assert (await bench.admin.get(ALL + "/staging")).json() == items[0]
    assert "sequence" not in items[1]


async def test_hold_and_release(bench: Bench) -> None:
    await bench.register()
    held = await bench.admin.post(PRODUCTION + "/hold", json={"reason": "audit", "by": "ann"})
    assert (held.status_code, held.json()["hold"]["by"], held.json()["hold"]["reason"]) == (
        200,
        "admin for ann",
        "audit",
    )
    assert isinstance(bench.releases.commands[-1], HoldCommand)
    released = await bench.admin.post(PRODUCTION + "/release")
    assert (released.status_code, released.json()["hold"]) == (200, None)
    again = await bench.admin.post(PRODUCTION + "/release", json={"reason": "again"})
    assert (again.status_code, again.json()["code"]) == (409, "invalid_state")
    unsaid = await bench.admin.post(PRODUCTION + "/hold", json={})
    assert [error["field"] for error in unsaid.json()["errors"]] == ["reason"]


async def test_a_freeze_is_added_once_for_its_key_and_removed(bench: Bench) -> None:
    await bench.register()
    body = {"name": "holidays", "duration_seconds": 3600, "starts_at": 4_000_000_000_000, "reason": "nobody here"}
    headers = {"Idempotency-Key": "xmas"}
    added = await bench.admin.post(PRODUCTION + "/freezes", json=body, headers=headers)
    assert added.status_code == 201
    (freeze,) = added.json()["freezes"]
    assert (freeze["starts_at"], freeze["ends_at"]) == (4_000_000_000_000, 4_000_003_600_000)
    assert added.headers["location"] == f"{PRODUCTION}/freezes/{freeze['freeze_id']}"
    again = await bench.admin.post(PRODUCTION + "/freezes", json=body, headers=headers)
    assert again.json()["freezes"] == [freeze]
    removed = await bench.admin.request("DELETE", added.headers["location"], json={"by": "ann", "reason": "all back"})
    assert (removed.status_code, removed.json()["freezes"]) == (200, [])
    gone = await bench.admin.delete(added.headers["location"])
    assert (gone.status_code, gone.json()["detail"].endswith("it has: none.")) == (404, True)


async def test_a_freeze_of_its_own_id_from_now_on(bench: Bench) -> None:
    await bench.register()
    body = {"name": "audit", "freeze_id": "audit-7", "ends_at": 4_000_000_000_000}
    added = await bench.admin.post(PRODUCTION + "/freezes", json=body)
    assert [freeze["freeze_id"] for freeze in added.json()["freezes"]] == ["audit-7"]
    command = bench.releases.commands[-1]
    assert isinstance(command, FreezeCommand)
    assert (command.starts_at, command.ends_at, command.by, command.via) == (None, 4_000_000_000_000, "admin", "api")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x"}, "body"),
        ({"name": "x", "ends_at": 1, "duration_seconds": 1}, "body"),
        ({"name": "", "ends_at": 1}, "name"),
        ({"name": "x", "ends_at": "tomorrow"}, "ends_at"),
        ({"name": "x", "ends_at": 1 << 60}, "ends_at"),
        ({"name": "x", "duration_seconds": 0}, "duration_seconds"),
        ({"name": "x", "duration_seconds": 1, "freeze_id": "No Spaces"}, "freeze_id"),
    ],
)
async def test_bad_freezes_are_named(bench: Bench, body: dict[str, object], field: str) -> None:
    await bench.register()
    answer = await bench.admin.post(PRODUCTION + "/freezes", json=body)
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


@pytest.mark.parametrize("path", ["/nowhere", "/%00", "/Production", "/" + "a" * 40])
async def test_an_environment_that_the_service_does_not_have(bench: Bench, path: str) -> None:
    """Commanding it would start a workflow for a typing error."""
    await bench.register()
    assert (await bench.admin.get(ALL + path)).status_code == 404
    refused = await bench.admin.post(f"{ALL}{path}/hold", json={"reason": "x"})
    assert (refused.status_code, bench.releases.commands) == (404, [])
    if path == "/nowhere":
        assert "staging, production" in refused.json()["detail"]


async def test_environments_of_an_unknown_service(bench: Bench) -> None:
    for path in ("", "/production", "/production/hold", "/production/release", "/production/freezes"):
        method = "GET" if path in {"", "/production"} else "POST"
        body = {"reason": "x"} if path.endswith("hold") else {"name": "x", "duration_seconds": 1}
        if path.endswith("release"):
            body = {}
        answer = await bench.admin.request(method, ALL + path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path


async def test_a_definition_in_the_repository_has_the_environments_of_its_policy(bench: Bench) -> None:
    policy = {"environments": [{"name": "qa"}]}
    spec = {"git_repo": "https://example.com/shop.git", "definition": {"pool": "default"}, "policy": policy}
    assert (await bench.admin.put("/api/dashboard/services/checkout", json=spec)).status_code == 201
    assert [item["environment"] for item in (await bench.admin.get(ALL)).json()["items"]] == ["qa"]
    assert (await bench.admin.post(f"{ALL}/live/hold", json={"reason": "x"})).status_code == 404
    assert (await bench.admin.post(f"{ALL}/qa/hold", json={"reason": "x"})).status_code == 200
    assert [item["environment"] for item in (await bench.admin.get(ALL)).json()["items"]] == ["qa"]


async def test_an_environment_that_the_definition_lost_can_still_be_released(bench: Bench) -> None:
    await bench.register()
    await bench.admin.post(PRODUCTION + "/hold", json={"reason": "x"})
    await bench.register(environments=[{"name": "staging", "steps": [{"name": "d", "run": "d"}]}])

    async def names(which: str = "") -> list[str]:
        return [item["environment"] for item in (await bench.admin.get(ALL + which)).json()["items"]]

    assert await names() == ["staging", "production"]  # it is still held
    assert (await bench.admin.post(PRODUCTION + "/release")).status_code == 200
    assert await names() == ["staging"]
    assert await names("?archived=true") == ["staging", "production"]
