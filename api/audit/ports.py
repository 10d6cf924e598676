"""What reading the audit trail needs, and verifying it and reporting on it."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Protocol

from fastapi import Depends

from activities.stores.interfaces.evidence import EvidenceStore
from api.audit.tail import Tail
from api.auth.ports import AuthPorts
from api.ports import HasAudit, HasDeploymentReader, HasEnvironmentName, HasStopping, provided


class HasTail(Protocol):
    """The end of the feed."""

    @property
    def tail(self) -> Tail: ...


class AuditPorts(AuthPorts, HasEnvironmentName, HasTail, Protocol):
    """The trail, the time, the end of the feed, and for followers whether they are still known."""


AuditPortsDep = Annotated[AuditPorts, Depends(provided)]


class HasEvidence(Protocol):
    """The trail as it lies there, and its seals."""

    @property
    def evidence(self) -> EvidenceStore: ...


class HasSealKeys(Protocol):
    """The public keys by which seals are verified, by their ids; None: those that the seals name."""

    @property
    def seal_keys(self) -> Mapping[str, str] | None: ...


class HasVerifying(Protocol):
    """Held by the one verification that this process makes at a time."""

    @property
    def verifying(self) -> asyncio.Lock: ...


class EvidencePorts(
    AuthPorts, HasAudit, HasDeploymentReader, HasEvidence, HasSealKeys, HasStopping, HasVerifying, Protocol
):
    """The trail and its seals, the records that it tells of, the keys."""


EvidencePortsDep = Annotated[EvidencePorts, Depends(provided)]
