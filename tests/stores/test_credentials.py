"""The contract of CredentialStore: revision after revision, each with its events; a use never gets in the way."""

import asyncio

import pytest

from tests.stores.conftest import AccessStores
from tests.stores.lives import NOON
from tests.stores.releases import make_event
from workflows.contracts.access import Credential, CredentialKind, Grant, Operation, Role
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.errors import ValidationFailed


def make_credential(credential_id: str = "c1", **changes: object) -> Credential:
    made = Credential(
        credential_id=credential_id,
        kind=CredentialKind.KEY,
        digest="ab" * 32,
        subject="key:ci ü🚀",
        name="ci ü🚀",
        grants=[Grant(role=Role.DEVELOPER, services=["cart"], pools=["linux"], operations=[Operation.JOBS_SUBMIT])],
        created_at=NOON,
        created_by="ann",
    )
    return made.model_copy(update=changes)


async def event_ids(stores: AccessStores) -> list[str]:
    return sorted(event.event_id for event in (await stores.events.list(EventQuery(limit=100))).items)


async def test_a_credential_is_read_as_it_was_put(access_stores: AccessStores) -> None:
    store = access_stores.credentials
    made = make_credential(expires_at=NOON * 2, agent_id="build-1", csrf_digest="cd" * 32)
    assert await store.get("c1") is None
    assert await store.put(made, [make_event("issued")])
    assert await store.get("c1") == made
    revoked = made.model_copy(update={"revision": 2, "revoked_at": NOON, "expires_at": None})
    assert await store.put(revoked, [make_event("revoked")])
    assert await store.get("c1") == revoked
    assert await event_ids(access_stores) == ["issued", "revoked"]


async def test_a_revision_that_does_not_follow_is_refused(access_stores: AccessStores) -> None:
    store, first = access_stores.credentials, make_credential()
    assert not await store.put(make_credential(revision=2), [make_event("too new")])
    for _ in range(2):
        assert await store.put(first, [make_event("1")])
    assert not await store.put(make_credential(subject="mallory"), [make_event("another first")])
    second = make_credential(revision=2, name="two")
    for _ in range(2):
        assert await store.put(second, [make_event("2")])
    assert not await store.put(make_credential(revision=4), [make_event("skips one")])
    assert not await store.put(first, [make_event("an old one, late")])
    assert await store.get("c1") == second
    assert await event_ids(access_stores) == ["1", "2"]


async def test_one_of_many_racing_changes_wins(access_stores: AccessStores) -> None:
    store = access_stores.credentials
    await store.put(make_credential(), [])
    racing = [make_credential(revision=2, name=f"n{number}") for number in range(8)]
    outcomes = await asyncio.gather(*(store.put(each, [make_event(each.name)]) for each in racing))
    assert outcomes.count(True) == 1
    assert await store.get("c1") == racing[outcomes.index(True)]
    assert await event_ids(access_stores) == [racing[outcomes.index(True)].name]


async def test_a_use_is_kept_beside_the_revisions(access_stores: AccessStores) -> None:
    store = access_stores.credentials
    await store.touch("nobody", NOON)
    assert await store.get("nobody") is None
    await store.put(make_credential(), [])
    await store.touch("c1", NOON + 5)
    assert await store.get("c1") == make_credential(last_used_at=NOON + 5)
    changed = make_credential(revision=2, name="changed", last_used_at=1)
    for _ in range(2):
        assert await store.put(changed, [])
    assert await store.get("c1") == changed.model_copy(update={"last_used_at": NOON + 5})


async def test_many_are_read_in_one_go(access_stores: AccessStores) -> None:
    store = access_stores.credentials
    made = [make_credential(f"c{number}") for number in range(105)]
    await asyncio.gather(*(store.put(each, []) for each in made))
    found = await store.get_many([*(each.credential_id for each in made), "nobody", "c1"])
    assert sorted(found, key=lambda each: each.credential_id) == sorted(made, key=lambda each: each.credential_id)
    assert await store.get_many([]) == []


@pytest.mark.parametrize("limit", [3, 100])
async def test_lists_show_one_kind_newest_first(access_stores: AccessStores, limit: int) -> None:
    store, kinds = access_stores.credentials, (CredentialKind.KEY, CredentialKind.SESSION)
    made = [make_credential(f"c{n:02d}", created_at=NOON + n // 3, kind=kinds[n % 2]) for n in range(20)]
    await asyncio.gather(*(store.put(each, []) for each in made))
    await store.put(made[0].model_copy(update={"revision": 2, "revoked_at": NOON}), [])
    for kind in CredentialKind:
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await store.list(kind, limit=limit, cursor=cursor)
            found += [each.credential_id for each in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        wanted = sorted(
            (each for each in made if each.kind is kind), key=lambda each: (each.created_at, each.credential_id)
        )
        assert found == [each.credential_id for each in reversed(wanted)]


async def test_the_cursor_of_another_list_is_refused(access_stores: AccessStores) -> None:
    store = access_stores.credentials
    for number in range(3):
        await store.put(make_credential(f"c{number}"), [])
    cursor = (await store.list(CredentialKind.KEY, limit=1, cursor=None)).next_cursor
    for kind, wrong in ((CredentialKind.SESSION, cursor), (CredentialKind.KEY, "nonsense")):
        with pytest.raises(ValidationFailed):
            await store.list(kind, limit=1, cursor=wrong)
