"""The identity map: which subjects, addresses, logins and keys are one person. Pure.

``people`` of the access policy says who is who; of whom it says nothing is who their credential says. How names are
written is normalised in ``contracts.identity.people``, which also says whether two are one (``same_person``).
Deliberately not here: who may do what (``identity.policy``).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from workflows.contracts.base import Frozen
from workflows.contracts.errors import FieldError
from workflows.contracts.fields import Name, NotBlank, ShortLine
from workflows.contracts.identity.people import Somebody, addresses_in, identity_of, names_of

_Line = Annotated[ShortLine, StringConstraints(min_length=1), NotBlank]
_KEY: Final = "key:"


class SubjectRule(Frozen):
    """What an issuer calls somebody: the claim ``sub`` of its tokens."""

    issuer: Name
    subject: _Line


class PersonRule(Frozen):
    """One person. ``logins``: as ``github:ann``, ``slack:U0123``; ``keys``: ids or names of keys."""

    id: Name
    subjects: list[SubjectRule] = Field(default_factory=list[SubjectRule], max_length=20)
    emails: list[_Line] = Field(default_factory=list[str], max_length=50)
    logins: list[_Line] = Field(default_factory=list[str], max_length=50)
    keys: list[_Line] = Field(default_factory=list[str], max_length=50)

    def names(self) -> list[str]:
        """All that is certainly theirs."""
        subjects = [subject_of(each.issuer, each.subject) for each in self.subjects]
        emails = [name for email in self.emails for name in names_of(email)]
        keys = [f"{_KEY}{key.casefold()}" for key in self.keys]
        return [self.id, *subjects, *emails, *(login.casefold() for login in self.logins), *keys]


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whoever presents a credential, as far as it says who that is. ``key_id``: the key that it is, or that opened it.

    ``credential_id`` is that of a key only; the rest is as in ``access.Credential``.
    """

    id: str
    key_id: str | None = None
    credential_id: str | None = None
    owner: str | None = None
    names: Sequence[str] = ()
    machine: bool = False
    maker: str | None = None
    makers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Map:
    """The rules, by every name."""

    rules: Sequence[PersonRule]
    by_name: Mapping[str, PersonRule]
    ids: frozenset[str]

    @classmethod
    def of(cls, rules: Sequence[PersonRule]) -> "_Map":
        by_name = {name: rule for rule in rules for name in rule.names()}
        return cls(rules, by_name, frozenset(rule.id for rule in rules))


class People:
    """Knows who is who, by these rules or those of now."""

    def __init__(self, people: Sequence[PersonRule] | Callable[[], Sequence[PersonRule]] = ()) -> None:
        self._now: Callable[[], Sequence[PersonRule]] = people if callable(people) else lambda: people
        self._map = _Map.of(self._now())

    def lists(self, person: str) -> bool:
        """True for the id of somebody in the map."""
        return person in self._present().ids

    def of(self, bearer: Bearer) -> Somebody:
        """Whoever asks. A key's line in the map comes before its owner, its owner before further names. The name of a
        key says nothing where the map has its id.
        """
        ids, shown = _ids(bearer), [bearer.id]
        keys = [*ids, bearer.id.casefold()] if bearer.id.startswith(_KEY) else ids
        if bearer.id.startswith(_KEY) and self._rule(ids) is not None:
            keys, shown = ids, []
        own = bearer.owner or (keys[0] if keys else bearer.id)
        certain = [*keys, *_owners_names(own), *bearer.names]
        known = self._rule([*keys, *bearer.names] if bearer.machine else certain)
        person = f"machine:{keys[0] if keys else own}" if bearer.machine else _owners_names(own)[-1]
        hints = [name for each in (*shown, own, *bearer.names) for name in (*names_of(each), *addresses_in(each))]
        found = self._identity(known, Somebody(person=person, names=certain, hints=hints))
        makers = [self._person(each) or each for each in bearer.makers]
        return found.model_copy(
            update={"machine": bearer.machine, "maker": self._person(bearer.maker), "makers": makers}
        )

    def with_makers(self, somebody: Somebody) -> Somebody:
        """With every name of whoever made their key, but names of keys, which are anybody's: an author whom git names
        by an address may be one of them.
        """
        rules = [self._rule([maker]) for maker in sorted(somebody.all_makers)]
        names = [name for rule in rules if rule is not None for name in rule.names() if not name.startswith(_KEY)]
        return somebody.model_copy(update={"makers": list(dict.fromkeys((*somebody.makers, *names)))})

    def of_name(self, text: str, *, forge: str | None = None) -> Somebody:
        """Whom a commit, a forge or a person calls so; a bare login is one at ``forge``."""
        seen = identity_of(text)
        if forge is not None and not any(sign in text for sign in "@: "):
            seen = seen.model_copy(update={"names": [*seen.names, f"{forge}:{seen.person}"]})
        return self._identity(self._rule(reversed(seen.names)), seen)

    def of_login(self, login: str) -> Somebody | None:
        """Of whom the map has this login."""
        rule = self._present().by_name.get(login.casefold())
        listed = rule is not None and login.casefold() in {each.casefold() for each in rule.logins}
        return self._identity(rule, identity_of(login)) if listed else None

    def _rule(self, names: Iterable[str]) -> PersonRule | None:
        by_name = self._present().by_name
        found = (by_name.get(name) or by_name.get(name.casefold()) for name in names)
        return next((rule for rule in found if rule is not None), None)

    def _present(self) -> "_Map":
        rules, known = self._now(), self._map
        if rules is not known.rules:
            known = self._map = _Map.of(rules)
        return known

    def _identity(self, rule: PersonRule | None, seen: Somebody) -> Somebody:
        if rule is None:
            return seen.model_copy(update={"names": list(dict.fromkeys(seen.names))})
        names = list(dict.fromkeys((*rule.names(), *seen.names)))
        return seen.model_copy(update={"person": rule.id, "names": names, "listed": True})

    def _person(self, maker: str | None) -> str | None:
        if maker is None:
            return None
        rule = self._rule([maker])
        return maker if rule is None else rule.id


def subject_of(issuer: str, subject: str) -> str:
    """A person of an issuer, whatever they are called."""
    return f"oidc:{issuer}:{subject}"


def people_faults(people: Sequence[PersonRule], issuers: set[str]) -> Iterator[FieldError]:
    """What is wrong with the map: nothing may mean two people."""
    known: dict[str, str] = {}
    for number, rule in enumerate(people):
        for place, each in enumerate(rule.subjects):
            if each.issuer not in issuers:
                field = f"people.{number}.subjects.{place}.issuer"
                yield FieldError(field=field, message="must be the name of one of `issuers`")
        for place, email in enumerate(rule.emails):
            if email.count("@") != 1 or any(sign in email for sign in "<> "):
                yield FieldError(field=f"people.{number}.emails.{place}", message="must be an address alone")
        for place, login in enumerate(rule.logins):
            if not all(login.partition(":")[::2]):
                message = "must be a forge's or chat's name and the login: github:ann"
                yield FieldError(field=f"people.{number}.logins.{place}", message=message)
        for name in dict.fromkeys(rule.names()):
            if name in known:
                message = f"{name} is {known[name]}'s already: it cannot be two people"
                yield FieldError(field=f"people.{number}", message=message)
            known.setdefault(name, rule.id)


def _owners_names(owner: str) -> list[str]:
    """However an admin writes it; an issuer's subjects and keys' ids are as they are."""
    return [owner] if owner.startswith(("oidc:", _KEY)) else [owner, *names_of(owner)]


def _ids(bearer: Bearer) -> list[str]:
    """Its key, or the one that opened it, by id."""
    ids = (bearer.key_id, bearer.credential_id)
    return list(dict.fromkeys(f"{_KEY}{each}" for each in ids if each is not None))
