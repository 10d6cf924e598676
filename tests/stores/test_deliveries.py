"""The contract of DeliveryStore: what came, its body, the lists, checks, counts and turns."""

import asyncio

import pytest

from activities.stores.interfaces.deliveries import DeliveryStore
from tests.stores.lives import NOON
from workflows.contracts.deployments.deliveries import (
    CheckSeen,
    DeliveredAction,
    DeliveryOutcome,
    DeliveryQuery,
    KeptDelivery,
    NotStarted,
)
from workflows.contracts.errors import ValidationFailed


def make_delivery(delivery_id: str = "d1", at: int = NOON, **changes: object) -> KeptDelivery:
    made = KeptDelivery(
        delivery_id=delivery_id,
        provider="github",
        delivery="72d3162e",
        event="push",
        at=at,
        last_at=at,
        repository="github.com/acme/shop",
        sender="ann ü🚀",
        outcome=DeliveryOutcome.ACCEPTED,
        actions=[DeliveredAction(action="start_deployment", status="done", service_name="shop", deployment_id="x")],
        passed_over=[NotStarted(service_name="cart", why="another branch")],
        size=2,
        body_kept=True,
        headers={"x-github-event": "push"},
    )
    return made.model_copy(update=changes)


async def ids(store: DeliveryStore, **asked: object) -> list[str]:
    return [each.delivery_id for each in (await store.list(DeliveryQuery(**asked))).items]  # type: ignore[arg-type]


async def test_a_delivery_is_read_as_it_was_kept(deliveries: DeliveryStore) -> None:
    assert await deliveries.get("d1") is None
    assert await deliveries.body("d1") is None
    made = make_delivery()
    await deliveries.keep(made, b'{"\xff"')
    assert await deliveries.get("d1") == made
    assert await deliveries.body("d1") == b'{"\xff"'
    again = made.model_copy(update={"received": 2, "outcome": DeliveryOutcome.REFUSED})
    await deliveries.keep(again, None)
    assert await deliveries.get("d1") == again
    assert await deliveries.body("d1") == b'{"\xff"'
    assert await ids(deliveries) == ["d1"]
    assert await ids(deliveries, outcome=DeliveryOutcome.ACCEPTED) == []


async def test_the_largest_body_is_kept(deliveries: DeliveryStore) -> None:
    body = bytes(range(256)) * 1024
    await deliveries.keep(make_delivery(size=len(body)), body)
    assert await deliveries.body("d1") == body


async def test_the_largest_delivery_is_kept(deliveries: DeliveryStore) -> None:
    """Of fifty services that are started and fifty that are not, with the longest texts and the largest body."""
    text = "ü" * 300
    started = [
        DeliveredAction(action="start_deployment", status="done", service_name=f"s-{number}", message=text)
        for number in range(50)
    ]
    passed = [NotStarted(service_name=f"p-{number}", why=text) for number in range(50)]
    made = make_delivery(actions=started, passed_over=passed, message="ü" * 1024)
    await deliveries.keep(made, bytes(256 * 1024))
    assert await deliveries.get("d1") == made
    assert await ids(deliveries, service_name="s-0") == ["d1"]


async def test_lists_are_newest_first_and_filtered(deliveries: DeliveryStore) -> None:
    for number in range(6):
        changes = {
            "provider": "gitlab" if number % 2 else "github",
            "outcome": DeliveryOutcome.IGNORED if number == 4 else DeliveryOutcome.ACCEPTED,
            "passed_over": [] if number == 0 else [NotStarted(service_name="cart", why="no")],
        }
        await deliveries.keep(make_delivery(f"d{number}", NOON + number, **changes), None)
    assert await ids(deliveries) == ["d5", "d4", "d3", "d2", "d1", "d0"]
    assert await ids(deliveries, provider="gitlab") == ["d5", "d3", "d1"]
    assert await ids(deliveries, outcome=DeliveryOutcome.IGNORED) == ["d4"]
    assert await ids(deliveries, service_name="cart") == ["d5", "d4", "d3", "d2", "d1"]
    assert await ids(deliveries, service_name="nobody") == []
    assert await ids(deliveries, since=NOON + 2, until=NOON + 3) == ["d3", "d2"]


async def test_pages_go_on_and_cursors_belong_to_their_filters(deliveries: DeliveryStore) -> None:
    for number in range(5):
        await deliveries.keep(make_delivery(f"d{number}", NOON + number), None)
    seen: list[str] = []
    cursor: str | None = None
    last = ""
    while True:
        page = await deliveries.list(DeliveryQuery(limit=2, cursor=cursor))
        seen += [each.delivery_id for each in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        last = cursor
    assert seen == ["d4", "d3", "d2", "d1", "d0"]
    with pytest.raises(ValidationFailed):
        await deliveries.list(DeliveryQuery(limit=2, provider="github", cursor=last))


async def test_of_a_check_the_last_word_counts(deliveries: DeliveryStore) -> None:
    assert await deliveries.checks("github.com/acme/shop", "a" * 40) == []
    for name, conclusion in (("tests", "failure"), ("lint", "success"), ("tests", "success")):
        seen = CheckSeen(name=name, conclusion=conclusion, branch="main", at=NOON)
        await deliveries.see_check("github.com/acme/shop", "a" * 40, seen)
    found = await deliveries.checks("github.com/acme/shop", "a" * 40)
    assert {each.name: each.conclusion for each in found} == {"tests": "success", "lint": "success"}
    assert await deliveries.checks("github.com/acme/shop", "b" * 40) == []


async def test_what_is_not_genuine_is_counted_by_day(deliveries: DeliveryStore) -> None:
    await deliveries.count_refused("2026-11-30", {"github": 2, "slack": 1})
    await deliveries.count_refused("2026-11-30", {"github": 3})
    assert await deliveries.refused("2026-11-30") == {"github": 5, "slack": 1}
    assert await deliveries.refused("2026-12-01") == {}


async def test_one_of_many_has_the_turn_until_it_ends(deliveries: DeliveryStore) -> None:
    taken = await asyncio.gather(*(deliveries.take_turn("catch-up", NOON, NOON + 60) for _ in range(6)))
    assert sorted(taken) == [False] * 5 + [True]
    assert not await deliveries.take_turn("catch-up", NOON + 59, NOON + 200)
    assert await deliveries.take_turn("catch-up", NOON + 60, NOON + 200)
