"""What reading the audit trail needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.ports import HasClock, HasDeploymentReader, provided


class AuditPorts(HasDeploymentReader, HasClock, Protocol):
    """The trail and the time."""


AuditPortsDep = Annotated[AuditPorts, Depends(provided)]
