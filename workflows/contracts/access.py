"""Who may do what: roles, operations, grants, and the credentials that stand for somebody.

Deliberately not here: which route asks for which operation (``api.auth.permissions``), how a secret is checked
(``api.auth``). No secret is ever part of these models, only its digest. Times are epoch milliseconds.
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, JsonValue, StringConstraints

from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.fields import Millis, Name, ShortLine
from workflows.contracts.identity.people import Owner

SESSION_TTL_SECONDS: Final = 86_400
MAX_SESSION_SECONDS: Final = 30 * 86_400


class Role(StrEnum):
    """What people and machines are here for."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"
    AGENT = "agent"


class Operation(StrEnum):
    """What may be allowed or not. A route asks for exactly one."""

    READ = "read"
    JOBS_SUBMIT = "jobs:submit"  # submit, retry, cancel
    JOBS_OPERATE = "jobs:operate"  # amend, complete, dead letters, maintenance
    DEPLOYMENTS_START = "deployments:start"  # start, cancel
    DEPLOYMENTS_REPORT = "deployments:report"  # metrics, what another CI did
    DEPLOYMENTS_APPROVE = "deployments:approve"  # approve, reject
    DEPLOYMENTS_OPERATE = "deployments:operate"  # roll back, resume, holds, freezes
    SERVICES_WRITE = "services:write"  # steps and the like; what is policy of it asks for the next as well
    SERVICES_POLICY = "services:policy"  # approvals, freezes, pools, limits, order of environments, rollback, ref
    AGENTS_OPERATE = "agents:operate"  # drain, pause, deregister, scale
    TASKS_ASK = "tasks:ask"  # ask a pool's agents: ancestry, files at a commit, metrics
    AGENT_WORK = "agent:work"  # register, heartbeat, claim, deliver
    AUDIT_READ = "audit:read"
    CODEC_USE = "codec:use"
    WEBHOOKS_READ = "webhooks:read"  # what other tools sent, with its bodies
    WEBHOOKS_REPLAY = "webhooks:replay"  # do it once more, with the rights of the tool
    STORAGE_READ = "storage:read"  # what takes how much, what the policy is
    STORAGE_SWEEP = "storage:sweep"  # remove now what is older than the policy says
    ACCESS_MANAGE = "access:manage"  # keys, others' sessions
    ACT_FOR = "act:for"  # name somebody else in `by`


_DEVELOPER: Final = {
    Operation.READ,
    Operation.JOBS_SUBMIT,
    Operation.DEPLOYMENTS_START,
    Operation.DEPLOYMENTS_REPORT,
}
ROLE_OPERATIONS: Final = {
    Role.VIEWER: frozenset({Operation.READ}),
    Role.DEVELOPER: frozenset(_DEVELOPER),
    Role.OPERATOR: frozenset(
        _DEVELOPER
        | {
            Operation.JOBS_OPERATE,
            Operation.DEPLOYMENTS_OPERATE,
            Operation.SERVICES_WRITE,
            Operation.SERVICES_POLICY,
            Operation.AGENTS_OPERATE,
            Operation.TASKS_ASK,
            Operation.AUDIT_READ,
            Operation.CODEC_USE,
            Operation.WEBHOOKS_READ,
            Operation.WEBHOOKS_REPLAY,
            Operation.STORAGE_READ,
            Operation.STORAGE_SWEEP,
        }
    ),
    Role.APPROVER: frozenset({Operation.READ, Operation.DEPLOYMENTS_APPROVE}),
    Role.ADMIN: frozenset(Operation),
    Role.AGENT: frozenset({Operation.AGENT_WORK}),
}


class Grant(Frozen):
    """A role, everywhere or only for some services or pools, in full or only some of its operations.

    None means all. A grant that names services says nothing about what belongs to no service, and so with pools.
    """

    role: Role
    services: list[Name] | None = Field(default=None, min_length=1, max_length=100)
    pools: list[Name] | None = Field(default=None, min_length=1, max_length=100)
    operations: list[Operation] | None = Field(default=None, min_length=1, max_length=len(Operation))

    def allows(self, operation: Operation) -> bool:
        """True when the operation is the role's and is not left out, wherever."""
        narrowed = self.operations is None or operation in self.operations
        return narrowed and operation in ROLE_OPERATIONS[self.role]


class CredentialKind(StrEnum):
    """What a presented secret is."""

    KEY = "key"  # made by an admin, for CI and agents
    SESSION = "session"  # a person's browser
    TOKEN = "token"  # noqa: S105 - a kind; exchanged for a workload's identity, short-lived
    AGENT = "agent"  # of one registered agent


class AdmittedBy(Tolerant):
    """By which ID token somebody was let in: what the access policy is asked again, as long as the credential lives.

    ``issuer``: its name in the policy; ``claims``: of the token, as far as a policy can compare them. ``workload``: the
    name of the rule by which a workload got its token; None for people.
    """

    issuer: str
    claims: dict[str, JsonValue]
    workload: str | None = None


class Credential(Tolerant):
    """What is kept of a secret that was handed out. ``digest`` is SHA-256 of the secret, in hexadecimal.

    ``replaced_by``: it was rotated and works until ``expires_at``. ``parent_id``: it was opened with that key and ends
    with it. ``revision`` grows with each write.

    ``owner``: the subject whose it is; None for a key of before keys had owners, which owns itself until it is claimed.
    ``names``: further names that are certainly the owner's. ``maker``: the person who made it and saw the secret.
    ``makers``: who made or replaced it before that, who claimed it, and who made the keys of these.
    ``origin_id``: the first of the keys that it replaces, one after the other.

    ``signed_out``: it was ended (``revoked_at``) by whoever used it, who was done with it; nobody took it away.

    ``admission``: the ID token behind it, directly or by what it was made with; it may do no more than the access
    policy gives that token's claims at the moment. None: no ID token, or it is of before this was kept.
    """

    credential_id: str
    kind: CredentialKind
    digest: str
    subject: str
    name: str = ""
    grants: list[Grant]
    created_at: Millis
    created_by: str = ""
    expires_at: Millis | None = None
    revoked_at: Millis | None = None
    signed_out: bool = Field(default=False, exclude_if=lambda value: not value)
    last_used_at: Millis | None = None
    replaced_by: str | None = None
    agent_id: str | None = None
    csrf_digest: str | None = None
    parent_id: str | None = None
    owner: str | None = None
    names: list[str] = Field(default_factory=list[str])
    machine: bool = False
    maker: str | None = None
    makers: list[str] = Field(default_factory=list[str])
    origin_id: str | None = None
    admission: AdmittedBy | None = Field(default=None, exclude_if=lambda value: value is None)
    revision: int = 1


class CredentialPage(Tolerant):
    """One page of credentials, newest first."""

    items: list[Credential]
    next_cursor: str | None = None


class KeyRequest(Frozen):
    """``POST /api/access/keys``. ``expires_seconds`` None: until it is revoked.

    ``owner``: whose it is, as the access policy knows them (an id, an address, a login); by default whoever makes it.
    ``machine``: nobody's in person; its owner, if any, answers for it.
    """

    name: Annotated[ShortLine, StringConstraints(min_length=1)]
    grants: list[Grant] = Field(min_length=1, max_length=20)
    expires_seconds: int | None = Field(default=None, ge=60, le=10 * 365 * 86_400)
    owner: Owner | None = Field(default=None, description="Whose it is. Default: whoever makes it.")
    machine: bool = Field(default=False, description="Nobody's in person: it approves where a service allows machines.")


class Validated(Tolerant):
    """``POST /auth/validate``: whom the presented credential stands for. The gateway lives on this answer."""

    subject: str
    kind: CredentialKind
    grants: list[Grant]
    agent_id: str | None = None
    pool: str | None = None
    expires_at: Millis | None = None
