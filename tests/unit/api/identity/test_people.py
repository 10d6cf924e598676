"""The identity map: which subjects, addresses, logins and keys are one person, and every fault of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from api.auth.principal import Principal
from api.identity.people import People, PersonRule
from api.identity.policy import UnusablePolicy, load_policy
from workflows.contracts.access import Credential, CredentialKind, Grant, Role
from workflows.contracts.identity.people import GitPerson, Somebody, same_person

ANN = PersonRule.model_validate(
    {
        "id": "ann",
        "subjects": [{"issuer": "corp", "subject": "Sub-1"}],
        "emails": ["Ann@example.com"],
        "logins": ["github:Ann", "slack:ann"],
        "keys": ["ann-laptop", "k7"],
    }
)
PEOPLE = People([ANN])


def who(people: People = PEOPLE, **changes: Any) -> Somebody:
    """Whoever presents this credential, a key of no owner unless it is said."""
    credential = Credential(
        credential_id="k1", kind=CredentialKind.KEY, digest="", subject="key:ci",
        grants=[Grant(role=Role.APPROVER)], created_at=1,
    ).model_copy(update=changes)  # fmt: skip
    return people.of(Principal.of(credential).bearer)


SESSION = {"kind": CredentialKind.SESSION, "subject": "ann@example.com", "owner": "oidc:corp:Sub-1"}


@pytest.mark.parametrize(
    "changes",
    [
        SESSION,
        {**SESSION, "subject": "corp:whoever", "owner": "oidc:corp:2", "names": ["ann@example.com"]},
        {"subject": "key:Ann-Laptop"},
        {"credential_id": "k7"},
        {"credential_id": "k9", "origin_id": "k7"},
        {"kind": CredentialKind.SESSION, "parent_id": "k7", "owner": "key:k7"},
        {"owner": "ann"},
        {"owner": "ANN@example.com"},
        {"owner": "Ann <ann+work@example.com>"},
        {"owner": "github:ann"},
        {"owner": "Ann <ann@example.com> (work)"},
        {"owner": "ann@example.com, Ann"},
        {"owner": "mailto:ann@example.com"},
        {"owner": "ann@example.com."},
        {"owner": "ann@example.com\u3164"},
        {"owner": '"ann"@example.com'},
    ],
)
def test_all_of_these_are_ann(changes: dict[str, Any]) -> None:
    found = who(**changes)
    assert (found.person, found.machine) == ("ann", False)
    assert "ann@example.com" in found.names, "so that what is known by name only is compared with all of hers"


@pytest.mark.parametrize(
    ("changes", "person"),
    [
        ({}, "key:k1"),
        ({"owner": "bob@example.com"}, "bob@example.com"),
        ({**SESSION, "subject": "ann2@example.com", "owner": "oidc:corp:sub-1"}, "oidc:corp:sub-1"),
        ({**SESSION, "subject": "elsewhere:ann", "owner": "oidc:elsewhere:Sub-1"}, "oidc:elsewhere:Sub-1"),
        ({"subject": "key:ann@example.com"}, "key:k1"),
        ({"machine": True}, "machine:key:k1"),
        ({"machine": True, "owner": "ann"}, "machine:key:k1"),
        ({"kind": CredentialKind.TOKEN, "subject": "workload/shop-ci"}, "machine:workload/shop-ci"),
    ],
)
def test_none_of_these_is(changes: dict[str, Any], person: str) -> None:
    assert who(**changes).person == person


def test_a_key_that_is_called_like_somebody_is_not_them_and_may_not_approve_their_work() -> None:
    called = who(People(), subject="key:ann@example.com")
    assert not called.proven & {"ann@example.com"}
    assert same_person(called, People().of_name("Ann <ann@example.com>"))


@pytest.mark.parametrize(
    "owner",
    [
        "Cat <cat@example.com> (work)", "cat@example.com, Cat", "mailto:cat@example.com", "cat@example.com.",
        "cat@example.com\u3164", '"cat"@example.com', "c\u034fat@example.com", "cat@example.com, bob@example.com",
    ],
)  # fmt: skip
def test_an_owner_is_the_author_whose_address_stands_in_it_and_so_is_who_has_a_key_by_them(owner: str) -> None:
    cat = who(owner=owner)
    for author in ("cat@example.com", "Cat <cat+x@example.com>", "\uff43at@example.com"):
        assert same_person(cat, PEOPLE.of_name(author)), author
    assert not same_person(cat, PEOPLE.of_name("eve@example.com"))
    if "bob" not in owner:
        made = who(owner="eve@example.com", credential_id="k2", subject="key:eve", maker=cat.person)
        assert same_person(made, PEOPLE.of_name("cat@example.com"))


def test_keys_of_one_owner_are_one_person_and_know_who_made_them() -> None:
    laptop = who(owner="bob", subject="key:bob-laptop")
    desktop = who(owner="Bob", subject="key:bob-desktop", credential_id="k2", maker="oidc:corp:Sub-1")
    assert same_person(laptop, desktop)
    assert desktop.maker == "ann"
    machine = who(owner="bob", machine=True, credential_id="k3")
    assert same_person(laptop, machine), "whoever answers for it knows its secret"


def test_authors_are_resolved_as_commits_and_forges_write_them() -> None:
    for text in ("Ann <ann@example.com>", "ann+x@example.com", "7+ann@users.noreply.github.com", "github:ann"):
        assert PEOPLE.of_name(text).person == "ann", text
    assert PEOPLE.of_name("ann", forge="github").person == "ann"
    assert PEOPLE.of_name("bob", forge="github").person == "bob"
    assert PEOPLE.of_login("slack:ANN") is not None
    assert PEOPLE.of_login("slack:bob") is None
    assert PEOPLE.of_login("ann@example.com") is None, "an address is no login"


def test_the_configurations_keys_are_of_their_owner() -> None:
    assert People().of(Principal.everywhere("admin", Role.ADMIN).bearer).person == "admin"
    owned = Principal.everywhere("admin", Role.ADMIN, owner="ann@example.com")
    assert PEOPLE.of(owned.bearer).person == "ann"
    assert People().of(Principal.everywhere("webhook:github", Role.ADMIN, machine=True).bearer).machine


ISSUERS = [{"name": "corp", "issuer": "https://corp.example.com", "client_id": "c"}]


@pytest.mark.parametrize(
    ("people", "fault"),
    [
        ([{"id": "ann", "emails": ["a@b"]}, {"id": "bob", "emails": ["A+x@b"]}], "people.1: a@b is ann's already"),
        ([{"id": "ann"}, {"id": "ann"}], "people.1: ann is ann's already"),
        ([{"id": "ann", "logins": ["github:x"]}, {"id": "bob", "logins": ["GitHub:X"]}], "github:x is ann's already"),
        ([{"id": "ann", "keys": ["k1"]}, {"id": "bob", "keys": ["K1"]}], "key:k1 is ann's already"),
        ([{"id": "ann", "subjects": [{"issuer": "elsewhere", "subject": "1"}]}], "people.0.subjects.0.issuer: must be"),
        ([{"id": "ann", "emails": ["Ann <a@b>"]}], "people.0.emails.0: must be an address alone"),
        ([{"id": "ann", "logins": ["ann"]}], "people.0.logins.0: must be a forge's or chat's name"),
        ([{"id": "ann", "mails": ["a@b"]}], "people.0.mails"),
        ([{"emails": ["a@b"]}], "people.0.id"),
    ],
)
def test_every_fault_of_the_map_is_named(tmp_path: Path, people: list[Any], fault: str) -> None:
    file = tmp_path / "policy.yml"
    file.write_text(yaml.safe_dump({"issuers": ISSUERS, "people": people}))
    with pytest.raises(UnusablePolicy) as refused:
        load_policy(file, development=False)
    assert fault in str(refused.value)


def test_a_map_is_read(tmp_path: Path) -> None:
    file = tmp_path / "policy.yml"
    file.write_text(yaml.safe_dump({"issuers": ISSUERS, "people": [ANN.model_dump(mode="json")]}))
    assert load_policy(file, development=False).people == [ANN]


def test_keys_of_one_name_are_two_peoples_once_the_map_has_one_of_them_by_its_id() -> None:
    """By its name, or by its owner alone, they stay one: the name could be either's."""
    people = People(
        [PersonRule(id="bob", emails=["bob@example.com"], keys=["k2"]), PersonRule(id="cat", keys=["laptop"])]
    )
    ann = who(people, credential_id="k1", subject="key:Desk", owner="ann@example.com")
    bob = who(people, credential_id="k2", subject="key:desk", owner="zoe@example.com")
    assert (bob.person, same_person(ann, bob)) == ("bob", False)
    assert {"key:desk", "desk"} & bob.known_as == set()
    session = who(people, kind=CredentialKind.SESSION, parent_id="k2", subject="key:desk", owner="zoe@example.com")
    assert (session.person, same_person(ann, session), same_person(bob, session)) == ("bob", False, True)
    owned = who(people, credential_id="k3", subject="key:desk", owner="bob@example.com")
    assert (owned.person, same_person(ann, owned)) == ("bob", True)
    cats = who(people, credential_id="k4", subject="key:laptop")
    assert (cats.person, "key:laptop" in cats.names) == ("cat", True)


def test_who_is_in_the_map_is_known_as_that() -> None:
    assert (who(subject="key:ann-laptop").listed, who().listed) == (True, False)
    assert (PEOPLE.lists("ann"), PEOPLE.lists("ann@example.com"), People().lists("ann")) == (True, False, False)
    assert "listed" not in who().model_dump(), "as before, so that what was proven stays so"


def test_a_key_is_not_a_second_person_for_an_author_whom_git_names_by_an_address() -> None:
    """Ann makes a key in somebody else's name, and approves with it what she wrote."""
    made = who(owner="bob@example.com", maker="ann")
    in_git = GitPerson(name="A.", address="Ann+x@example.com").identity
    assert in_git is not None
    told = PEOPLE.with_makers(made)
    assert (same_person(made, in_git), same_person(told, in_git)) == (False, True)
    assert (told.person, told.names, told.maker) == (made.person, made.names, "ann")
    assert not any(name.startswith("key:") for name in told.makers), "another's key may have the name of one of hers"
    nobody_made_it = who(owner="bob@example.com")
    assert PEOPLE.with_makers(nobody_made_it) == nobody_made_it
