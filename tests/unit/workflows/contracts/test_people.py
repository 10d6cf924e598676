"""Who somebody is: names as people and forges write them, whether two are one, what the API's word is good for."""

import hashlib
import hmac
import unicodedata

import pytest

from workflows.contracts.identity.people import (
    GitPerson,
    Somebody,
    Vouched,
    identity_as_said,
    identity_of,
    names_as_said,
    names_of,
    same_person,
    shared_key_name,
)

SECRET = b"s" * 32
VOUCHED = Vouched(by="ann", identity=Somebody(person="ann"), environment="production", at=7)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("ann@example.com", ["ann@example.com"]),
        ("  ANN@Example.com ", ["ann@example.com"]),
        ("Ann <Ann@example.com>", ["ann <ann@example.com>", "ann@example.com"]),
        ("ann+ci@example.com", ["ann+ci@example.com", "ann@example.com"]),
        ("key:ann@example.com", ["key:ann@example.com", "ann@example.com"]),
        ("key:bob-laptop", ["key:bob-laptop", "bob-laptop"]),
        ("12345+Ann@users.noreply.github.com", ["12345+ann@users.noreply.github.com", "github:ann"]),
        ("ann@users.noreply.github.com", ["ann@users.noreply.github.com", "github:ann"]),
        ("7-ann@users.noreply.gitlab.com", ["7-ann@users.noreply.gitlab.com", "gitlab:ann"]),
        ("Ann <1+ann@users.noreply.github.com>", ["ann <1+ann@users.noreply.github.com>",
                                                  "1+ann@users.noreply.github.com", "github:ann"]),
        ("ann@noreply.codeberg.org", ["ann@noreply.codeberg.org", "codeberg.org:ann"]),
        ("\uff41nn@example.com", ["ann@example.com"]),
        ("+@example.com", ["+@example.com"]),
        ("ann", ["ann"]),
    ],
)  # fmt: skip
def test_a_name_is_normalised(text: str, names: list[str]) -> None:
    assert names_of(text) == names
    assert identity_of(text).person == names[-1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann@example.com", "Ann <ann@example.com>"),
        ("key:ann@example.com", "ann@example.com"),
        ("ann+work@example.com", "ann@EXAMPLE.com"),
        ("1+ann@users.noreply.github.com", "ann@users.noreply.github.com"),
    ],
)
def test_two_ways_to_write_one_person(one: str, other: str) -> None:
    assert same_person(identity_of(one), identity_of(other))
    assert not same_person(identity_of(one), identity_of("bob@example.com"))


@pytest.mark.parametrize(
    "text",
    [
        "Ann <ann@example.com> (work)", "ann@example.com, Ann", "mailto:ann@example.com", "ann@example.com.",
        '"ann"@example.com', "ann(x)@example.com", "ann @example.com", "<ann@example.com> x", "Ann ann@example.com",
        "ann@example.com\u3164", "ann\u034f@example.com", "ann\u2800", "a\u00adnn+x@example.com",
        "Ann\u2800ann@example.com", "\u2060ann@example.com", "ann@example.com\ufe0f", "\uffa0ann@example.com",
        "ann@exam\U000e0100ple.com",
        "key:ann@example.com\u17b5", "\U0001bca0ann@example.com", "1+ann\u3164@users.noreply.github.com",
    ],
)  # fmt: skip
def test_an_address_is_found_however_it_stands_and_what_nobody_sees_makes_no_second_person(text: str) -> None:
    known = {"ann@example.com", "ann", "github:ann"}
    assert identity_of(text).person in known
    assert any(same_person(identity_of(text), identity_of(each)) for each in known)
    assert not same_person(identity_of(text), identity_of("bob@example.com"))


def test_of_several_addresses_each_is_enough_to_refuse_and_none_allows() -> None:
    both = identity_of("ann@example.com, bob@example.com")
    assert same_person(both, identity_of("ann@example.com"))
    assert same_person(both, identity_of("bob@example.com"))
    assert both.proven.isdisjoint({"ann@example.com", "bob@example.com"})


@pytest.mark.parametrize("text", ["mailto:ann@example.com", "ann\u3164", "ann@example.com (work)"])
def test_workflows_read_names_as_ever_where_the_api_does_not_vouch(text: str) -> None:
    assert identity_as_said(text).person == names_as_said(text)[-1] == unicodedata.normalize("NFKC", text).casefold()


def test_what_is_displayed_or_who_made_the_key_is_enough_to_be_the_same() -> None:
    ann = Somebody(person="oidc:corp:1", hints=["ann@example.com"])
    assert same_person(ann, identity_of("ann@example.com"))
    bob = Somebody(person="bob", maker="oidc:corp:1")
    assert same_person(ann, bob)
    assert same_person(bob, ann)
    assert not same_person(bob, Somebody(person="cat", maker="oidc:corp:1")), "one admin makes everybody's keys"


def test_a_proof_is_of_one_commit_in_one_deployment_and_of_all_that_was_said() -> None:
    proven = VOUCHED.proven(SECRET, "d1", "1.0", "a" * 40)
    assert proven.is_genuine(SECRET, "d1", "1.0", "a" * 40)
    assert Vouched.model_validate_json(proven.model_dump_json()).is_genuine(SECRET, "d1", "1.0", "a" * 40)
    assert not proven.is_genuine(b"t" * 32, "d1", "1.0", "a" * 40)
    for subject in (("d2", "1.0", "a" * 40), ("d1", "1.1", "a" * 40), ("d1", "1.0", "b" * 40)):
        assert not proven.is_genuine(SECRET, *subject)
    changes = {
        "by": "bob", "identity": Somebody(person="bob"), "environment": "staging", "acts_for": "cat", "at": 8,
    }  # fmt: skip
    for name, value in changes.items():
        assert not proven.model_copy(update={name: value}).is_genuine(SECRET, "d1", "1.0", "a" * 40), name
    assert not VOUCHED.is_genuine(SECRET, "d1", "1.0", "a" * 40)
    for proof in ("ö" * 64, "\x00"):  # a comparison that raises would be tried for ever
        assert not VOUCHED.model_copy(update={"proof": proof}).is_genuine(SECRET, "d1", "1.0", "a" * 40)


@pytest.mark.parametrize(
    "author",
    [
        "bob@example.com.",
        '"bob"@example.com',
        "bob@EXAMPLE.com (Bob)",
        "mailto:bob@example.com",
        "Bob Builder bob@example.com",
        "Bob <bob@example.com> x",
        '"Bob <b>" <bob+ci@example.com>',
    ],
)
def test_an_address_anywhere_in_an_author_is_enough_to_refuse(author: str) -> None:
    assert same_person(identity_of(author), Somebody(person="bob", names=["bob@example.com"]))
    assert not same_person(identity_of(author), Somebody(person="cat", names=["cat@example.com"]))


def test_who_made_the_makers_key_is_the_same_too() -> None:
    admin = Somebody(person="admin")
    third = Somebody(person="cat", maker="bobadmin", makers=["admin"])
    assert same_person(admin, third)
    assert same_person(third, admin)
    assert not same_person(third, Somebody(person="eve", maker="bobadmin", makers=["admin"]))


@pytest.mark.parametrize(
    ("name", "address", "person"),
    [
        ("Ann", "ann+x@example.com", Somebody(person="oidc:1", names=["ann@example.com"])),
        ("Ann", "12+Ann@users.noreply.github.com", Somebody(person="ann", names=["github:ann"])),
        ("Ann", "ann", Somebody(person="ann")),
        ("of ann@example.com", "a@b", Somebody(person="ann@example.com")),
        ("\u202eAnn", "ann@example.com", Somebody(person="ann@example.com")),
    ],
)
def test_somebody_in_git_is_whoever_has_the_address(name: str, address: str, person: Somebody) -> None:
    identity = GitPerson(name=name, address=address).identity
    assert identity is not None
    assert same_person(identity, person)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("GitHub", "noreply@github.com"),
        ("GitLab", "NoReply@gitlab.com"),
        ("somebody", "no-reply@forge.example.com"),
        ("web-flow", "19864447+web-flow@users.noreply.github.com"),
        ("Ann", ""),
    ],
)
def test_a_forge_that_commits_for_somebody_is_nobody(name: str, address: str) -> None:
    assert GitPerson(name=name, address=address).identity is None


def test_what_is_written_in_git_is_kept_as_far_as_it_can_be_shown() -> None:
    odd = GitPerson(name="A\x1b[2J\u202enn\ud800", address="x" * 300 + "@example.com")
    assert odd == GitPerson.model_validate_json(odd.model_dump_json())
    assert (odd.name, len(odd.address)) == ("A [2J nn?", 256)


def test_what_the_api_said_before_it_named_credentials_is_genuine_still() -> None:
    """Approvals in flight. A name for it later, or another one, is not what the API said."""
    said = (
        'd\n1.0\nsha\n{"by":"ann","identity":{"person":"ann","names":[],"hints":[],"machine":false,"maker":null},'
        '"environment":"production","acts_for":null,"at":7}'
    )
    key = hashlib.sha256(b"hybridci-approval-voucher-v1\0" + SECRET).digest()
    then = VOUCHED.model_copy(update={"proof": hmac.digest(key, said.encode(), "sha256").hex()})
    assert then.is_genuine(SECRET, "d", "1.0", "sha")
    assert not then.model_copy(update={"credential_id": "k1"}).is_genuine(SECRET, "d", "1.0", "sha")
    now = VOUCHED.model_copy(update={"credential_id": "k1"}).proven(SECRET, "d", "1.0", "sha")
    assert now.is_genuine(SECRET, "d", "1.0", "sha")
    assert not now.model_copy(update={"credential_id": None}).is_genuine(SECRET, "d", "1.0", "sha")


@pytest.mark.parametrize(
    ("other", "name"),
    [
        (Somebody(person="bob", names=["key:2", "key:laptop", "bob"], hints=["laptop"]), "laptop"),
        (Somebody(person="bob", names=["key:2", "key:laptop"], hints=["laptop", "ann"]), None),
        (Somebody(person="bob", names=["key:1", "key:laptop"], hints=["laptop"]), None),
        (Somebody(person="bob", names=["key:laptop"], maker="ann"), None),
        (Somebody(person="ann", names=["key:laptop"]), None),
        (Somebody(person="laptop"), None),
        (Somebody(person="bob"), None),
    ],
)
def test_two_peoples_keys_of_one_name_are_told_from_what_else_makes_two_one(other: Somebody, name: str | None) -> None:
    ann = Somebody(person="ann", names=["key:1", "key:laptop", "ann"], hints=["laptop"])
    assert shared_key_name(ann, other) == shared_key_name(other, ann) == name
