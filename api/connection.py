"""The API's connection to Temporal: tried until it stands, so that the API starts, answers and says so without it.

Once made, the connection repairs itself; only the first one needs this.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Final

from temporalio.client import Client

from workflows.client import Orchestrator, connect
from workflows.contracts.errors import Unavailable

logger = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 3.0


async def connect_as_api() -> Client:
    """A connection named after this process, as the Temporal UI shows it. Raises RuntimeError."""
    return await connect(identity=f"api-{os.getpid()}")


class TemporalConnection:
    """Holds the orchestrator once there is one."""

    def __init__(self, connect: Callable[[], Awaitable[Client]] = connect_as_api) -> None:
        self._connect = connect
        self._orchestrator: Orchestrator | None = None

    def __call__(self) -> Orchestrator:
        """The orchestrator. Raises Unavailable as long as Temporal was never reached."""
        if self._orchestrator is None:
            raise Unavailable("Temporal has not answered since this API started; it keeps trying. Is Temporal running?")
        return self._orchestrator

    async def keep_trying(self) -> None:
        """Try to connect until it works. Ends then; cancel it to give up."""
        pause = _FIRST_PAUSE
        while self._orchestrator is None:
            try:
                self._orchestrator = Orchestrator(await self._connect())
            except RuntimeError as error:  # what the SDK raises for every kind of failed connection
                logger.warning("Temporal does not answer; trying again", extra={"error": str(error), "seconds": pause})
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        logger.info("connected to Temporal")
