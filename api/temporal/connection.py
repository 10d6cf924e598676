"""The API's connection to Temporal: tried until it stands, so that the API starts, answers and says so without it.

Once made, the connection repairs itself; only the first one needs this.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Final

from temporalio.client import Client

from api.temporal.task_queues import TaskQueues
from workflows.client.deployments import DeploymentClient
from workflows.client.jobs import JobClient, connect
from workflows.client.proving import Prover
from workflows.client.repairs import RepairClient
from workflows.client.storage import StorageClient
from workflows.client.tasks import TaskClient
from workflows.contracts.errors import Unavailable

logger = logging.getLogger(__name__)

_Ways = tuple[JobClient, DeploymentClient, TaskQueues, Client, RepairClient, TaskClient, StorageClient]
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 3.0


async def connect_as_api() -> Client:
    """A connection named after this process, as the Temporal UI shows it. Raises RuntimeError."""
    return await connect(identity=f"api-{os.getpid()}")


class TemporalConnection:
    """Holds the ways to the workflows once there is a connection. Each raises Unavailable until then."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Client]] = connect_as_api,
        prover: Prover | None = None,
        dashboard: str | None = None,
    ) -> None:
        self._connect, self._prover, self._dashboard = connect, prover, dashboard
        self._made: _Ways | None = None

    def job_client(self) -> JobClient:
        """The way to the workflows of jobs."""
        return self._connected()[0]

    def deployment_client(self) -> DeploymentClient:
        """The way to the workflows of deployments, environments and services."""
        return self._connected()[1]

    def queues(self) -> TaskQueues:
        """The way to the numbers of task queues."""
        return self._connected()[2]

    def client(self) -> Client:
        """The connection itself, for raw calls."""
        return self._connected()[3]

    def repair_client(self) -> RepairClient:
        """The way to workflows that cannot go on."""
        return self._connected()[4]

    def task_client(self) -> TaskClient:
        """The way to what agents answer besides their jobs."""
        return self._connected()[5]

    def storage_client(self) -> StorageClient:
        """The way to sweeps."""
        return self._connected()[6]

    async def keep_trying(self) -> None:
        """Try to connect until it works. Ends then; cancel it to give up."""
        pause = _FIRST_PAUSE
        while self._made is None:
            try:
                client = await self._connect()
            except Exception as error:  # the SDK's RuntimeError as a rule; an API that gave up silently helps nobody
                logger.warning("Temporal does not answer; trying again", extra={"error": str(error), "seconds": pause})
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self._made = (
                    JobClient(client, self._prover, self._dashboard),
                    DeploymentClient(client, self._prover, self._dashboard),
                    TaskQueues(client),
                    client,
                    RepairClient(client, self._prover),
                    TaskClient(client, self._prover),
                    StorageClient(client, self._prover),
                )
        logger.info("connected to Temporal")

    def _connected(self) -> _Ways:
        if self._made is None:
            raise Unavailable("Temporal has not answered since this API started; it keeps trying. Is Temporal running?")
        return self._made
