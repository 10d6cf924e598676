"""What reading logs needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.ports import HasClock, HasJobReader, HasLogs, HasStopping, provided


class LogPorts(HasLogs, HasJobReader, HasClock, HasStopping, Protocol):
    """Logs, and the records that say whether one is whole."""


LogPortsDep = Annotated[LogPorts, Depends(provided)]
