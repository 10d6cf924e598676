"""What reading the audit trail needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.audit.tail import Tail
from api.auth.ports import AuthPorts
from api.ports import HasEnvironmentName, provided


class HasTail(Protocol):
    """The end of the feed."""

    @property
    def tail(self) -> Tail: ...


class AuditPorts(AuthPorts, HasEnvironmentName, HasTail, Protocol):
    """The trail, the time, the end of the feed, and for followers whether they are still known."""


AuditPortsDep = Annotated[AuditPorts, Depends(provided)]
