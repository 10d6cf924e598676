"""What routes work with: the services of one API process, put together by ``api.app`` and handed to each request.

Reads go to the reader and the stores; everything that changes a job goes through the orchestrator to its workflow.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from activities.chains.readers import JobReader
from activities.clock import Clock, epoch_millis
from activities.stores.interfaces import ArtifactStore, LogStore
from api.auth.keys import KeyRing
from api.metrics import Metrics
from workflows.client import Orchestrator
from workflows.contracts.errors import NotFound
from workflows.contracts.ids import is_job_id


class KnownJobs:
    """Ids of jobs that were seen to exist, so that each piece of a log does not cost a read. Records are never removed
    while anybody writes to them.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._ids: dict[str, None] = {}
        self._capacity = capacity

    def add(self, job_id: str) -> None:
        """Remember the id; the oldest is forgotten when there are too many."""
        self._ids[job_id] = None
        if len(self._ids) > self._capacity:
            del self._ids[next(iter(self._ids))]

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._ids


@dataclass(frozen=True, slots=True)
class Services:
    """One process's services.

    ``temporal`` returns the orchestrator, or raises Unavailable as long as Temporal was never reached. ``stopping``
    is True once the process has been told to end; whoever streams without end then ends.
    """

    keys: KeyRing
    reader: JobReader
    logs: LogStore
    artifacts: ArtifactStore
    temporal: Callable[[], Orchestrator]
    metrics: Metrics
    environment: str = "development"
    clock: Clock = epoch_millis
    stopping: Callable[[], bool] = lambda: False
    known_jobs: KnownJobs = field(default_factory=KnownJobs)

    @property
    def orchestrator(self) -> Orchestrator:
        """The way to the workflows. Raises Unavailable."""
        return self.temporal()


def services_of(request: Request) -> Services:
    """The services of the process that handles this request."""
    services = request.app.state.services
    if not isinstance(services, Services):
        raise TypeError("the application was started without services")
    return services


async def provide_services(request: Request) -> Services:
    """``services_of`` as a coroutine: FastAPI would run a plain function in a thread."""
    return services_of(request)


async def known_id(job_id: str) -> str:
    """A well-formed job id; there can be no job of any other. Raises NotFound."""
    if not is_job_id(job_id):
        raise NotFound(f"There is no job {job_id[:64]!r}: a job id is a UUID in lower case.")
    return job_id


async def known_redrive(redrive_id: str) -> str:
    """A well-formed id of a bulk redrive. Raises NotFound."""
    if not is_job_id(redrive_id):
        raise NotFound(f"There is no bulk redrive {redrive_id[:64]!r}: its id is a UUID in lower case.")
    return redrive_id


ServicesDep = Annotated[Services, Depends(provide_services)]
JobId = Annotated[str, Depends(known_id)]
RedriveId = Annotated[str, Depends(known_redrive)]
