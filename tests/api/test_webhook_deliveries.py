"""``/api/webhooks/deliveries``: what came and what came of it, who may read it, doing it again, what is not kept."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from activities.stores.memory.deliveries import MemoryDeliveryStore
from api.webhooks import keeping
from tests.api.conftest import ADMIN_KEY
from tests.webhooks.bench import SECRET, WebhookBench, webhook_bench
from tests.webhooks.captured import SHA, captured
from workflows.contracts.access import Grant, Role
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.deliveries import KeptDelivery
from workflows.contracts.deployments.deployment import DeploymentQuery, DeploymentStatus
from workflows.contracts.errors import Unavailable

DELIVERIES = "/api/webhooks/deliveries"
JSON = {"content-type": "application/json", "x-github-delivery": "7"}


@pytest.fixture
async def hooks() -> AsyncIterator[WebhookBench]:
    async with webhook_bench() as bench:
        await bench.register()
        yield bench


async def get(hooks: WebhookBench, path: str = "", key: str = ADMIN_KEY, **params: Any) -> httpx.Response:
    return await hooks.client.get(f"{DELIVERIES}{path}", params=params, headers={"Authorization": f"Bearer {key}"})


async def items(hooks: WebhookBench, **params: Any) -> list[dict[str, Any]]:
    answer = await get(hooks, **params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def replay(hooks: WebhookBench, delivery_id: str, key: str = ADMIN_KEY, **body: Any) -> httpx.Response:
    return await hooks.client.post(
        f"{DELIVERIES}/{delivery_id}/replay", json=body, headers={"Authorization": f"Bearer {key}"}
    )


async def started(hooks: WebhookBench) -> list[str]:
    return [each.deployment_id for each in (await hooks.stores.deployments.list(DeploymentQuery())).items]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def fail(hooks: WebhookBench, deployment_id: str) -> None:
    record = await hooks.stores.deployments.get(deployment_id)
    assert record is not None
    await hooks.releases.put(record, status=DeploymentStatus.FAILED, cause="build_failed", closed=True)


async def test_what_came_and_what_it_did_is_kept(hooks: WebhookBench) -> None:
    sent = (await hooks.send("github-push")).json()
    (kept,) = await items(hooks)
    assert (kept["delivery_id"], kept["provider"], kept["event"]) == (sent["kept_as"], "github", "push")
    assert (kept["repository"], kept["ref"], kept["sender"]) == ("github.com/acme/shop", "main", "ann")
    assert (kept["outcome"], kept["rule"], kept["received"]) == ("accepted", "push", 1)
    (action,) = kept["actions"]
    assert (action["deployment_id"], action["now"]) == ((await started(hooks))[0], "pending")
    assert kept["body"] is None
    whole = (await get(hooks, f"/{sent['kept_as']}")).json()
    assert whole["body"] == captured("github-push").body.decode()
    assert (whole["size"], whole["body_kept"]) == (len(captured("github-push").body), True)


async def test_why_nothing_was_done_is_kept(hooks: WebhookBench) -> None:
    await hooks.send("github-push-tag")
    await hooks.send("github-issues")
    by_event = {each["event"]: each for each in await items(hooks, outcome="ignored")}
    assert set(by_event) == {"push", "issues"}
    assert "tag 'v1.4.2' starts nothing of it" in by_event["push"]["message"]
    assert by_event["push"]["passed_over"][0]["service_name"] == "shop"
    assert "no rule is for the event 'issues'" in by_event["issues"]["message"]
    assert await items(hooks, outcome="accepted") == []
    assert [each["event"] for each in await items(hooks, service_name="shop")] == ["push"]
    assert len(await items(hooks, provider="github")) == 2
    assert await items(hooks, provider="gitlab") == []


async def test_a_repetition_is_counted_with_its_delivery(hooks: WebhookBench) -> None:
    for _ in range(2):
        await hooks.send("github-push")
    hooks.restart()
    await hooks.send("github-push")
    (kept,) = await items(hooks)
    assert (kept["received"], kept["outcome"]) == (3, "accepted")
    assert "was started by this event before; it is pending" in kept["message"]


async def test_no_signature_and_no_secret_is_kept(hooks: WebhookBench) -> None:
    await hooks.send("github-push")
    held = captured("github-push").body.replace(b"Round totals", f"Password {SECRET}".encode())
    await hooks.post("github", held, {**JSON, "x-github-event": "push", "authorization": "Bearer abc"})
    kept = await items(hooks)
    assert len(kept) == 2
    for each in kept:
        assert set(each["headers"]) <= {"content-type", "x-github-event", "x-github-delivery"}
        assert SECRET not in json.dumps((await get(hooks, f"/{each['delivery_id']}")).json())
    (secret,) = [each for each in kept if not each["body_kept"]]
    assert secret["body_note"] == "It holds the secret of a webhook."
    store = hooks.stores.deliveries
    assert await store.body(secret["delivery_id"]) is None


async def test_a_large_body_is_not_kept_and_cannot_be_replayed(hooks: WebhookBench) -> None:
    body = captured("github-push").body.replace(b"Round totals", b"x" * 300_000)
    sent = (await hooks.post("github", body, {**JSON, "x-github-event": "push"})).json()
    (kept,) = await items(hooks)
    assert (kept["body_kept"], kept["body_note"]) == (False, "It is larger than 256 KiB.")
    answer = await replay(hooks, sent["kept_as"])
    assert answer.status_code == 409
    assert "Send it from the tool again" in answer.json()["detail"]


async def test_what_is_not_genuine_is_only_counted(hooks: WebhookBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_COUNTED_EVERY_SECONDS", 0.01)
    for _ in range(3):
        headers = {"x-hub-signature-256": "sha256=00"}
        await hooks.client.post("/api/webhooks/github", content=b"{}", headers=headers)

    async def counted() -> bool:
        return (await get(hooks)).json()["not_genuine"] == {"github": 3}

    await until(counted)
    assert await items(hooks) == []


class BrokenStore(MemoryDeliveryStore):
    broken = True

    async def keep(self, delivery: KeptDelivery, body: bytes | None) -> None:
        if self.broken:
            raise Unavailable("no store")
        await super().keep(delivery, body)


async def test_a_store_in_trouble_fails_no_delivery(hooks: WebhookBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(keeping, "_PAUSE_SECONDS", 0.01)
    store = BrokenStore()
    object.__setattr__(hooks.app.state.services, "webhook_deliveries", store)
    answer = await hooks.send("github-push")
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    assert await items(hooks) == []
    store.broken = False

    async def kept() -> bool:
        return len(await items(hooks)) == 1

    await until(kept)


async def test_it_is_kept_before_it_is_answered_and_after_it_is_done(hooks: WebhookBench) -> None:
    """So that whatever ends the process, it is kept with its outcome, or its tool has no answer."""
    seen: list[tuple[str, int]] = []

    class Watched(MemoryDeliveryStore):
        async def keep(self, delivery: KeptDelivery, body: bytes | None) -> None:
            seen.append((delivery.outcome.value, len(await started(hooks))))
            await super().keep(delivery, body)

    object.__setattr__(hooks.app.state.services, "webhook_deliveries", Watched())
    await hooks.send("github-push")
    assert seen == [("accepted", 1)]


async def test_a_kill_between_start_and_keeping_loses_nothing(hooks: WebhookBench) -> None:
    """It was started, and the process died before it was kept and answered: the tool's next try finds it."""
    keep, store = MemoryDeliveryStore.keep, hooks.stores.deliveries

    async def dies(self: MemoryDeliveryStore, delivery: KeptDelivery, body: bytes | None) -> None:
        raise asyncio.CancelledError

    MemoryDeliveryStore.keep = dies  # type: ignore[method-assign]
    try:
        await hooks.send("github-push")
    finally:
        MemoryDeliveryStore.keep = keep  # type: ignore[method-assign]
    assert (len(await started(hooks)), await items(hooks)) == (1, [])
    hooks.restart()
    again = await hooks.send("github-push")
    assert (again.json()["repeated"], len(await started(hooks))) == (True, 1)
    (kept,) = await items(hooks)
    assert await store.body(kept["delivery_id"]) == captured("github-push").body


async def test_a_replay_of_what_was_done_does_nothing_more(hooks: WebhookBench) -> None:
    sent = (await hooks.send("github-push")).json()
    answer = (await replay(hooks, sent["kept_as"], reason="to see")).json()
    assert (answer["repeated"], len(await started(hooks))) == (True, 1)
    (event,) = [
        each
        for each in (await hooks.stores.events.list(EventQuery(limit=100))).items
        if each.action == "webhook.replayed"
    ]
    assert (event.by, event.reason, event.details["kept_as"]) == ("admin", "to see", sent["kept_as"])


async def test_what_was_ignored_can_be_replayed_once_the_service_is_there() -> None:
    async with webhook_bench() as hooks:
        sent = (await hooks.send("github-push")).json()
        assert sent["status"] == "ignored"
        await hooks.register()
        hooks.restart()
        answer = (await replay(hooks, sent["kept_as"])).json()
        assert (answer["status"], len(await started(hooks))) == ("accepted", 1)
        (start,) = hooks.releases.started
        assert (start.created_by, start.via) == ("webhook:github", "webhook:github")
        (kept,) = await items(hooks)
        assert (kept["outcome"], kept["received"]) == ("accepted", 1)


async def test_after_a_failure_a_person_starts_it_again_by_the_command_that_the_answer_names(
    hooks: WebhookBench,
) -> None:
    sent = (await hooks.send("github-push")).json()
    early = (await replay(hooks, sent["kept_as"], start_again=True)).json()
    assert early["status"] == "refused"
    assert "there is nothing to start again" in early["message"]
    (first,) = await started(hooks)
    await fail(hooks, first)
    told = (await hooks.send("github-push")).json()["message"]
    assert f"it is failed (build_failed). To start it once more: `hybridci webhook replay {sent['kept_as']}" in told
    assert len(await started(hooks)) == 1
    again = (await replay(hooks, sent["kept_as"], start_again=True)).json()
    assert (again["status"], again["repeated"]) == ("accepted", False)
    second = again["actions"][0]["deployment_id"]
    assert sorted(await started(hooks)) == sorted([first, second])
    # The same once more while it runs, and the tool's own repetition: both find what there is.
    busy = (await replay(hooks, sent["kept_as"], start_again=True)).json()
    assert busy["status"] == "refused"
    assert (await replay(hooks, sent["kept_as"])).json()["actions"][0]["deployment_id"] == second
    await fail(hooks, second)
    third = (await replay(hooks, sent["kept_as"], start_again=True)).json()
    assert (third["status"], len(await started(hooks))) == ("accepted", 3)


async def test_who_has_it_started_again_is_its_starter_and_approves_none_of_it(hooks: WebhookBench) -> None:
    """One person with the roles operator and approver let a version in that another had rejected."""
    sent = (await hooks.send("github-push")).json()
    (first,) = await started(hooks)
    await fail(hooks, first)
    pat = await hooks.key(Grant(role=Role.OPERATOR), Grant(role=Role.APPROVER))
    assert (await replay(hooks, sent["kept_as"], pat, start_again=True)).json()["status"] == "accepted"
    by_the_tool, by_pat = hooks.releases.started
    assert (by_pat.created_by, by_pat.via) == ("webhook:github", "webhook:github")
    assert by_the_tool.parties is not None
    assert by_pat.parties is not None
    me = (await hooks.client.post("/auth/validate", headers={"Authorization": f"Bearer {pat}"})).json()["subject"]
    assert by_the_tool.parties.starter.machine
    assert not by_pat.parties.starter.machine
    assert me in by_pat.parties.starter.hints
    assert by_pat.parties.author == by_the_tool.parties.author


async def test_what_people_said_is_not_replayed(hooks: WebhookBench) -> None:
    sent = (await hooks.send("slack-approve")).json()
    assert sent["status"] == "refused"
    await hooks.deploy("1.4.2")
    answer = (await replay(hooks, sent["kept_as"])).json()
    assert answer["status"] == "refused"
    assert "approve is not replayed: whoever means it says it again" in answer["message"]
    assert hooks.releases.commands == []


async def test_who_may_read_and_replay(hooks: WebhookBench) -> None:
    await hooks.register("cart", "https://github.com/acme/cart.git")
    sent = (await hooks.send("github-push")).json()["kept_as"]
    await hooks.send("github-issues")
    keys = {
        "viewer": await hooks.key(Grant(role=Role.VIEWER)),
        "developer": await hooks.key(Grant(role=Role.DEVELOPER)),
        "approver": await hooks.key(Grant(role=Role.APPROVER)),
    }
    for key in keys.values():
        assert (await get(hooks, key=key)).status_code == 403
        assert (await replay(hooks, sent, key)).status_code == 403
    shop = await hooks.key(Grant(role=Role.OPERATOR, services=["shop"]))
    cart = await hooks.key(Grant(role=Role.OPERATOR, services=["cart"]))
    seen = (await get(hooks, key=shop)).json()
    assert ([each["delivery_id"] for each in seen["items"]], seen["not_genuine"]) == ([sent], None)
    assert (await get(hooks, key=cart)).json()["items"] == []
    assert (await get(hooks, f"/{sent}", cart)).status_code == 404
    assert (await replay(hooks, sent, cart)).status_code == 404
    assert (await replay(hooks, sent, shop)).status_code == 200


async def test_a_replay_reaches_no_service_that_the_person_does_not(hooks: WebhookBench) -> None:
    """It was about one service, and by the rules of now it is about two."""
    sent = (await hooks.send("github-push")).json()["kept_as"]
    await hooks.register("cart")
    hooks.restart()
    shop = await hooks.key(Grant(role=Role.OPERATOR, services=["shop"]))
    answer = await replay(hooks, sent, shop)
    assert answer.status_code == 403
    assert len(await started(hooks)) == 1


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"outcome": "nonsense"}, "outcome"),
        ({"since": -1}, "since"),
        ({"nobody": 1}, "nobody"),
        ({"limit": 0}, "limit"),
    ],
)
async def test_odd_filters_are_422(hooks: WebhookBench, params: dict[str, Any], field: str) -> None:
    answer = await get(hooks, **params)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize("delivery_id", ["x", "00000000-0000-4000-8000-000000000001", "%2e%2e"])
async def test_what_is_not_kept_is_404(hooks: WebhookBench, delivery_id: str) -> None:
    assert (await get(hooks, f"/{delivery_id}")).status_code == 404
    assert (await replay(hooks, delivery_id)).status_code == 404


async def test_json_that_is_declared_as_a_form_is_told_so(hooks: WebhookBench) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded", "x-github-event": "push"}
    answer = await hooks.post("github", captured("github-push").body, headers)
    assert answer.status_code == 400
    assert "The body is JSON, declared as application/x-www-form-urlencoded" in answer.json()["detail"]
    form = await hooks.post("github", b"payload=%7B%7D", {"content-type": "application/json"})
    assert "It looks like a form" in form.json()["detail"]


async def test_required_checks_start_it_with_the_last_one_and_once() -> None:
    def check(name: str, conclusion: str, number: int, **more: Any) -> bytes:
        run: dict[str, Any] = {
            "id": number,
            "name": name,
            "conclusion": conclusion,
            "head_sha": SHA,
            "pull_requests": [],
        }
        payload = json.loads(captured("github-push").body)
        suite = {"head_branch": "main"}
        body = {"action": "completed", "repository": payload["repository"], "sender": {"login": "ann"}}
        return json.dumps({**body, "check_run": {**run, "check_suite": suite, **more}}).encode()

    async with webhook_bench() as hooks:
        await hooks.register(triggers={"required_checks": ["tests", "lint"]})
        headers = {"content-type": "application/json", "x-github-event": "check_run"}
        first = await hooks.send("github-push")
        assert "waits for the checks tests (not seen), lint (not seen)" in first.json()["reason"]
        fork = check("lint", "success", 1, pull_requests=[{"number": 4}])
        assert "ran for a pull request" in (await hooks.post("github", fork, headers)).json()["reason"]
        green = await hooks.post("github", check("tests", "success", 2), headers)
        assert "waits for the checks lint (not seen)" in green.json()["reason"]
        red = await hooks.post("github", check("lint", "failure", 3), headers)
        assert "check 'lint' ended with 'failure'" in red.json()["reason"]
        hooks.restart()
        last = await hooks.post("github", check("lint", "success", 4), headers)
        assert last.json()["status"] == "accepted", last.text
        again = await hooks.post("github", check("tests", "success", 5), headers)
        assert (again.json()["repeated"], len(await started(hooks))) == (True, 1)
