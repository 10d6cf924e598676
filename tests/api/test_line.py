"""Freezes and holds of many services over HTTP: who may, whom they concern, what is refused. Archiving services."""

from typing import Any

import pytest

from tests.api.conftest import Bench
from tests.api.gate import Gate
from workflows.contracts.deployments.services import Service

FREEZES, HOLDS = "/api/dashboard/freezes", "/api/dashboard/holds"
SERVICE = "/api/dashboard/services/checkout"
EVERYTHING: dict[str, Any] = {"all_services": True, "environments": ["production"]}
FREEZE: dict[str, Any] = {"name": "fair", "scope": EVERYTHING, "reason": "fair", "duration_seconds": 3600}


@pytest.fixture
async def gate(bench: Bench) -> Gate:
    await bench.register("checkout")
    await bench.register("cart")
    return Gate(bench)


async def test_a_freeze_of_all_is_shown_in_each_environment_until_it_is_removed(gate: Gate) -> None:
    bench = gate.bench
    made = await bench.admin.post(FREEZES, json=FREEZE, headers={"Idempotency-Key": "fair"})
    assert made.status_code == 201
    stop = made.json()
    assert (stop["kind"], stop["by"], stop["reason"], stop["ends_at"] - stop["starts_at"]) == (
        "freeze", "admin", "fair", pytest.approx(3_600_000, abs=5_000),
    )  # fmt: skip
    assert made.headers["location"] == f"{FREEZES}/{stop['stop_id']}"
    again = await bench.admin.post(FREEZES, json=FREEZE, headers={"Idempotency-Key": "fair"})
    assert again.json()["stop_id"] == stop["stop_id"]
    listed = (await bench.admin.get(FREEZES)).json()["items"]
    assert [each["stop_id"] for each in listed] == [stop["stop_id"]]
    for name in ("checkout", "cart"):
        states = (await bench.admin.get(f"/api/dashboard/services/{name}/environments")).json()["items"]
        assert [len(each["line_stops"]) for each in states] == [0, 1]
    one = (await bench.admin.get(f"{SERVICE}/environments/production")).json()
    assert one["line_stops"][0]["name"] == "fair"
    left = await bench.admin.request("DELETE", made.headers["location"], json={"reason": "rain"})
    assert (left.status_code, left.json()) == (200, {"items": []})
    assert (await bench.admin.delete(made.headers["location"])).status_code == 404
    trail = (await bench.admin.get("/api/events?action=line.")).json()["items"]
    assert [each["action"] for each in trail] == ["line.unfrozen", "line.frozen", "line.frozen"]


async def test_holds_and_freezes_are_two_lists(gate: Gate) -> None:
    bench = gate.bench
    held = await bench.admin.post(HOLDS, json={"scope": {"labels": {"team": "pay"}}, "reason": "incident"})
    assert (held.status_code, held.json()["kind"], held.json()["ends_at"]) == (201, "hold", None)
    stop_id = held.json()["stop_id"]
    assert (await bench.admin.get(FREEZES)).json() == {"items": []}
    assert (await bench.admin.delete(f"{FREEZES}/{stop_id}")).status_code == 404
    assert (await bench.admin.delete(f"{HOLDS}/{stop_id}")).json() == {"items": []}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scope": {}}, "scope"),
        ({"scope": {"all_services": True, "services": ["cart"]}}, "scope"),
        ({"scope": {"services": ["No Service"]}}, "scope.services.0"),
        ({"scope": {**EVERYTHING, "environments": ["a-b"]}}, "scope.environments.0"),
        ({"duration_seconds": None}, "body"),
        ({"duration_seconds": 0}, "duration_seconds"),
        ({"reason": ""}, "reason"),
        ({"freeze_id": "A B"}, "freeze_id"),
        ({"duration_seconds": None, "ends_at": 1000}, "ends_at"),
        ({"ends_at": 10**18, "duration_seconds": None}, "ends_at"),
        ({"allow_override": "yes"}, "allow_override"),
    ],
)
async def test_what_is_no_freeze_is_refused_by_its_field(gate: Gate, changes: dict[str, Any], field: str) -> None:
    body = {name: value for name, value in {**FREEZE, **changes}.items() if value is not None}
    answer = await gate.bench.admin.post(FREEZES, json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await gate.bench.admin.get(FREEZES)).json() == {"items": []}


async def test_who_reaches_one_service_stops_and_frees_no_other(gate: Gate) -> None:
    """An attacker with one valid key of one service."""
    bench = gate.bench
    key = (await gate.make({"role": "operator", "services": ["checkout"]}))["key"]
    reader = (await gate.make({"role": "viewer"}))["key"]
    wide = (await bench.admin.post(FREEZES, json={**FREEZE, "freeze_id": "wide"})).json()
    other = {"scope": {"services": ["cart"]}, "reason": "r", "hold_id": "cart"}
    assert (await bench.admin.post(HOLDS, json=other)).status_code == 201
    own = {"services": ["checkout"]}
    tries: list[tuple[str, str, Any, int]] = [
        ("POST", FREEZES, FREEZE, 403),
        ("POST", FREEZES, {**FREEZE, "scope": {"labels": {"team": "pay"}}}, 403),
        ("POST", FREEZES, {**FREEZE, "scope": {"services": ["checkout", "cart"]}}, 403),
        ("POST", FREEZES, {**FREEZE, "scope": own, "freeze_id": "wide"}, 409),
        ("POST", HOLDS, {"scope": own, "reason": "r", "hold_id": "wide"}, 409),
        ("POST", HOLDS, {"scope": own, "reason": "r", "hold_id": "cart"}, 409),
        ("DELETE", f"{FREEZES}/wide", {}, 403),
        ("DELETE", f"{HOLDS}/cart", {}, 404),
        ("POST", HOLDS, {"scope": own, "reason": "r", "hold_id": "mine"}, 201),
        ("DELETE", f"{HOLDS}/mine", {}, 200),
        ("DELETE", "/api/dashboard/services/cart", {}, 403),
        ("POST", "/api/dashboard/services/cart/archive", {"reason": "r"}, 403),
        ("POST", "/api/dashboard/services/cart/environments/production/retire", {"reason": "r"}, 403),
    ]
    for method, path, body, status in tries:
        answer = await bench.anyone.request(method, path, json=body, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == status, (method, path, answer.text)
        refused = await bench.anyone.request(method, path, json=body, headers={"Authorization": f"Bearer {reader}"})
        assert refused.status_code == 403, (method, path)
    seen = await bench.anyone.get(FREEZES, headers={"Authorization": f"Bearer {key}"})
    assert [each["stop_id"] for each in seen.json()["items"]] == [wide["stop_id"]]  # whoever is stopped sees by what
    hidden = await bench.anyone.get(HOLDS, headers={"Authorization": f"Bearer {key}"})
    assert hidden.json() == {"items": []}
    assert (await bench.admin.get(FREEZES)).json()["items"] == [wide]


async def test_an_archived_service_starts_nothing_and_is_left_out(gate: Gate) -> None:
    bench = gate.bench
    archived = await bench.admin.post(f"{SERVICE}/archive", json={"reason": "replaced"})
    assert (archived.status_code, archived.json()["archived"]["by"]) == (200, "admin")
    shown = (await bench.admin.get("/api/dashboard/services")).json()["items"]
    assert [each["name"] for each in shown] == ["cart"]
    everything = (await bench.admin.get("/api/dashboard/services?archived=true")).json()["items"]
    assert [each["name"] for each in everything] == ["cart", "checkout"]
    body = {"service_name": "checkout", "version": "9", "git_commit_sha": "a" * 40, "git_author": "ann@example.com"}
    refused = await bench.admin.post("/api/dashboard/deployments", json=body)
    assert refused.status_code == 409
    assert "admin has archived it (replaced)" in refused.json()["detail"]
    assert "hybridci service unarchive checkout" in refused.json()["detail"]
    assert (await bench.admin.post(f"{SERVICE}/unarchive")).json().get("archived") is None
    assert (await bench.admin.post("/api/dashboard/deployments", json=body)).status_code == 201


async def test_a_service_is_deleted_only_when_nothing_of_it_is_left(gate: Gate) -> None:
    bench = gate.bench
    await bench.releases.go_live(await bench.deploy())
    assert (await bench.admin.delete(SERVICE)).status_code == 409
    gone = await bench.admin.post(f"{SERVICE}/archive", json={"reason": "r", "live_is_gone": True})
    assert gone.status_code == 200
    state = (await bench.admin.get(f"{SERVICE}/environments/production")).json()
    assert state["live"] is None
    await bench.register("lonely")
    lonely = "/api/dashboard/services/lonely"
    assert (await bench.admin.post(f"{lonely}/archive", json={"reason": "r"})).status_code == 200
    assert (await bench.admin.request("DELETE", lonely, json={"reason": "r"})).status_code == 200
    assert (await bench.admin.get(lonely)).status_code == 404
    assert (await bench.admin.get("/api/dashboard/services?archived=true")).text.count("lonely") == 0
    assert (await bench.admin.delete(lonely)).status_code == 404


async def test_an_id_of_others_says_nothing_and_its_kind_stays(gate: Gate) -> None:
    bench = gate.bench
    scopes = {"cart-hold": {"services": ["cart"]}, "own-hold": {"services": ["checkout"]}}
    for stop_id, scope in scopes.items():
        held = await bench.admin.post(HOLDS, json={"scope": scope, "reason": "incident", "hold_id": stop_id})
        assert held.status_code == 201
    grants = [{"role": "operator", "services": ["checkout"]}]
    key = (await bench.admin.post("/api/access/keys", json={"name": "op", "grants": grants})).json()["key"]
    mine = {**FREEZE, "scope": {"services": ["checkout"]}}
    headers = {"Authorization": f"Bearer {key}"}
    said = list[str]()
    for stop_id in scopes:
        answer = await bench.anyone.post(FREEZES, json={**mine, "freeze_id": stop_id}, headers=headers)
        assert answer.status_code == 409
        said.append(answer.json()["detail"].replace(stop_id, "ID"))
    assert said[0] == said[1], "of another service or of another kind: nobody can tell"
    assert "cart" not in said[0].replace("cart-hold", "")
    holds = (await bench.admin.get(HOLDS)).json()["items"]
    assert {each["stop_id"]: each["kind"] for each in holds} == {"cart-hold": "hold", "own-hold": "hold"}
    mended = await bench.anyone.post(
        HOLDS, json={"scope": {"services": ["checkout"]}, "reason": "again", "hold_id": "own-hold"}, headers=headers
    )
    assert mended.status_code == 201


async def test_the_calendar_has_what_stops_a_service_in_the_days_to_come(gate: Gate) -> None:
    bench = gate.bench
    await bench.admin.post(FREEZES, json={**FREEZE, "freeze_id": "fair"})
    await bench.admin.post(HOLDS, json={"scope": {"services": ["cart"]}, "reason": "r", "hold_id": "cart"})
    window = {"name": "nights", "cron": "0 20 * * *", "duration_seconds": 3600, "timezone": "Europe/Berlin"}
    spec = (await bench.admin.get(SERVICE)).json()["spec"]
    spec["environments"][-1] |= {"freeze_windows": [window], "allow_windows": [{**window, "name": "days"}]}
    assert (await bench.admin.put(SERVICE, json=spec)).status_code == 200
    own = await bench.admin.post(
        f"{SERVICE}/environments/production/freezes", json={"name": "x", "duration_seconds": 60, "freeze_id": "own"}
    )
    assert own.status_code == 201
    found = (await bench.admin.get(f"{FREEZES}/calendar?service_name=checkout&days=7")).json()
    kinds = [each["kind"] for each in found["items"]]
    assert {"many_freeze", "window", "allow"} <= set(kinds)
    assert "many_hold" not in kinds
    assert kinds.count("window") in {7, 8}
    times = [each for each in found["items"] if each["kind"] == "window"]
    assert {(each["ends_at"] - each["starts_at"], each["timezone"]) for each in times} == {(3_600_000, "Europe/Berlin")}
    old = Service.model_validate(
        {
            "name": "later", "version": 1, "created_at": 1, "updated_at": 1,
            "spec": {"git_repo": "https://example.com/shop.git", "definition": {}},
        }
    )  # fmt: skip
    assert await bench.stores.services.put(old, expected_version=0, events=[])
    later = (await bench.admin.get(f"{FREEZES}/calendar?service_name=later")).json()["items"]
    assert [each["item_id"] for each in later] == ["fair"], "of before policies: nobody knows its environments"
    wide = (await bench.admin.get(f"{FREEZES}/calendar")).json()["items"]
    assert {each["item_id"] for each in wide} == {"fair", "cart"}
    key = (await gate.make({"role": "viewer", "services": ["checkout"]}))["key"]
    limited = {"Authorization": f"Bearer {key}"}
    seen = (await bench.anyone.get(f"{FREEZES}/calendar", headers=limited)).json()["items"]
    assert {each["item_id"] for each in seen} == {"fair"}
    other = await bench.anyone.get(f"{FREEZES}/calendar?service_name=cart", headers=limited)
    assert other.status_code == 403
    assert (await bench.admin.get(f"{FREEZES}/calendar?days=400")).status_code == 422


async def test_nobody_slips_away_from_under_a_stop_that_they_may_not_end(gate: Gate) -> None:
    """Taking the label away, or naming production otherwise, let what was held go live at once."""
    bench = gate.bench
    await bench.register("checkout", labels={"team": "pay"})
    key = (await gate.make({"role": "operator", "services": ["checkout"]}))["key"]
    definition = (await bench.admin.get(SERVICE)).json()["spec"]
    other_name = [definition["environments"][0], {**definition["environments"][1], "name": "live"}]
    away: dict[str, Any] = {**definition, "labels": {}}
    renamed: dict[str, Any] = {**definition, "environments": other_name}
    by_label = {"scope": {"labels": {"team": "pay"}}, "reason": "incident", "hold_id": "by-label"}
    by_name = {**FREEZE, "freeze_id": "by-name"}
    for where, body, change, field in ((HOLDS, by_label, away, "labels"), (FREEZES, by_name, renamed, "environments")):
        stop = (await bench.admin.post(where, json=body)).json()["stop_id"]
        refused = await gate.ask(key, "PUT", SERVICE, json=change)
        assert (refused.status_code, [each["field"] for each in refused.json()["errors"]]) == (403, [field])
        assert stop in refused.json()["detail"]
        harmless = {**definition, "description": f"under {stop}", "labels": {**definition["labels"], "more": stop}}
        assert await gate.status(key, "PUT", SERVICE, json=harmless) == 200
        assert await gate.status(key, "POST", f"{SERVICE}/archive", json={"reason": "r"}) == 200
        assert await gate.status(key, "DELETE", SERVICE) == 403  # a new one of the name would have no such label
        assert await gate.status(key, "POST", f"{SERVICE}/unarchive") == 200
        assert (await bench.admin.put(SERVICE, json=change)).status_code == 200  # whoever may end it may do this
        assert (await bench.admin.put(SERVICE, json=definition)).status_code == 200
        assert (await bench.admin.delete(f"{where}/{stop}")).status_code == 200
        assert await gate.status(key, "PUT", SERVICE, json=change) == 200  # it is over
        assert await gate.status(key, "PUT", SERVICE, json=definition) == 200


async def test_who_agrees_to_another_policy_frees_nothing_either(gate: Gate) -> None:
    bench = gate.bench
    two = {"policy_change_needs_second_person": True, "labels": {"team": "pay"}}
    await bench.register("checkout", **two)
    key = (await gate.make({"role": "operator", "services": ["checkout"]}, owner="ann@example.com"))["key"]
    definition = (await bench.admin.get(SERVICE)).json()["spec"]
    asked = await bench.admin.put(SERVICE, json={**definition, "labels": {}, "git_ref": "release"})
    assert asked.status_code == 202
    held = {"scope": {"labels": {"team": "pay"}}, "reason": "incident"}
    assert (await bench.admin.post(HOLDS, json=held)).status_code == 201
    decided = {"version": asked.json()["version"]}
    assert await gate.status(key, "POST", f"{SERVICE}/policy-change/approve", json=decided) == 403
    assert await gate.status(key, "POST", f"{SERVICE}/policy-change/reject", json={**decided, "reason": "no"}) == 200
