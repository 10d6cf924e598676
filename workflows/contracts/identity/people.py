"""Who somebody is, as far as it is known: a person, the names they go by, and whether two of them are the same. Pure.

A name that people or forges write (``Ann <ann@example.com>``, a forge's noreply address) is normalised here and nowhere
else; ``identity_as_said`` is how workflows have always done it, whose histories must replay, for whoever the API does
not vouch for. Deliberately not here: the identity map, which says whose names these are (``api.identity.people``).
"""

import re
import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo

from workflows.contracts.base import Tolerant
from workflows.contracts.fields import INCOMING, Millis, Person, without_misleading
from workflows.contracts.folding import folded
from workflows.contracts.identity.proofs import authentication_code, same_code

_ADDRESS: Final = re.compile(r"[^<>]*<\s*([^<>\s]+@[^<>\s]+)\s*>")
_ANYWHERE: Final = re.compile(r"[^\s<>()\"',;:\[\]\\]+@[^\s<>()\"',;:\[\]\\]+")
_COMMENT: Final = re.compile(r"\([^()]*\)")
"""In an address a remark (RFC 5322): ``ann(at work)@example.com`` is hers."""
_AROUND_AT: Final = re.compile(r"\s*@\s*")
_NOREPLY: Final = re.compile(r"(?:\d+[+-])?([^@+\s]+)@(?:users\.)?noreply\.([a-z0-9.-]+)")
_FORGES: Final = {"github.com": "github", "gitlab.com": "gitlab", "bitbucket.org": "bitbucket"}
_NOBODYS: Final = re.compile(r"(?:no-?reply|(?:\d+\+)?web-flow)@[^@\s]+")
"""The addresses under which forges commit what somebody did on their pages (``GitHub <noreply@github.com>``)."""
_KEY: Final = "key:"
_MAX_WRITTEN: Final = 256
"""Bytes. An address has 254 at most (RFC 5321)."""
_CONTEXT: Final = b"hybridci-approval-voucher-v1\0"


class Somebody(Tolerant):
    """Somebody. ``person`` tells people apart; ``names`` are the others that are certainly theirs, normalised.

    ``hints``: what is displayed of them, which is enough to refuse and never to allow. ``maker``: the person who made
    the key that is used, and so has seen its secret; ``makers``: who made or replaced it before, and who made theirs.
    ``machine``: nobody in person. ``listed``: the identity map has them, under the id that ``person`` is.
    """

    person: str
    names: list[str] = Field(default_factory=list[str])
    hints: list[str] = Field(default_factory=list[str])
    machine: bool = False
    maker: str | None = None
    makers: list[str] = Field(default_factory=list[str], exclude_if=lambda makers: not makers)
    listed: bool = Field(default=False, exclude_if=lambda listed: not listed)

    @property
    def proven(self) -> frozenset[str]:
        """Every name that may allow something."""
        return frozenset((self.person, *self.names))

    @property
    def all_makers(self) -> frozenset[str]:
        """Everybody who has had this key's secret, or made the key of somebody who had."""
        return frozenset(self.makers if self.maker is None else (self.maker, *self.makers))

    @property
    def known_as(self) -> frozenset[str]:
        """Everything that may name this one."""
        return self.proven | frozenset(self.hints)


def _written(text: str) -> str:
    """As much of it as can be kept and shown: nobody can be asked to write it otherwise."""
    clear = without_misleading(text[: 2 * _MAX_WRITTEN], lines=False).strip()
    return clear.encode("utf-8", "replace")[:_MAX_WRITTEN].decode("utf-8", "ignore")


Written = Annotated[str, AfterValidator(_written)]
"""What somebody wrote into a commit: anything at all."""


class GitPerson(Tolerant):
    """Somebody as a commit has them: free text, which nobody has signed."""

    name: Written = ""
    address: Written = ""

    def __str__(self) -> str:
        """As git writes them."""
        return f"{self.name} <{self.address}>".strip()

    @property
    def identity(self) -> Somebody | None:
        """Whom it means, as far as its addresses say; None when that is nobody (a forge, or no address at all)."""
        if not self.address or _NOBODYS.fullmatch(folded(self.address)):
            return None
        seen = identity_of(str(self))
        return seen.model_copy(update={"hints": list(dict.fromkeys((*seen.hints, *names_of(self.address))))})


class GitPeople(Tolerant):
    """Who wrote a commit and who committed it, as an agent found it in git."""

    author: GitPerson
    committer: GitPerson


class Parties(Tolerant):
    """Who is behind a deployment, as it was known when it was started."""

    author: Somebody
    starter: Somebody
    committer: Somebody | None = None


class Vouched(Tolerant):
    """What the API says of who gives an approval: for which environment, when, and ``proof`` that it is the API's word.

    ``acts_for``: whom an admin named with it; it never counts as theirs. ``credential_id``: of the key, session or
    token with which it was given; None for a key of the configuration, for a webhook, and before this was told.
    ``unlisted``: who gave an approval before and was in the identity map then, and is not any more.
    ``proof`` is a message authentication code (HMAC-SHA-256, hexadecimal) with a secret that the API and the control
    worker share and Temporal does not have.
    """

    by: str
    identity: Somebody
    environment: str | None = None
    acts_for: str | None = None
    credential_id: str | None = Field(default=None, exclude_if=lambda value: value is None)
    unlisted: list[str] = Field(default_factory=list[str], exclude_if=lambda persons: not persons)
    at: Millis
    proof: str = ""

    def proven(self, secret: bytes, deployment_id: str, version: str, git_commit_sha: str) -> "Vouched":
        """With its proof, for this commit in this deployment."""
        return self.model_copy(update={"proof": self._mac(secret, deployment_id, version, git_commit_sha)})

    def is_genuine(self, secret: bytes, deployment_id: str, version: str, git_commit_sha: str) -> bool:
        """True when the API said exactly this of an approval of this commit in this deployment."""
        return same_code(self._mac(secret, deployment_id, version, git_commit_sha), self.proof)

    def _mac(self, secret: bytes, *subject: str) -> str:
        return authentication_code(secret, _CONTEXT, *subject, self.model_dump_json(exclude={"proof"}))


def identity_of(text: str) -> Somebody:
    """Somebody of whom no more is known than what others call them. Every address in it, however it stands there, is
    enough to refuse: a commit's author is free text.
    """
    names = names_of(text)
    return Somebody(person=names[-1], names=names, hints=addresses_in(text))


def names_of(text: str) -> list[str]:
    """What is written, normalised, and whatever else it says of who is meant; the last is the most general.

    ``Ann <Ann+ci@Example.com>`` is ``ann@example.com`` too, and so is any text with this address alone;
    ``12+ann@users.noreply.github.com`` is ``github:ann``, ``key:ann@example.com`` is its name.
    """
    found = _names(folded(text))
    alone = {tuple(_names(each)) for each in _addresses(text)}
    return list(dict.fromkeys((*found, *alone.pop()))) if len(alone) == 1 else found


def addresses_in(text: str) -> list[str]:
    """The names of every address that stands in it, anywhere and in any form."""
    return list(dict.fromkeys(name for each in _addresses(text) for name in _names(each)))


def identity_as_said(text: str) -> Somebody:
    """As ``identity_of`` was until 2026-11: for workflows, of somebody for whom the API does not vouch."""
    names = names_as_said(text)
    plain = unicodedata.normalize("NFKC", text).casefold().replace('"', "")
    hints = [name for found in _ANYWHERE.findall(plain) for name in names_as_said(found.strip("."))]
    return Somebody(person=names[-1], names=names, hints=list(dict.fromkeys(hints)))


def names_as_said(text: str) -> list[str]:
    """As ``names_of`` was until 2026-11: for workflows."""
    return _names(unicodedata.normalize("NFKC", text).strip().casefold())


def _addresses(text: str) -> list[str]:
    plain = folded(text).replace('"', "")
    forms = (plain, _AROUND_AT.sub("@", _COMMENT.sub("", plain)))
    return list(dict.fromkeys(found.strip(".") for form in forms for found in _ANYWHERE.findall(form)))


def _one_person(text: str, info: ValidationInfo) -> str:
    several = {_names(each)[-1] for each in _addresses(text)}
    if info.context is INCOMING and len(several) > 1:
        raise ValueError("must name one person: it has several addresses")
    return text


Owner = Annotated[Person, AfterValidator(_one_person)]
"""Whose a key is, as somebody writes it."""


def _names(said: str) -> list[str]:
    found = [said]
    if said.startswith(_KEY) and said.removeprefix(_KEY).strip():
        found.append(said.removeprefix(_KEY).strip())
    if (inside := _ADDRESS.fullmatch(found[-1])) is not None:
        found.append(inside[1])
    if (forge := _NOREPLY.fullmatch(found[-1])) is not None:
        found.append(f"{_FORGES.get(forge[2], forge[2])}:{forge[1]}")
    elif found[-1].count("@") == 1:
        local, _, host = found[-1].partition("@")
        found.append(f"{local.partition('+')[0] or local}@{host}")
    return list(dict.fromkeys(found))


def same_person(one: Somebody, other: Somebody) -> bool:
    """True when they are one, as far as anything that is known says. In doubt they are: a shared name is enough, and so
    is that one of them made the other's key, or a key that made it.
    """
    ones, others = one.known_as, other.known_as
    return bool(ones & others or one.all_makers & others or other.all_makers & ones)


def shared_key_name(one: Somebody, other: Somebody) -> str | None:
    """The name of two keys, when nothing but this name makes them one person's; else None."""
    if one.person == other.person or one.all_makers & other.known_as or other.all_makers & one.known_as:
        return None
    shared = one.known_as & other.known_as
    names = {name.removeprefix(_KEY) for name in shared}
    return names.pop() if len(names) == 1 and any(name.startswith(_KEY) for name in shared) else None
