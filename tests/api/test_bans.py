"""Bans over HTTP: who may ban, what a start is told, and how a person goes on in spite of one."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.api.conftest import DEPLOYMENT, SERVICE, Bench, client
from tests.api.gate import Gate
from tests.webhooks.bench import SHA, webhook_bench
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.bans import BanCommand
from workflows.contracts.deployments.commands import RollbackCommand
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite, LiveVersion

CHECKOUT = "/api/dashboard/services/checkout"
BANS = f"{CHECKOUT}/bans"
DEPLOYMENTS = "/api/dashboard/deployments"
BAD: dict[str, Any] = {"version": DEPLOYMENT["version"], "reason": "loses orders"}


@pytest.fixture
async def shop(bench: Bench) -> Bench:
    assert (await bench.admin.put(CHECKOUT, json=SERVICE)).status_code == 201
    return bench


@pytest.fixture
async def developer(shop: Bench) -> AsyncIterator[httpx.AsyncClient]:
    made = await Gate(shop).make({"role": "developer"}, name="ci", owner="dev@example.com")
    async with client(shop.app, made["key"]) as theirs:
        yield theirs


async def test_a_ban_is_shown_refuses_a_start_and_is_lifted_with_its_events(shop: Bench) -> None:
    made = await shop.admin.post(BANS, json=BAD)
    assert made.status_code == 201, made.text
    (shown,) = (await shop.admin.get(BANS)).json()["items"]
    assert made.json()["changed"] == [shown]
    assert (shown["version"], shown["by"], shown["reason"]) == (BAD["version"], "admin", "loses orders")
    refused = await shop.admin.post(DEPLOYMENTS, json=DEPLOYMENT)
    assert refused.status_code == 409
    detail = refused.json()["detail"]
    assert detail.startswith(f"Nothing was started. {BAD['version']} of checkout is banned: admin banned it at ")
    assert "loses orders" in detail
    assert f"`hybridci deploy unban checkout@{BAD['version']} --reason …` lifts it." in detail
    assert shop.releases.started == []
    lifted = await shop.admin.request("DELETE", BANS, json={**BAD, "reason": "it was the network"})
    assert (lifted.status_code, lifted.json()["items"]) == (200, [])
    assert (await shop.admin.post(DEPLOYMENTS, json=DEPLOYMENT)).status_code == 201
    page = await shop.stores.events.list(EventQuery(service_name="checkout", action="service.version", limit=10))
    told = {event.action: event for event in page.items}
    assert sorted(told) == ["service.version_banned", "service.version_unbanned"]
    assert told["service.version_banned"].details == {"banned_version": BAD["version"]}
    assert told["service.version_unbanned"].reason == "it was the network"


async def test_a_commit_is_banned_under_whatever_name(shop: Bench) -> None:
    commit = {"git_commit_sha": DEPLOYMENT["git_commit_sha"], "reason": "leaks a key"}
    assert (await shop.admin.post(BANS, json=commit)).status_code == 201
    refused = await shop.admin.post(DEPLOYMENTS, json={**DEPLOYMENT, "version": "9.9"})
    assert refused.status_code == 409
    assert f"hybridci deploy unban checkout --commit {commit['git_commit_sha']}" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"version": "1.1"}, "reason"),
        ({"version": "1.1", "reason": " "}, "reason"),
        ({"reason": "x"}, ""),
        ({"version": "a b", "reason": "x"}, "version"),
        ({"git_commit_sha": "9f1c", "reason": "x"}, "git_commit_sha"),
        ({**BAD, "until": 5}, "until"),
    ],
)
async def test_what_is_no_ban_is_422_and_names_the_field(shop: Bench, body: dict[str, Any], field: str) -> None:
    for method in ("POST", "DELETE"):
        refused = await shop.admin.request(method, BANS, json=body)
        assert refused.status_code == 422, refused.text
        assert any(error["field"].endswith(field) for error in refused.json()["errors"])


async def test_of_a_service_that_is_not_there_nothing_is_banned(bench: Bench) -> None:
    assert (await bench.admin.post(BANS, json=BAD)).status_code == 404
    assert (await bench.admin.get(BANS)).status_code == 404


async def test_what_is_not_banned_cannot_be_lifted(shop: Bench) -> None:
    refused = await shop.admin.request("DELETE", BANS, json=BAD)
    assert refused.status_code == 409
    assert "is not banned" in refused.json()["detail"]


async def test_a_developer_bans_nothing_lifts_nothing_and_goes_around_nothing(
    shop: Bench, developer: httpx.AsyncClient
) -> None:
    assert (await developer.post(BANS, json=BAD)).status_code == 403
    assert (await shop.admin.post(BANS, json=BAD)).status_code == 201
    assert (await developer.get(BANS)).status_code == 200
    assert (await developer.request("DELETE", BANS, json=BAD)).status_code == 403
    for purpose in ("lift_ban", "allow_older"):
        refused = await developer.post(DEPLOYMENTS, json={**DEPLOYMENT, purpose: {"reason": "hurry"}})
        assert refused.status_code == 403, refused.text
    assert len((await shop.stores.bans.get("checkout")).items) == 1
    assert (await developer.post(DEPLOYMENTS, json={**DEPLOYMENT, "version": "1.2"})).status_code == 201


async def test_a_start_that_lifts_the_ban_says_why(shop: Bench) -> None:
    await shop.admin.post(BANS, json=BAD)
    await shop.admin.post(BANS, json={"git_commit_sha": DEPLOYMENT["git_commit_sha"], "reason": "leaks a key"})
    body = {**DEPLOYMENT, "lift_ban": {"reason": "the key is revoked"}}
    assert (await shop.admin.post(DEPLOYMENTS, json={**DEPLOYMENT, "lift_ban": {}})).status_code == 422
    started = await shop.admin.post(DEPLOYMENTS, json=body)
    assert started.status_code == 201, started.text
    assert (await shop.stores.bans.get("checkout")).items == []
    again = await shop.admin.post(DEPLOYMENTS, json=body)
    assert again.status_code == 201


async def test_a_start_may_be_older_on_purpose_and_its_key_stands_for_that(shop: Bench) -> None:
    body = {**DEPLOYMENT, "allow_older": {"reason": "the law comes later"}}
    headers = {"Idempotency-Key": "k"}
    assert (await shop.admin.post(DEPLOYMENTS, json=body, headers=headers)).status_code == 201
    (start,) = shop.releases.started
    assert start.allow_older == "the law comes later"
    assert type(start.request).__name__ == "DeploymentRequest"
    assert (await shop.admin.post(DEPLOYMENTS, json=body, headers=headers)).status_code == 200
    assert (await shop.admin.post(DEPLOYMENTS, json=DEPLOYMENT, headers=headers)).status_code == 409


async def test_a_key_replays_what_was_started_before_the_ban(shop: Bench) -> None:
    headers = {"Idempotency-Key": "k"}
    assert (await shop.admin.post(DEPLOYMENTS, json=DEPLOYMENT, headers=headers)).status_code == 201
    await shop.admin.post(BANS, json=BAD)
    assert (await shop.admin.post(DEPLOYMENTS, json=DEPLOYMENT, headers=headers)).status_code == 200


async def test_a_ban_of_what_is_live_says_that_it_changes_nothing_there(shop: Bench) -> None:
    live = LiveVersion(version=BAD["version"], deployment_id="d1", workflow_id="w1", git_commit_sha="a" * 40, since=1)
    state = EnvironmentState(service_name="checkout", environment="production", live=live, sequence=1)
    await shop.stores.environments.write(EnvironmentWrite(state=state))
    (note,) = (await shop.admin.post(BANS, json=BAD)).json()["notes"]
    assert "a ban changes nothing there" in note
    assert "`hybridci deploy rollback d1 --reason …`" in note


async def test_a_rollback_says_whether_it_bans_and_whether_a_ban_is_lifted(shop: Bench) -> None:
    made = (await shop.admin.post(DEPLOYMENTS, json=DEPLOYMENT)).json()
    await shop.releases.go_live(made["deployment_id"])
    before = (await shop.admin.post(DEPLOYMENTS, json={**DEPLOYMENT, "version": "1.0"})).json()["deployment_id"]
    live = LiveVersion(version="1.0", deployment_id=before, workflow_id="w0", git_commit_sha="b" * 40, since=1)
    state = EnvironmentState(service_name="checkout", environment="production", history=[live], sequence=99)
    await shop.stores.environments.write(EnvironmentWrite(state=state))
    await shop.admin.post(BANS, json={"version": "1.0", "reason": "slow"})
    path = f"{DEPLOYMENTS}/{made['deployment_id']}/rollback"
    assert (await shop.admin.post(path, json={"reason": "x", "lift_ban": True})).status_code == 422
    body = {"reason": "worse than slow", "to_version": "1.0", "lift_ban": True, "ban": False}
    answer = await shop.admin.post(path, json=body)
    assert answer.status_code == 200, answer.text
    command = shop.releases.commands[-1]
    assert isinstance(command, RollbackCommand)
    assert (command.ban, command.to_version) == (False, "1.0")
    assert (await shop.stores.bans.get("checkout")).items == []


@pytest.mark.parametrize("path", ["/environments/production/rollback", None])
async def test_whoever_names_what_only_a_rollback_has_banned_says_otherwise(shop: Bench, path: str | None) -> None:
    made = (await shop.admin.post(DEPLOYMENTS, json=DEPLOYMENT)).json()
    await shop.releases.go_live(made["deployment_id"])
    found = await shop.stores.environments.get("checkout", "production")
    assert found is not None
    gone = LiveVersion(version="1.0", deployment_id="d0", workflow_id="w0", git_commit_sha="c" * 40, since=1)
    state = found.model_copy(update={"history": [*found.history, gone], "sequence": found.sequence + 1})
    await shop.stores.environments.write(EnvironmentWrite(state=state))
    ban = BanCommand(name="checkout", version="1.0", reason="slow", by="bob")
    await shop.releases.ban(ban)
    to = f"{CHECKOUT}{path}" if path is not None else f"{DEPLOYMENTS}/{made['deployment_id']}/rollback"
    await shop.admin.post(to, json={"reason": "back", "to_version": "1.0"})
    assert len((await shop.stores.bans.get("checkout")).items) == 1, "a person's ban asks for --lift-ban"
    (kept,) = (await shop.stores.bans.get("checkout")).items
    await shop.admin.request("DELETE", BANS, json={"version": "1.0", "reason": "x"})
    listed = await shop.stores.bans.get("checkout")
    rolled = kept.model_copy(update={"deployment_id": "d0"})
    changed = listed.model_copy(update={"items": [rolled], "revision": listed.revision + 1})
    assert await shop.stores.bans.put(changed, [])
    await shop.admin.post(to, json={"reason": "back", "to_commit": "c" * 40})
    assert (await shop.stores.bans.get("checkout")).items == []


async def test_a_webhook_starts_nothing_that_is_banned_and_its_tool_is_told_so() -> None:
    async with webhook_bench() as hooks:
        await hooks.register()
        ban = BanCommand(name="shop", git_commit_sha=SHA, reason="leaks a key", by="bob")
        await hooks.releases.ban(ban)
        answer = await hooks.send("github-push")
        assert (answer.status_code, answer.json()["status"]) == (202, "refused")
        assert "is banned: bob banned it at" in answer.json()["message"]
        assert hooks.releases.started == []


async def test_a_push_says_what_the_branchs_head_was_before_it() -> None:
    async with webhook_bench() as hooks:
        await hooks.register()
        await hooks.send("github-push")
        (start,) = hooks.releases.started
        before = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
        assert start.request.metadata == {"push.before": before, "push.forced": "false"}
