"""The contract of DeploymentStore: lists show every deployment once, newest first, however they are paged."""

import asyncio
from collections.abc import Sequence

import pytest

from activities.stores.dynamo import listing
from activities.stores.interfaces.deployments import DeploymentStore
from activities.stores.memory.deployments import MemoryDeploymentStore
from tests.stores.conftest import ReleaseStores
from tests.stores.lives import NOON
from tests.stores.releases import make_deployment
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentQuery,
    DeploymentStatus,
    DeploymentSummary,
    DeploymentWrite,
)
from workflows.contracts.errors import ValidationFailed

LIVE, FAILED, STAGED = DeploymentStatus.LIVE, DeploymentStatus.FAILED, DeploymentStatus.STAGED


async def keep(releases: ReleaseStores, made: Sequence[Deployment]) -> None:
    await asyncio.gather(*(releases.deployments.write(DeploymentWrite(deployment=each)) for each in made))


async def all_pages(store: DeploymentStore, query: DeploymentQuery) -> list[DeploymentSummary]:
    found: list[DeploymentSummary] = []
    for _ in range(100):
        page = await store.list(query)
        assert len(page.items) <= query.limit
        found += page.items
        if page.next_cursor is None:
            return found
        query = query.model_copy(update={"cursor": page.next_cursor})
    raise AssertionError("the list does not end")


@pytest.mark.parametrize("limit", [2, 100])
async def test_every_deployment_is_shown_once_newest_first(releases: ReleaseStores, limit: int) -> None:
    made = [make_deployment(created_at=NOON - number**4) for number in range(13)]
    await keep(releases, made)
    for filters in ({}, {"service_name": "checkout"}, {"status": "pending"}):
        query = DeploymentQuery.model_validate({**filters, "limit": limit})
        assert await all_pages(releases.deployments, query) == [each.summary() for each in made]


async def test_deployments_of_the_same_millisecond_are_neither_lost_nor_repeated(releases: ReleaseStores) -> None:
    made = [make_deployment(created_at=NOON + number // 15) for number in range(30)]
    await keep(releases, made)
    for service_name in (None, "checkout"):
        found = await all_pages(releases.deployments, DeploymentQuery(limit=7, service_name=service_name))
        assert sorted(each.deployment_id for each in found) == sorted(each.deployment_id for each in made)
        times = [each.created_at for each in found]
        assert times == sorted(times, reverse=True)


async def test_deployment_filters_choose_the_same_as_a_look_at_each(releases: ReleaseStores) -> None:
    states, services = (LIVE, FAILED, STAGED), ("cart", "cart-2", "checkout", "c")
    made = [
        make_deployment(created_at=NOON + number, status=states[number % 3], service_name=services[number % 4])
        for number in range(12)
    ]
    await keep(releases, made)
    for service in (None, "cart", "nobody"):
        for status in (None, LIVE, DeploymentStatus.PENDING):
            found = await all_pages(releases.deployments, DeploymentQuery(service_name=service, status=status, limit=3))
            wanted = [each for each in reversed(made) if service in {None, each.service_name}]
            wanted = [each for each in wanted if status in {None, each.status}]
            assert found == [each.summary() for each in wanted], (service, status)


async def test_a_deployment_is_listed_as_it_was_last_written(releases: ReleaseStores) -> None:
    created = make_deployment()
    store = releases.deployments
    await store.write(DeploymentWrite(deployment=created))
    live = created.model_copy(update={"sequence": 2, "status": LIVE, "live_at": NOON, "waits_for": "nothing"})
    await store.write(DeploymentWrite(deployment=live, previous=created.status))
    for query in (DeploymentQuery(), DeploymentQuery(service_name="checkout"), DeploymentQuery(status=LIVE)):
        assert await all_pages(store, query) == [live.summary()]
    assert await all_pages(store, DeploymentQuery(status=created.status)) == []


async def test_what_is_deployed_while_somebody_pages_does_not_disturb_the_pages(releases: ReleaseStores) -> None:
    made = [make_deployment(created_at=NOON - number) for number in range(9)]
    await keep(releases, made)
    first = await releases.deployments.list(DeploymentQuery(limit=2))
    await keep(releases, [make_deployment(created_at=NOON + number) for number in range(1, 6)])
    rest = await all_pages(releases.deployments, DeploymentQuery(limit=2, cursor=first.next_cursor))
    assert [*first.items, *rest] == [each.summary() for each in made]


async def test_a_deployment_cursor_is_good_for_its_own_list_only(releases: ReleaseStores) -> None:
    await keep(releases, [make_deployment(created_at=NOON + number) for number in range(5)])
    cursor = (await releases.deployments.list(DeploymentQuery(limit=2, service_name="checkout"))).next_cursor
    assert cursor is not None
    same = DeploymentQuery(limit=3, service_name="checkout", cursor=cursor)
    assert len((await releases.deployments.list(same)).items) == 3
    calls = [
        releases.deployments.list(DeploymentQuery(cursor=cursor)),
        releases.deployments.list(same.model_copy(update={"status": LIVE})),
        releases.deployments.list(same.model_copy(update={"service_name": "cart"})),
        releases.deployments.list(DeploymentQuery(cursor="bnVsbA")),
        releases.deployments.list(DeploymentQuery(cursor="")),
        releases.events.list(EventQuery(service_name="checkout", cursor=cursor)),
        releases.services.list(limit=2, cursor=cursor),
    ]
    for call in calls:
        with pytest.raises(ValidationFailed) as refused:
            await call
        assert [error.field for error in refused.value.errors] == ["cursor"]


async def test_deployments_are_found_by_what_is_fixed_at_their_creation(
    releases: ReleaseStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one: a page that has looked at enough says so."""
    monkeypatch.setattr(listing, "_MAX_QUERIES", 2)
    made = [make_deployment(created_at=NOON + number, git_ref="main") for number in range(150)]
    rare: dict[str, str] = {
        "git_ref": "refs/heads/hotfix", "git_commit_sha": "c" * 40, "git_author": "Bob <bob+ci@example.com>"
    }  # fmt: skip
    found = make_deployment(created_at=NOON - 1, status=LIVE, version="1.4.1", **rare)
    await keep(releases, [*made, found])
    for filters in (
        {"branch": "hotfix"},
        {"commit": "c" * 40},
        {"author": "bob@example.com"},
        {"author": "bob@example.com", "status": "live", "branch": "refs/heads/hotfix"},
    ):
        query = DeploymentQuery.model_validate({**filters, "limit": 3})
        assert await all_pages(releases.deployments, query) == [found.summary()]
    page = await releases.deployments.list(DeploymentQuery(branch="hotfix", limit=1))
    if not isinstance(releases.deployments, MemoryDeploymentStore):
        assert (page.items, page.stopped_early) == ([], True)
        assert page.looked_at is not None
        assert 0 < page.looked_at < 150


async def test_those_that_wait_are_found_among_many_that_do_not(releases: ReleaseStores) -> None:
    """Live ones do not wait, but for the few whose rollback waits for a person's word: older than many others."""
    made = [make_deployment(created_at=NOON + number, status=LIVE) for number in range(60)]
    told = 'nobody knows what "runs" there'
    waits = make_deployment(created_at=NOON - 1, status=LIVE, waits_for=told)
    said = make_deployment(created_at=NOON - 2, status=LIVE, error_message='"waits_for":"x"')
    other = make_deployment(created_at=NOON - 3, service_name="cart", waits_for="its turn")
    await keep(releases, [*made, waits, said, other])
    for query, found in (
        (DeploymentQuery(status=LIVE, waits=True, limit=2), [waits]),
        (DeploymentQuery(waits=True, limit=1), [waits, other]),
        (DeploymentQuery(waits=True, service_name="cart"), [other]),
        (DeploymentQuery(waits=True, author="nobody@example.com"), []),
    ):
        assert await all_pages(releases.deployments, query) == [each.summary() for each in found]
    page = await releases.deployments.list(DeploymentQuery(status=LIVE, waits=True, limit=50))
    assert [each.waits_for for each in page.items] == [told]
