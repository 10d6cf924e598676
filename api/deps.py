"""What routes work with: the services of one API process, put together by ``api.app`` and handed to each request.

Reads go to the readers and the stores; everything that changes a job goes through the orchestrator to its workflow (the
``creator`` makes the record of one that was just started), everything that changes a deployment, an environment or a
service through the releases.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final
from weakref import WeakValueDictionary

from fastapi import Depends
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from temporalio.converter import PayloadCodec

from activities.clock import Clock, epoch_millis
from activities.credentials.registry import CredentialRegistry
from activities.deployments.readers import DeploymentReader
from activities.jobs.readers import JobReader
from activities.jobs.writers import JobCreator
from activities.stores.interfaces import ArtifactStore, CredentialStore, EventStore, LogStore
from api.agents.fleet import Fleet
from api.agents.schemas import GatewayAddress
from api.auth.authenticator import Authenticator
from api.auth.remembered import Remembered
from api.claims.service import Claims
from api.http.metrics import Metrics
from api.sign_in.service import SignIn
from workflows.client.deployments import Deployments
from workflows.client.jobs import Orchestrator
from workflows.client.repairs import Repairs
from workflows.contracts.errors import NotFound
from workflows.contracts.ids import is_job_id
from workflows.contracts.services import EnvironmentName, ServiceName
from workflows.newest import Newest


class KnownJobs:
    """Ids of jobs that were seen to exist, so that each piece of a log does not cost a read. Records are never removed
    while anybody writes to them.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._ids: Newest[str, None] = Newest(capacity)

    def add(self, job_id: str) -> None:
        """Remember the id; the oldest is forgotten when there are too many."""
        self._ids[job_id] = None

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._ids


@dataclass(frozen=True, slots=True)
class Services:
    """One process's services.

    ``temporal``, ``releasing`` and ``repairing`` return the ways to the workflows, or raise Unavailable as long as
    Temporal was never reached. ``stopping`` is True once the process has been told to end; whoever streams without end
    then ends.
    ``agents.fleet`` knows the agents and pools; ``gateway`` is where agents elsewhere connect, when there is one.
    ``starting`` has a lock for each deployment that a request with a key is just starting.
    """

    authenticator: Authenticator
    credentials: CredentialStore
    access: CredentialRegistry
    audit: EventStore
    reader: JobReader
    creator: JobCreator
    deployments: DeploymentReader
    logs: LogStore
    artifacts: ArtifactStore
    temporal: Callable[[], Orchestrator]
    releasing: Callable[[], Deployments]
    repairing: Callable[[], Repairs]
    metrics: Metrics
    fleet: Fleet
    gateway: GatewayAddress | None = None
    codec: PayloadCodec | None = None
    environment: str = "development"
    sign_in: SignIn = field(default_factory=SignIn.by_key_only)
    claims: Claims = field(default_factory=Claims.unconfigured)
    clock: Clock = epoch_millis
    stopping: Callable[[], bool] = lambda: False
    deliveries: Remembered = field(default_factory=Remembered)
    known_jobs: KnownJobs = field(default_factory=KnownJobs)
    starting: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary[str, asyncio.Lock])

    @property
    def orchestrator(self) -> Orchestrator:
        """The way to the workflows of jobs. Raises Unavailable."""
        return self.temporal()

    @property
    def releases(self) -> Deployments:
        """The way to the workflows of deployments, environments and services. Raises Unavailable."""
        return self.releasing()

    @property
    def repairs(self) -> Repairs:
        """The way to workflows that cannot go on. Raises Unavailable."""
        return self.repairing()


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


async def known_deployment(deployment_id: str) -> str:
    """A well-formed deployment id; there can be no deployment of any other. Raises NotFound."""
    if not is_job_id(deployment_id):
        raise NotFound(f"There is no deployment {deployment_id[:64]!r}: a deployment id is a UUID in lower case.")
    return deployment_id


async def known_service(name: str) -> str:
    """A well-formed service name; there can be no service of any other. Raises NotFound."""
    if not _fits(_SERVICE_NAME, name):
        raise NotFound(f"There is no service {name[:64]!r}: a name has lower-case letters, digits and '-', at most 48.")
    return name


async def known_environment(environment: str) -> str:
    """A well-formed name of an environment. Raises NotFound."""
    if not _fits(_ENVIRONMENT_NAME, environment):
        raise NotFound(
            f"There is no environment {environment[:64]!r}: a name has lower-case letters, digits and '-', at most 32."
        )
    return environment


async def known_redrive(redrive_id: str) -> str:
    """A well-formed id of a bulk redrive. Raises NotFound."""
    if not is_job_id(redrive_id):
        raise NotFound(f"There is no bulk redrive {redrive_id[:64]!r}: its id is a UUID in lower case.")
    return redrive_id


def _fits(kind: TypeAdapter[str], text: str) -> bool:
    try:
        kind.validate_python(text)
    except ValidationError:
        return False
    return True


_SERVICE_NAME: Final = TypeAdapter[str](ServiceName)
_ENVIRONMENT_NAME: Final = TypeAdapter[str](EnvironmentName)
ServicesDep = Annotated[Services, Depends(provide_services)]
JobId = Annotated[str, Depends(known_id)]
DeploymentId = Annotated[str, Depends(known_deployment)]
KnownService = Annotated[str, Depends(known_service)]
KnownEnvironment = Annotated[str, Depends(known_environment)]
RedriveId = Annotated[str, Depends(known_redrive)]
