"""The access policy (``HYBRIDCI_ACCESS_POLICY``, YAML): which issuers are trusted, who of theirs gets which grants,
what pools are for, who is who.

Read and checked once, at start; every fault is named, because a rule that is not understood must not be skipped.
Deliberately not here: whether a token is genuine (``identity.id_tokens``) and what is handed out for it (``sessions``,
``workloads``).
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, StringConstraints, ValidationError

from api.identity.claims import MAX_DEPTH, applies
from api.identity.people import PersonRule, people_faults
from api.identity.pools import PoolRule
from workflows.contracts.access import Grant
from workflows.contracts.base import Frozen
from workflows.contracts.errors import FieldError, field_errors
from workflows.contracts.fields import Name, ShortLine
from workflows.yaml_text import UnreadableYaml, yaml_file_to_json

logger = logging.getLogger(__name__)

MAX_WORKLOAD_SECONDS: Final = 3600
_LISTS: Final = frozenset({"groups", "roles", "entitlements", "amr"})
"""Claims that are lists by their specifications (RFC 7643, RFC 9068, RFC 8176): a match that forgets it fits nobody."""
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_RESERVED: Final = ("agent", "key", "webhook")
"""What stands before the ':' in the names of those who are no people."""
_Line = Annotated[ShortLine, StringConstraints(min_length=1)]
_Grants = Annotated[list[Grant], Field(min_length=1, max_length=20)]


class UnusablePolicy(ValueError):
    """The policy cannot be used; the message names every fault."""


class IssuerPolicy(Frozen):
    """An issuer that is trusted. ``audience``: what its tokens must be meant for, by default ``client_id``.

    ``name_claim`` names a person in records; ``email`` counts only when the issuer has verified it. ``jwks_file`` is
    for an issuer that cannot be reached from here (a cluster's), ``ca_file`` for one with a certificate authority of
    its own.
    """

    name: Name
    issuer: _Line
    client_id: _Line | None = None
    client_secret_file: Path | None = None
    audience: _Line | list[_Line] = Field(default_factory=list[str], max_length=256)
    name_claim: _Line = "email"
    scopes: list[_Line] = Field(default=["openid", "email", "profile"], min_length=1, max_length=20)
    jwks_file: Path | None = None
    ca_file: Path | None = None

    @property
    def audiences(self) -> frozenset[str]:
        """Any of these a token must be meant for."""
        named = [self.audience] if isinstance(self.audience, str) else self.audience
        return frozenset(named or ([] if self.client_id is None else [self.client_id]))


class UserRule(Frozen):
    """People who match get these grants; those of all rules that match add up."""

    match: dict[str, JsonValue]
    grants: _Grants


class WorkloadRule(Frozen):
    """Workloads that match get a token of these grants for so long."""

    name: Name
    match: dict[str, JsonValue]
    grants: _Grants
    ttl_seconds: Annotated[int, Field(ge=60, le=MAX_WORKLOAD_SECONDS)] = 900


class AccessPolicy(Frozen):
    """All of it. Empty: nobody signs in but by key."""

    issuers: list[IssuerPolicy] = Field(default_factory=list[IssuerPolicy], max_length=100)
    users: list[UserRule] = Field(default_factory=list[UserRule], max_length=1000)
    workloads: list[WorkloadRule] = Field(default_factory=list[WorkloadRule], max_length=1000)
    pools: list[PoolRule] = Field(default_factory=list[PoolRule], max_length=1000)
    people: list[PersonRule] = Field(default_factory=list[PersonRule], max_length=10_000)

    def grants_of_person(self, issuer: str, claims: Mapping[str, Any]) -> list[Grant]:
        """The grants of every rule that matches; none is no."""
        found = [grant for rule in self.users if applies(rule.match, issuer, claims) for grant in rule.grants]
        return list({grant.model_dump_json(): grant for grant in found}.values())

    def workloads_of(self, issuer: str, claims: Mapping[str, Any]) -> list[WorkloadRule]:
        """The rules that match, in the policy's order."""
        return [rule for rule in self.workloads if applies(rule.match, issuer, claims)]


def load_policy(path: Path | None, *, development: bool) -> AccessPolicy:
    """The policy of this file; without a file an empty one. Raises UnusablePolicy.

    In ``development`` an issuer may be plain http on this machine.
    """
    if path is None:
        return AccessPolicy()
    try:
        policy = AccessPolicy.model_validate_json(yaml_file_to_json(path), strict=True)
    except (OSError, UnreadableYaml) as error:
        raise UnusablePolicy(f"The access policy {path} cannot be read: {error}.") from error
    except ValidationError as error:
        raise _unusable(path, field_errors(error, nameless="body")) from None
    faults = list(_faults(policy, development=development))
    if faults:
        raise _unusable(path, faults)
    for field in _without_contains(policy):
        logger.warning("fits no list, and this claim is one: write {contains: …}", extra={"field": field})
    return policy


def trusted_url(url: str, *, development: bool) -> bool:
    """True for https, and for plain http on this machine in development."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        usable = bool(host) and (parts.port is None or parts.port > 0) and parts.username is None
    except ValueError:
        return False
    return usable and (parts.scheme == "https" or (parts.scheme == "http" and development and host in LOOPBACK))


def is_loopback(url: str) -> bool:
    """True for an address of this machine."""
    return urlsplit(url).hostname in LOOPBACK


def _unusable(path: Path, faults: list[FieldError]) -> UnusablePolicy:
    told = "".join(f"\n  {fault.field}: {fault.message}" for fault in faults)
    return UnusablePolicy(f"The access policy {path} cannot be used; correct this:{told}")


def _faults(policy: AccessPolicy, *, development: bool) -> Iterator[FieldError]:
    known: set[str] = set()
    addresses: set[str] = set()
    for number, issuer in enumerate(policy.issuers):
        yield from _issuer_faults(issuer, f"issuers.{number}", development=development)
        if issuer.name in _RESERVED:
            yield FieldError(field=f"issuers.{number}.name", message="means something else here; take another")
        if issuer.name in known or issuer.issuer in addresses:
            yield FieldError(field=f"issuers.{number}", message="its name or issuer is there twice")
        known.add(issuer.name)
        addresses.add(issuer.issuer)
    for number, user in enumerate(policy.users):
        yield from _match_faults(user.match, f"users.{number}.match", known)
    names: set[str] = set()
    for number, workload in enumerate(policy.workloads):
        yield from _match_faults(workload.match, f"workloads.{number}.match", known)
        if workload.name in names:
            yield FieldError(field=f"workloads.{number}.name", message=f"{workload.name} is there twice")
        names.add(workload.name)
    pools: set[str] = set()
    for number, pool in enumerate(policy.pools):
        if pool.name in pools:
            yield FieldError(field=f"pools.{number}.name", message=f"{pool.name} is there twice")
        pools.add(pool.name)
    yield from people_faults(policy.people, known)


def _issuer_faults(issuer: IssuerPolicy, field: str, *, development: bool) -> Iterator[FieldError]:
    if not trusted_url(issuer.issuer, development=development) or any(sign in issuer.issuer for sign in "?#"):
        extra = "" if development else " (plain http is taken on this machine with ENVIRONMENT=development only)"
        yield FieldError(field=f"{field}.issuer", message=f"must be an https:// URL without query{extra}")
    if not issuer.audiences:
        yield FieldError(field=f"{field}.audience", message="is needed, unless there is a client_id")
    if issuer.client_secret_file is not None and issuer.client_id is None:
        yield FieldError(field=f"{field}.client_secret_file", message="needs a client_id")
    if issuer.client_id is not None and "openid" not in issuer.scopes:
        yield FieldError(field=f"{field}.scopes", message="must have 'openid'")
    for name in ("client_secret_file", "jwks_file", "ca_file"):
        file: Path | None = getattr(issuer, name)
        if file is not None:
            yield from _file_faults(file, f"{field}.{name}")


def _file_faults(file: Path, field: str) -> Iterator[FieldError]:
    try:
        if not file.read_text("utf-8").strip():
            yield FieldError(field=field, message=f"{file} is empty")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        yield FieldError(field=field, message=f"{file} cannot be read: {reason}")


def _match_faults(match: Mapping[str, JsonValue], field: str, issuers: set[str]) -> Iterator[FieldError]:
    if match.get("issuer") not in issuers:
        yield FieldError(field=f"{field}.issuer", message="must be the name of one of `issuers`")
    claims = {name: pattern for name, pattern in match.items() if name != "issuer"}
    faults = [fault for name, pattern in claims.items() for fault in _pattern_faults(pattern, f"{field}.{name}", 1)]
    yield from faults
    if not faults and not any(_selects(pattern) for pattern in claims.values()):
        what = "must say what at least one claim has to be; otherwise everybody whom the issuer knows would be let in"
        yield FieldError(field=field, message=what)


def _pattern_faults(pattern: JsonValue, field: str, depth: int) -> Iterator[FieldError]:
    if depth > MAX_DEPTH:
        yield FieldError(field=field, message=f"is nested deeper than {MAX_DEPTH} levels")
    elif isinstance(pattern, dict | list):
        if not pattern:
            yield FieldError(field=field, message="is empty")
        for key, inner in pattern.items() if isinstance(pattern, dict) else enumerate(pattern):
            yield from _pattern_faults(inner, f"{field}.{key}", depth + 1)
    elif pattern is None or pattern == "" or isinstance(pattern, float):
        yield FieldError(field=field, message="must be a text, a whole number, true or false, or a list or map of such")


def _without_contains(policy: AccessPolicy) -> Iterator[str]:
    """Where a match names a claim that is a list as if it had one value, as was right until 0.1."""
    rules = {"users": policy.users, "workloads": policy.workloads}
    for kind, listed in rules.items():
        for number, rule in enumerate(listed):
            for name, pattern in rule.match.items():
                if name in _LISTS and not isinstance(pattern, dict):
                    yield f"{kind}.{number}.match.{name}"


def _selects(pattern: JsonValue) -> bool:
    """False when it lets through whatever the claim says."""
    if isinstance(pattern, list):
        return all(_selects(each) for each in pattern)
    if isinstance(pattern, dict):
        return any(_selects(each) for each in pattern.values())
    return not isinstance(pattern, str) or bool(pattern.strip("*"))
