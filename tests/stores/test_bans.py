"""The contract of BanStore: one record of a service, with its events, one after the other, whoever races."""

import asyncio

import pytest

from tests.stores.conftest import ReleaseStores
from tests.stores.lives import NOON
from tests.stores.releases import make_event, make_service
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.bans import MAX_BANS, Ban, BanList
from workflows.contracts.errors import HybridCIError


def bans(revision: int, *versions: str, service: str = "checkout") -> BanList:
    items = [Ban(version=version, by="bob", reason="ü🚀", at=NOON, change_id=f"c{revision}") for version in versions]
    return BanList(service_name=service, items=items, revision=revision)


async def put(releases: ReleaseStores, written: BanList, event: str | None = None) -> bool:
    return await releases.bans.put(written, [make_event(event)] if event else [])


async def event_ids(releases: ReleaseStores) -> list[str]:
    return sorted(event.event_id for event in (await releases.events.list(EventQuery(limit=100))).items)


async def test_bans_are_read_as_they_were_put_beside_the_services_definitions(releases: ReleaseStores) -> None:
    assert await releases.bans.get("checkout") == BanList(service_name="checkout")
    assert await releases.services.put(make_service(), expected_version=None, events=[])
    assert await put(releases, bans(1, "1.1"), "first")
    assert await put(releases, bans(2, "1.2", "1.1"), "second")
    assert await releases.bans.get("checkout") == bans(2, "1.2", "1.1")
    assert await releases.bans.get("check") == BanList(service_name="check")
    assert await releases.services.get("checkout") == make_service()
    assert (await releases.services.list(limit=10, cursor=None)).items == [make_service()]
    assert await event_ids(releases) == ["first", "second"]


async def test_what_does_not_follow_is_refused_with_its_event(releases: ReleaseStores) -> None:
    assert not await put(releases, bans(2, "1.1"), "too new")
    assert await put(releases, bans(1, "1.1"), "1")
    assert not await put(releases, bans(1, "1.2"), "of the same moment")
    assert await put(releases, bans(1, "1.1"), "again")
    assert await releases.bans.get("checkout") == bans(1, "1.1")
    assert await event_ids(releases) == ["1"]


async def test_of_many_that_race_one_is_kept_with_its_event(releases: ReleaseStores) -> None:
    names = [f"1.{number}" for number in range(8)]
    done = await asyncio.gather(*(put(releases, bans(1, name), name) for name in names))
    assert done.count(True) == 1
    winner = names[done.index(True)]
    assert await releases.bans.get("checkout") == bans(1, winner)
    assert await event_ids(releases) == [winner]


async def test_as_many_as_there_may_be_fit(releases: ReleaseStores) -> None:
    items = [
        Ban(
            version=f"v{number}", git_commit_sha="a" * 40, by="b" * 256, reason="ü" * 1024, at=NOON, change_id="c" * 120
        )
        for number in range(MAX_BANS)
    ]
    full = BanList(service_name="checkout", items=items, revision=1)
    assert await releases.bans.put(full, [])
    assert await releases.bans.get("checkout") == full


async def test_an_event_that_cannot_be_kept_keeps_no_ban(releases: ReleaseStores) -> None:
    huge = make_event("huge").model_copy(update={"details": {"text": [f"{number:032x}" for number in range(40_000)]}})
    with pytest.raises(HybridCIError):
        await releases.bans.put(bans(1, "1.1"), [huge])
    assert await releases.bans.get("checkout") == BanList(service_name="checkout")
