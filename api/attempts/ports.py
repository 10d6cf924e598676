"""What agents deliver to, and where it is read again."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.auth.ports import AuthPorts
from api.ports import HasArtifacts, HasLogs, provided


class AttemptPorts(AuthPorts, HasLogs, HasArtifacts, Protocol):
    """Attempts' logs and files."""


AttemptPortsDep = Annotated[AttemptPorts, Depends(provided)]
