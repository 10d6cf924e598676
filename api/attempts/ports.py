"""What agents deliver to, and where it is read again."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.attempts.late import EndedLogs
from api.auth.ports import AuthPorts
from api.logs.ports import HasCompactor
from api.ports import HasArtifacts, HasLogs, provided


class AttemptPorts(AuthPorts, HasLogs, HasCompactor, HasArtifacts, Protocol):
    """Attempts' logs and files. ``ended_logs``: whose last piece this process has taken."""

    @property
    def ended_logs(self) -> EndedLogs: ...


AttemptPortsDep = Annotated[AttemptPorts, Depends(provided)]
