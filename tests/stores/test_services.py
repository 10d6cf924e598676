"""The contract of ServiceStore: every version kept, one after the other, whoever races."""

import asyncio

import pytest

from tests.stores.conftest import ReleaseStores
from tests.stores.lives import NOON
from tests.stores.releases import make_event, make_service, make_spec, noise
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.rules import Rollout, Verification
from workflows.contracts.deployments.services import Environment, Service
from workflows.contracts.errors import ValidationFailed
from workflows.contracts.jobs import Step


async def put(
    releases: ReleaseStores, service: Service, expected_version: int | None = None, event: str | None = None
) -> bool:
    events = [make_event(event)] if event else []
    return await releases.services.put(service, expected_version=expected_version, events=events)


async def event_ids(releases: ReleaseStores) -> list[str]:
    return [event.event_id for event in (await releases.events.list(EventQuery(limit=100))).items]


async def test_each_version_of_a_service_is_read_as_it_was_put(releases: ReleaseStores) -> None:
    verification = Verification(run="./check", max_error_rate=0.1 + 0.2, max_latency_ms=5e-324)
    rollout, env = Rollout(percent=[10, 100]), {"A": ""}
    environment = Environment(name="live", external=True, verification=verification, rollout=rollout, env=env)
    first = make_service(updated_by="ü🚀", spec=make_spec(environments=[environment], labels={"": ""}))
    second = make_service(version=2, spec=make_spec(description="another"))
    assert await put(releases, first)
    assert await put(releases, second)
    read = await releases.services.get("checkout", 1)
    assert read == first
    assert read is not None
    assert repr(read.spec.environments[0].verification) == repr(verification)
    assert await releases.services.get("checkout") == await releases.services.get("checkout", 2) == second
    for name, version in (("checkout", 0), ("checkout", 3), ("checkout", -1), ("check", None), ("check", 1)):
        assert await releases.services.get(name, version) is None
    assert (await releases.services.list(limit=10, cursor=None)).items == [second]


async def test_a_version_that_does_not_follow_is_refused(releases: ReleaseStores) -> None:
    assert not await put(releases, make_service(version=2), event="too new")
    assert not await put(releases, make_service(), expected_version=1, event="expects what is not there")
    assert await put(releases, make_service(), expected_version=0, event="1")
    assert not await put(releases, make_service(version=2), expected_version=0, event="expects nothing")
    assert not await put(releases, make_service(version=2), expected_version=2, event="expects itself")
    assert not await put(releases, make_service(version=3), event="skips one")
    assert not await put(releases, make_service(updated_by="bob"), event="other content")
    assert await put(releases, make_service(version=2), expected_version=1, event="2")
    assert await releases.services.get("checkout") == make_service(version=2)
    assert sorted(await event_ids(releases)) == ["1", "2"]


async def test_the_same_version_again_is_true_and_changes_nothing(releases: ReleaseStores) -> None:
    for _ in range(2):
        assert await put(releases, make_service(), expected_version=0, event="1")
    for _ in range(2):
        assert await put(releases, make_service(version=2), expected_version=1, event="2")
    assert await put(releases, make_service(), event="an old one, late")
    assert await releases.services.get("checkout") == make_service(version=2)
    assert sorted(await event_ids(releases)) == ["1", "2"]


@pytest.mark.parametrize("version", [1, 2])
async def test_one_of_16_racing_definitions_becomes_the_version(releases: ReleaseStores, version: int) -> None:
    if version == 2:
        await put(releases, make_service())
    racing = [make_service(version=version, updated_by=f"person {number}") for number in range(16)]
    outcomes = await asyncio.gather(*(put(releases, each, event=each.updated_by) for each in racing))
    assert outcomes.count(True) == 1
    winner = racing[outcomes.index(True)]
    for asked in (None, version):
        assert await releases.services.get("checkout", asked) == winner
    assert (await releases.services.list(limit=10, cursor=None)).items == [winner]
    assert await event_ids(releases) == [winner.updated_by]


async def test_the_same_version_put_at_the_same_time_is_true_for_all(releases: ReleaseStores) -> None:
    outcomes = await asyncio.gather(*(put(releases, make_service(), 0, "applied") for _ in range(12)))
    assert all(outcomes)
    assert await event_ids(releases) == ["applied"]


async def test_versions_race_through_in_order(releases: ReleaseStores) -> None:
    """Whoever is refused reads again and puts the next one: no version is lost, none is twice."""

    async def apply(person: str) -> int:
        for _ in range(100):
            present = await releases.services.get("checkout")
            version = present.version + 1 if present else 1
            if await put(releases, make_service(version=version, updated_by=person), event=f"{version} {person}"):
                return version
        raise AssertionError(f"{person} was never the fastest")

    people = [f"person {number}" for number in range(8)]
    versions = await asyncio.gather(*(apply(person) for person in people))
    assert sorted(versions) == list(range(1, len(people) + 1))
    for person, version in zip(people, versions, strict=True):
        assert await releases.services.get("checkout", version) == make_service(version=version, updated_by=person)
    wanted = {f"{version} {person}" for person, version in zip(people, versions, strict=True)}
    assert sorted(await event_ids(releases)) == sorted(wanted)


async def test_services_are_listed_by_name_however_large(releases: ReleaseStores) -> None:
    large = make_spec([Step(name=f"step {number}", run=noise(60 * 1024, number)) for number in range(3)])
    names = ["a", "a-1", "a0", "aa", "b", "checkout", "z9"]
    for name in reversed(names):
        await put(releases, make_service(name, spec=large))
    await put(releases, newest := make_service("b", version=2))
    for limit in (3, 7, 100):
        found, cursor = list[Service](), None
        while True:
            page = await releases.services.list(limit=limit, cursor=cursor)
            assert len(page.items) <= limit
            found += page.items
            if (cursor := page.next_cursor) is None:
                break
        assert [service.name for service in found] == names
        assert found[4] == newest


async def test_a_service_cursor_of_something_else_is_refused(releases: ReleaseStores) -> None:
    for number in range(3):
        await put(releases, make_service(f"s{number}"))
        await releases.events.append(make_event(at=NOON + number))
    services = (await releases.services.list(limit=1, cursor=None)).next_cursor
    events = (await releases.events.list(EventQuery(limit=1))).next_cursor
    assert None not in {services, events}
    for cursor in (events, "", "x", "bnVsbA"):
        with pytest.raises(ValidationFailed) as refused:
            await releases.services.list(limit=1, cursor=cursor)
        assert [error.field for error in refused.value.errors] == ["cursor"]
    with pytest.raises(ValidationFailed):
        await releases.events.list(EventQuery(limit=1, cursor=services))
    assert [each.name for each in (await releases.services.list(limit=5, cursor=services)).items] == ["s1", "s2"]


async def test_a_service_that_no_item_can_hold_is_refused(releases: ReleaseStores) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await put(releases, make_service(spec=make_spec(description=noise(600_000))), event="e")
    assert [error.field for error in refused.value.errors] == ["service"]
    assert await releases.services.get("checkout") is None
    assert await event_ids(releases) == []
