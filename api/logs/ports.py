"""What reading logs needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.logs.compactor import LogCompactor
from api.ports import HasClock, HasJobReader, HasLogs, HasStopping, provided


class HasCompactor(Protocol):
    """What makes few pieces of many."""

    @property
    def compactor(self) -> LogCompactor: ...


class LogPorts(HasLogs, HasJobReader, HasClock, HasStopping, HasCompactor, Protocol):
    """Logs, and the records that say whether one is whole."""


LogPortsDep = Annotated[LogPorts, Depends(provided)]
