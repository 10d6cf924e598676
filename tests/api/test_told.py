"""What the trail tells of deliveries, of keys used from elsewhere, and of the access policy."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from activities.stores.memory.events import MemoryEventStore
from api.auth import authenticator
from api.auth.authenticator import Authenticator
from api.auth.limits import RateLimits, RequestLimits
from api.identity import policy_trail
from api.identity.people import PersonRule
from api.identity.policy import AccessPolicy
from api.identity.policy_trail import tell_policy
from api.webhooks import told
from tests.api.conftest import Bench, key_ring
from tests.api.gate import Gate
from tests.stores.trails import trail
from tests.webhooks.bench import NOW, WebhookBench, webhook_bench
from tests.webhooks.captured import captured
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.audit.feed import FeedRow
from workflows.contracts.errors import Unavailable


async def told_of(hooks: WebhookBench) -> list[AuditEvent]:
    """What is told of deliveries, once that is so: of those that did something it is told behind the answer."""
    async with asyncio.timeout(10):
        while True:
            found = await trail(hooks.stores.events, EventQuery(action="webhook."))
            if found:
                return found
            await asyncio.sleep(0.01)


@pytest.fixture
async def hooks() -> AsyncIterator[WebhookBench]:
    async with webhook_bench() as bench:
        await bench.register()
        yield bench


async def test_a_delivery_is_told_once_with_what_came_of_it(hooks: WebhookBench) -> None:
    for _ in range(2):
        assert (await hooks.send("github-push")).status_code == 202
    (event,) = await told_of(hooks)
    assert (event.action, event.by, event.via) == ("webhook.received", "webhook:github", "webhook:github")
    assert (event.details["told"], event.details["rule"]) == ("push", "push")
    assert event.details["delivery"] == "72d3162e-cc78-11e3-81ab-4c9367dc0901"
    (start,) = hooks.releases.started
    assert event.details["ids"] == [start.deployment_id]


async def test_a_delivery_that_no_rule_is_for_is_told_as_ignored(hooks: WebhookBench) -> None:
    request = captured("github-push")
    headers = {name: "star" if name.lower() == "x-github-event" else value for name, value in request.headers.items()}
    answer = await hooks.post("github", request.body, headers)
    assert answer.json()["status"] == "ignored"
    (event,) = await trail(hooks.stores.events, EventQuery(action="webhook."))
    assert (event.action, event.refused, event.details["told"]) == ("webhook.ignored", False, "star")


async def test_of_forged_deliveries_the_first_of_a_minute_is_told(
    hooks: WebhookBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    told._refused.clear()  # pyright: ignore[reportPrivateUsage]
    request = captured("github-push")
    headers = {**request.headers, "X-Hub-Signature-256": "sha256=" + "0" * 64}
    for _ in range(5):
        answer = await hooks.client.post("/api/webhooks/github", content=request.body, headers=headers)
        assert answer.status_code == 401
    (event,) = await trail(hooks.stores.events, EventQuery(action="webhook."))
    assert (event.action, event.refused, event.details) == ("webhook.refused", True, {"provider": "github"})
    assert "sha256=" not in event.message


async def test_no_answer_waits_for_a_store_in_trouble_and_it_is_told_when_that_is_back(
    hooks: WebhookBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(told, "_PAUSE_SECONDS", 0.05)
    back = asyncio.Event()
    append = hooks.stores.events.append

    async def slow(event: AuditEvent) -> None:
        if not back.is_set():
            raise Unavailable("the store is away")
        await append(event)

    monkeypatch.setattr(hooks.stores.events, "append", slow)
    assert (await hooks.send("github-push")).json()["status"] == "accepted"
    assert await trail(hooks.stores.events, EventQuery(action="webhook.")) == []
    back.set()
    found = await told_of(hooks)
    assert [event.action for event in found] == ["webhook.received"]
    assert len(hooks.releases.started) == 1


async def test_a_keys_first_use_from_a_network_is_told_once_by_all_processes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticator, "_GATHER_SECONDS", 0)
    made = await Gate(bench).make()
    processes = [
        Authenticator(key_ring(), bench.stores.credentials, RequestLimits(RateLimits()), events=bench.stores.events)
        for _ in range(2)
    ]
    for process in processes:
        for address in ("192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2", "192.0.2.9"):
            assert await process.principal(made["key"], address=address) is not None
        await process.settle()
    found = await trail(bench.stores.events, EventQuery(action="access.address"))
    assert sorted(str(event.address) for event in found) == ["192.0.2.1", "192.0.2.9", "2001:db8::1"]
    assert {event.details["credential_id"] for event in found} == {made["key_id"]}
    assert {event.key_id for event in found} == {made["key_id"]}


async def test_an_access_policy_is_told_when_it_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    events = MemoryEventStore()
    clock = lambda: NOW * 1000  # noqa: E731
    first = AccessPolicy(people=[PersonRule(id="ann", emails=["ann@example.com"])])
    second = AccessPolicy()
    await tell_policy(events, second, clock)
    assert await trail(events) == [], "an installation that never had one"
    await asyncio.gather(*(tell_policy(events, first, clock) for _ in range(3)))
    for policy in (first, second, second, first):
        await tell_policy(events, policy, clock)
    found = sorted([row.event for row in await events.rows(0, 0, 99)], key=lambda event: event.event_id)
    assert [event.action for event in found] == ["config.installed", "config.updated", "config.updated"]
    assert found[0].details["digest"] == found[1].details["before"] == found[2].details["digest"]

    answers, last_of = [False], events.last_of

    async def down(subject: str) -> FeedRow | None:
        if answers:
            answers.pop()
            raise Unavailable("the store is away")
        return await last_of(subject)

    monkeypatch.setattr(policy_trail, "_PAUSE_SECONDS", 0)
    monkeypatch.setattr(events, "last_of", down)
    await tell_policy(events, second, clock)
    assert len(await events.rows(0, 0, 99)) == 4, "told when the store was back"
