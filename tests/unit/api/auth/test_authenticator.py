"""Whom a secret stands for: what is read, how seldom, and what nobody can make it do."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from activities.stores.memory.credentials import MemoryCredentialStore
from activities.stores.memory.events import MemoryEventStore
from api.auth import authenticator as module
from api.auth.authenticator import TRUST_SECONDS, Authenticator
from api.auth.keys import KeyRing
from api.auth.limits import RateLimits, RequestLimits
from api.auth.principal import Principal
from api.auth.tokens import checksum_of, digest_of, new_token, read_token
from api.http.addresses import network_of
from api.http.errors import ApiError
from workflows.contracts.access import Credential, CredentialKind, Grant, Operation, Role
from workflows.contracts.errors import Unavailable

NOW = 1_700_000_000_000


class CountingStore(MemoryCredentialStore):
    """Counts what it is asked; ``down`` makes it fail."""

    def __init__(self) -> None:
        super().__init__(MemoryEventStore())
        self.reads: list[str] = []
        self.batches: list[list[str]] = []
        self.touched: list[str] = []
        self.down = False

    async def get(self, credential_id: str) -> Credential | None:
        self.reads.append(credential_id)
        if self.down:
            raise Unavailable("down")
        await asyncio.sleep(0)
        return await super().get(credential_id)

    async def get_many(self, credential_ids: Sequence[str]) -> list[Credential]:
        self.batches.append(list(credential_ids))
        if self.down:
            raise Unavailable("down")
        return await super().get_many(credential_ids)

    async def touch(self, credential_id: str, at: int) -> None:
        self.touched.append(credential_id)
        await super().touch(credential_id, at)


@dataclass(slots=True)
class World:
    """An authenticator with clocks that a test sets."""

    store: CountingStore
    now: int = NOW
    monotonic: float = 1000.0

    def made(self, limits: RateLimits | None = None) -> Authenticator:
        keys = KeyRing([("admin-key", Principal.everywhere("admin", Role.ADMIN))])
        counted = RequestLimits(limits or RateLimits(), lambda: self.monotonic)
        return Authenticator(keys, self.store, counted, clock=lambda: self.now, monotonic=lambda: self.monotonic)

    async def issue(self, kind: CredentialKind = CredentialKind.KEY, **changes: object) -> str:
        token, credential_id = new_token(kind)
        credential = Credential(
            credential_id=credential_id,
            kind=kind,
            digest=digest_of(token),
            subject="key:ci",
            grants=[Grant(role=Role.VIEWER)],
            created_at=NOW,
        )
        assert await self.store.put(credential.model_copy(update=changes), [])
        return token


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(module, "_GATHER_SECONDS", 0)
    return World(CountingStore())


def id_of(token: str) -> str:
    found = read_token(token)
    assert found is not None
    return found.credential_id


async def test_the_keys_of_the_configuration_ask_no_store(world: World) -> None:
    found = await world.made().principal("admin-key", address=None)
    assert found is not None
    assert (found.id, found.role, found.credential_id) == ("admin", Role.ADMIN, None)
    assert world.store.reads == []


async def test_many_requests_cost_one_read(world: World) -> None:
    token, known = await world.issue(), world.made()
    found = await asyncio.gather(*(known.principal(token, address="1.2.3.4") for _ in range(20)))
    assert {each.id if each else None for each in found} == {"key:ci"}
    for _ in range(20):
        assert await known.principal(token, address="1.2.3.4")
    assert world.store.reads == [id_of(token)]


async def test_what_is_in_use_is_refreshed_in_the_background_and_many_at_once(world: World) -> None:
    known, tokens = world.made(), [await world.issue(CredentialKind.AGENT) for _ in range(5)]
    for _ in range(12):  # a heartbeat every 15 s
        for token in tokens:
            assert await known.principal(token, address=None)
        await known.settle()
        world.monotonic += 15
    assert len(world.store.reads) == 5
    assert len(world.store.batches) == 11
    assert all(len(batch) == 5 for batch in world.store.batches)
    assert world.store.touched == [], "an agent's heartbeats tell when it was there"


async def test_another_process_revokes(world: World) -> None:
    token, known = await world.issue(), world.made()
    assert await known.principal(token, address=None)
    present = await world.store.get(id_of(token))
    assert present is not None
    await world.store.put(present.model_copy(update={"revision": 2, "revoked_at": NOW, "last_used_at": None}), [])
    assert await known.principal(token, address=None), "what was read is believed for a while"
    world.monotonic += TRUST_SECONDS
    assert await known.principal(token, address=None) is None


async def test_what_this_process_revokes_no_late_read_brings_back(world: World) -> None:
    token, known = await world.issue(), world.made()
    assert await known.principal(token, address=None)
    stale = await world.store.get(id_of(token))
    assert stale is not None
    known.learn(stale.model_copy(update={"revision": 2, "revoked_at": NOW}))
    known.learn(stale)
    assert await known.principal(token, address=None) is None


@pytest.mark.parametrize("field", ["expires_at", "revoked_at"])
async def test_a_credential_ends_at_its_time(world: World, field: str) -> None:
    token, known = await world.issue(CredentialKind.KEY, **{field: NOW + 1000}), world.made()
    assert await known.principal(token, address=None)
    world.now += 999
    assert await known.principal(token, address=None)
    world.now += 1
    assert await known.principal(token, address=None) is None
    assert await world.made().principal(token, address=None) is None


async def test_a_use_is_kept_once_a_minute(world: World) -> None:
    token, known = await world.issue(), world.made()
    for _ in range(5):
        assert await known.principal(token, address=None)
        await known.settle()
        world.monotonic += 20
    assert world.store.touched == [id_of(token)] * 2


async def test_an_outage_fails_only_those_who_must_be_looked_up(world: World) -> None:
    used, unused, known = await world.issue(), await world.issue(), world.made()
    assert await known.principal(used, address=None)
    world.store.down = True
    world.monotonic += TRUST_SECONDS - 1
    assert await known.principal(used, address=None)
    await known.settle()
    with pytest.raises(Unavailable):
        await known.principal(unused, address=None)
    world.monotonic += 2
    with pytest.raises(Unavailable):
        await known.principal(used, address=None)
    world.store.down = False
    assert await known.principal(used, address=None)
    assert await known.principal(unused, address=None)


@pytest.mark.parametrize(
    "presented", ["", "wrong", "hci_key_", "\udce9", "x" * 5000, "hci_key_0123456789abcdef_" + "a" * 49]
)
async def test_garbage_is_refused_without_a_read(world: World, presented: str) -> None:
    assert await world.made().principal(presented, address=None) is None
    assert world.store.reads == []


async def test_every_character_of_a_token_counts(world: World) -> None:
    token, known = await world.issue(), world.made(RateLimits(0, 0, 0, 0))
    assert await known.principal(token, address=None)
    for index, character in enumerate(token):
        other = token[:index] + ("a" if character != "a" else "b") + token[index + 1 :]
        assert await known.principal(other, address=None) is None
    assert world.store.reads == [id_of(token)]


async def test_the_right_id_with_another_secret_is_refused(world: World) -> None:
    token, known = await world.issue(), world.made()
    body = f"hci_key_{id_of(token)}_{'s' * 43}"
    forged = body + checksum_of(body)
    assert read_token(forged) is not None
    assert await known.principal(forged, address="6.6.6.6") is None
    assert await known.principal(token, address=None)
    assert await known.principal(forged, address="6.6.6.6") is None


async def test_made_up_tokens_ask_the_store_only_so_often(world: World) -> None:
    token, known = await world.issue(), world.made(RateLimits(failures=5))
    refused: list[int] = []
    waits: list[int] = []
    for _ in range(50):
        try:
            assert await known.principal(new_token(CredentialKind.KEY)[0], address="6.6.6.6") is None
            refused.append(401)
        except ApiError as error:
            refused.append(429)
            waits.append(int((error.headers or {})["Retry-After"]))
    assert refused == [401] * 5 + [429] * 45
    assert all(1 <= seconds <= 60 for seconds in waits)
    assert len(world.store.reads) == 5
    assert await known.principal(token, address="1.2.3.4"), "another address is not concerned"
    assert await known.principal(token, address="6.6.6.6"), "nor who is known already"
    world.monotonic += 61
    assert await known.principal(new_token(CredentialKind.KEY)[0], address="6.6.6.6") is None


async def test_one_host_with_an_old_token_does_not_lock_its_neighbours_out(world: World) -> None:
    known, old = world.made(RateLimits(failures=5)), new_token(CredentialKind.AGENT)[0]
    for _ in range(30):
        try:
            assert await known.principal(old, address="10.0.0.1") is None
        except ApiError:
            continue
    assert len(world.store.reads) == 1
    assert await known.principal(await world.issue(), address="10.0.0.1")


def test_addresses_of_one_network_count_together() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("10.0.0.1") != network_of("10.0.0.2")
    assert [network_of(each) for each in (None, "", "fe80::1%eth0", "::nonsense")] == [
        "", "", "fe80::/64", "::nonsense"
    ]  # fmt: skip


def test_a_thousand_tokens_are_all_different_and_all_well_formed() -> None:
    made = [new_token(kind)[0] for kind in CredentialKind for _ in range(250)]
    assert len(set(made)) == 1000
    assert all(read_token(token) is not None for token in made)


def somebody(*grants: Grant) -> Principal:
    return Principal("x", CredentialKind.KEY, grants)


def test_a_grant_reaches_what_it_names_and_nothing_that_belongs_to_none() -> None:
    cart = somebody(Grant(role=Role.OPERATOR, services=["cart"]))
    linux = somebody(Grant(role=Role.OPERATOR, pools=["linux"]))
    both = somebody(Grant(role=Role.OPERATOR, services=["cart"], pools=["linux"]))
    read = Operation.READ
    assert all(each.may(read) and not each.unlimited(read) for each in (cart, linux, both))
    reached = [
        (each.may(read, service=service, pool=pool))
        for each in (cart, linux, both)
        for service, pool in (("cart", None), ("cart", "linux"), ("cart", "mac"), (None, "linux"), ("shop", "linux"))
    ]
    assert reached == [
        True, True, True, False, False,
        False, True, False, True, True,
        False, True, False, False, False,
    ]  # fmt: skip
    assert not cart.may(Operation.ACCESS_MANAGE)


def test_who_holds_a_grant() -> None:
    both = somebody(Grant(role=Role.DEVELOPER), Grant(role=Role.OPERATOR, services=["cart", "shop"]))
    assert both.holds(Grant(role=Role.VIEWER))
    assert both.holds(Grant(role=Role.OPERATOR, services=["cart"]))
    assert both.holds(Grant(role=Role.OPERATOR, services=["cart"], pools=["linux"]))
    assert not both.holds(Grant(role=Role.OPERATOR))
    assert not both.holds(Grant(role=Role.OPERATOR, services=["cart", "other"]))
    assert both.holds(Grant(role=Role.OPERATOR, operations=[Operation.JOBS_SUBMIT]))
    assert not both.holds(Grant(role=Role.AGENT))
    assert both.role is Role.OPERATOR
