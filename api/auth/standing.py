"""What a credential may do by the access policy of now. Pure.

Whoever was let in by an ID token may do what the policy gave the token's claims then and still gives them: a rule that
is taken out or narrowed ends it, in each process that has the new policy, and also what was made with such a credential
(the token of an agent that registered with it). Nobody gets more than they were let in with: they can sign in again.
Deliberately not here: whether the credential itself has ended (``authenticator``), and what is given at first
(``sessions``, ``workloads``).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from api.identity.policy import AccessPolicy
from workflows.contracts.access import ROLE_OPERATIONS, AdmittedBy, Credential, CredentialKind, Grant, Operation

SUBJECT_PREFIX: Final = "workload/"
"""A person's name is an address or begins with ``<issuer>:``, so a workload is never taken for one."""


def grants_now(credential: Credential, policy: AccessPolicy) -> tuple[Grant, ...]:
    """Those of its grants that it may use; none: it is over."""
    given = _of_before(credential, policy) if credential.admission is None else _given(credential.admission, policy)
    return tuple(credential.grants) if given is None else _common(credential.grants, given)


def _given(admission: AdmittedBy, policy: AccessPolicy) -> list[Grant]:
    """What the policy gives the claims, if it still trusts their issuer and wants tokens for this audience."""
    claims = admission.claims
    issuer = next((each for each in policy.issuers if each.name == admission.issuer), None)
    said = claims.get("aud")
    audiences = [each for each in said if isinstance(each, str)] if isinstance(said, list) else [said]
    if issuer is None or claims.get("iss") != issuer.issuer or issuer.audiences.isdisjoint(audiences):
        return []
    if admission.workload is None:
        return policy.grants_of_person(issuer.name, claims)
    rules = policy.workloads_of(issuer.name, claims)
    return [grant for rule in rules if rule.name == admission.workload for grant in rule.grants]


def _of_before(credential: Credential, policy: AccessPolicy) -> list[Grant] | None:
    """Of before ID tokens' claims were kept: a person's session is over, since nobody can tell what it may do; of a
    workload's token its rule is known by name. None: nothing of the policy is behind it.
    """
    if credential.kind is CredentialKind.SESSION and credential.parent_id is None:
        return [] if any(sign in credential.subject for sign in "@:") else None  # else of a key of the configuration
    if credential.kind is CredentialKind.TOKEN:
        name = credential.subject.removeprefix(SUBJECT_PREFIX)
        return [grant for rule in policy.workloads if rule.name == name for grant in rule.grants]
    return None


def _common(ones: Sequence[Grant], others: Sequence[Grant]) -> tuple[Grant, ...]:
    """What both allow, without what another of these covers."""
    found: list[Grant] = []
    for one in ones:
        for each in [one] if one in others else [both for other in others for both in _both(one, other)]:
            if not any(_within(each, wider) for wider in found):
                found = [*(narrower for narrower in found if not _within(narrower, each)), each]
    return tuple(found)


def _both(one: Grant, other: Grant) -> Iterable[Grant]:
    """What both grants allow, as one: in the role that has less, so that nobody is told as more than they are now."""
    operations = [each for each in Operation if one.allows(each) and other.allows(each)]
    services, pools = _shared(one.services, other.services), _shared(one.pools, other.pools)
    if not operations or services == [] or pools == []:
        return
    role = min(one.role, other.role, key=lambda each: len(ROLE_OPERATIONS[each]))
    whole = ROLE_OPERATIONS[role] == frozenset(operations)
    yield Grant(role=role, services=services, pools=pools, operations=None if whole else operations)


def _shared(ones: list[str] | None, others: list[str] | None) -> list[str] | None:
    """None is everything."""
    if ones is None or others is None:
        return others if ones is None else ones
    return [each for each in ones if each in others]


def _within(narrow: Grant, wide: Grant) -> bool:
    operations = all(wide.allows(each) for each in Operation if narrow.allows(each))
    return operations and _covers(wide.services, narrow.services) and _covers(wide.pools, narrow.pools)


def _covers(wide: list[str] | None, narrow: list[str] | None) -> bool:
    return wide is None or (narrow is not None and set(narrow) <= set(wide))
