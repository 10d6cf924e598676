"""Who is asking, and how far their grants reach.

Deliberately not here: how somebody is known (``authenticator``) and what a route asks for (``permissions``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from api.identity.people import Bearer
from workflows.contracts.access import ROLE_OPERATIONS, AdmittedBy, Credential, CredentialKind, Grant, Operation, Role

_MACHINES: Final = frozenset({CredentialKind.TOKEN, CredentialKind.AGENT})
_HIGHEST_FIRST: Final = (Role.ADMIN, Role.OPERATOR, Role.APPROVER, Role.DEVELOPER, Role.VIEWER, Role.AGENT)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. ``id`` goes into records (``created_by``): it is how they are displayed, and not unique.

    ``credential_id`` is None for the keys of the configuration. ``agent_id`` is set when it is one registered agent.
    ``owner``, ``names``, ``machine`` and ``maker`` say who it is (``api.identity.people``); ``key_id`` is the key that
    it is, or that opened it. ``admission``: the ID token behind it, if any.
    """

    id: str
    kind: CredentialKind
    grants: tuple[Grant, ...]
    credential_id: str | None = None
    agent_id: str | None = None
    csrf_digest: str | None = field(default=None, repr=False)
    owner: str | None = None
    names: tuple[str, ...] = ()
    machine: bool = False
    maker: str | None = None
    makers: tuple[str, ...] = ()
    key_id: str | None = None
    admission: AdmittedBy | None = field(default=None, repr=False)

    @classmethod
    def of(cls, credential: Credential, grants: Sequence[Grant] | None = None) -> "Principal":
        """Whom a credential stands for; ``grants``: what of its own it may use now, None for all."""
        return cls(
            id=credential.subject,
            kind=credential.kind,
            grants=tuple(credential.grants if grants is None else grants),
            credential_id=credential.credential_id,
            agent_id=credential.agent_id,
            csrf_digest=credential.csrf_digest,
            owner=credential.owner,
            names=tuple(credential.names),
            machine=credential.machine or credential.kind in _MACHINES,
            maker=credential.maker,
            makers=tuple(credential.makers),
            key_id=_key_of(credential),
            admission=credential.admission,
        )

    @classmethod
    def everywhere(cls, name: str, role: Role, *, owner: str | None = None, machine: bool = False) -> "Principal":
        """Somebody of this role without limits: a key of the configuration, a webhook."""
        grants = (Grant(role=role),)
        return cls(id=name, kind=CredentialKind.KEY, grants=grants, owner=owner or name, machine=machine)

    @property
    def bearer(self) -> Bearer:
        """What the identity map has to know."""
        own = self.credential_id if self.kind is CredentialKind.KEY else None
        return Bearer(self.id, self.key_id, own, self.owner, self.names, self.machine, self.maker, self.makers)

    @property
    def scope(self) -> str:
        """Whose idempotency keys these are: of a key, however often it is replaced, and of nobody of the same name."""
        if self.key_id is not None:
            return f"{self.id}#{self.key_id}"
        return self.owner or self.id

    @property
    def role(self) -> Role | None:
        """The highest of the roles, for the audit trail."""
        held = {grant.role for grant in self.grants}
        return next((role for role in _HIGHEST_FIRST if role in held), None)

    @property
    def pool(self) -> str | None:
        """The one pool of a registered agent's token."""
        pools = {pool for grant in self.grants for pool in grant.pools or ()}
        return next(iter(pools)) if self.agent_id is not None and len(pools) == 1 else None

    def may(self, operation: Operation, *, service: str | None = None, pool: str | None = None) -> bool:
        """True when a grant allows the operation: with neither service nor pool, anywhere at all.

        With one of them, for what belongs to it: a grant that is limited to pools covers nothing that has no pool, and
        so with services.
        """
        anywhere = service is None and pool is None
        return any(
            grant.allows(operation) and (anywhere or (_within(grant.services, service) and _within(grant.pools, pool)))
            for grant in self.grants
        )

    def unlimited(self, operation: Operation) -> bool:
        """True when a grant allows the operation for every service and pool."""
        return any(grant.allows(operation) and grant.services is None and grant.pools is None for grant in self.grants)

    def holds(self, wanted: Grant) -> bool:
        """True when nothing in ``wanted`` goes further than what is held: nobody can give away more than they have."""
        return all(
            any(
                held.allows(operation) and _covers(held.services, wanted.services) and _covers(held.pools, wanted.pools)
                for held in self.grants
            )
            for operation in ROLE_OPERATIONS[wanted.role]
            if wanted.allows(operation)
        )


def _key_of(credential: Credential) -> str | None:
    """The key that it is, or that opened it."""
    if credential.kind is CredentialKind.KEY:
        return credential.origin_id or credential.credential_id
    return credential.parent_id


def _within(names: list[str] | None, name: str | None) -> bool:
    return names is None or name in names


def _covers(held: list[str] | None, wanted: list[str] | None) -> bool:
    return held is None or (wanted is not None and set(wanted) <= set(held))
