"""What the parts of the API may need of their process, one capability each: its type, and nothing of how it is made.

Each slice names the ones that it needs in its own ``ports``; ``api.app`` puts one process's services together, and they
fit all of them. So a slice's tests give it three fakes and not twenty, and a reader sees what it can reach.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakValueDictionary

from starlette.requests import Request
from temporalio.converter import PayloadCodec

from activities.clock import Clock
from activities.credentials.registry import CredentialRegistry
from activities.deployments.readers import DeploymentReader
from activities.jobs.readers import JobReader
from activities.jobs.writers import JobCreator
from activities.metrics.registry import MetricRegistry
from activities.stores.interfaces.artifacts import ArtifactStore
from activities.stores.interfaces.credentials import CredentialStore
from activities.stores.interfaces.deliveries import DeliveryStore
from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.logs import LogStore
from api.http.metrics import Metrics
from api.identity.pools import PoolRule
from workflows.client.deployments import DeploymentClient
from workflows.client.jobs import JobClient
from workflows.client.repairs import RepairClient
from workflows.client.tasks import TaskClient


class HasClock(Protocol):
    """Epoch milliseconds."""

    @property
    def clock(self) -> Clock: ...


class HasEnvironmentName(Protocol):
    """The name of this installation: development, production."""

    @property
    def environment(self) -> str: ...


class HasJobReader(Protocol):
    """Jobs' records."""

    @property
    def reader(self) -> JobReader: ...


class HasJobCreator(Protocol):
    """The record of a job that was just started."""

    @property
    def creator(self) -> JobCreator: ...


class HasDeploymentReader(Protocol):
    """Records of deployments, environments, services and events."""

    @property
    def deployments(self) -> DeploymentReader: ...


class HasMeasured(Protocol):
    """What was measured of deployments, to keep, judge and look at."""

    @property
    def measured(self) -> MetricRegistry: ...


class HasAudit(Protocol):
    """The audit trail."""

    @property
    def audit(self) -> EventStore: ...


class HasWebhookDeliveries(Protocol):
    """What webhooks sent, as it is kept."""

    @property
    def webhook_deliveries(self) -> DeliveryStore: ...


class HasLogs(Protocol):
    """Logs of attempts."""

    @property
    def logs(self) -> LogStore: ...


class HasArtifacts(Protocol):
    """Files of attempts."""

    @property
    def artifacts(self) -> ArtifactStore: ...


class HasCredentials(Protocol):
    """Keys, sessions and tokens, to look up."""

    @property
    def credentials(self) -> CredentialStore: ...


class HasAccess(Protocol):
    """Keys, sessions and tokens, to change."""

    @property
    def access(self) -> CredentialRegistry: ...


class HasJobClient(Protocol):
    """The way to the workflows of jobs. Raises Unavailable as long as Temporal was never reached."""

    @property
    def job_client(self) -> JobClient: ...


class HasDeploymentClient(Protocol):
    """The way to the workflows of deployments, environments and services. Raises Unavailable likewise."""

    @property
    def deployment_client(self) -> DeploymentClient: ...


class HasRepairClient(Protocol):
    """The way to workflows that cannot go on. Raises Unavailable likewise."""

    @property
    def repair_client(self) -> RepairClient: ...


class HasTaskClient(Protocol):
    """The way to what agents answer besides their jobs. Raises Unavailable likewise."""

    @property
    def task_client(self) -> TaskClient: ...


class HasCodec(Protocol):
    """The payload codec, when there is one."""

    @property
    def codec(self) -> PayloadCodec | None: ...


class HasMetrics(Protocol):
    """What Prometheus reads."""

    @property
    def metrics(self) -> Metrics: ...


class HasStopping(Protocol):
    """True once the process has been told to end; whoever streams without end then ends."""

    def stopping(self) -> bool: ...


class HasPoolRules(Protocol):
    """What the access policy says that pools are for."""

    @property
    def pool_rules(self) -> Sequence[PoolRule]: ...


class HasTemporalUi(Protocol):
    """Where the Temporal UI shows workflows; None: nobody said."""

    @property
    def temporal_workflows(self) -> str | None: ...


class HasStarting(Protocol):
    """A lock for each deployment that a request with a key is just starting."""

    @property
    def starting(self) -> WeakValueDictionary[str, asyncio.Lock]: ...


async def provided(request: Request) -> Any:
    """The services of the process that handles this request, as whatever ports the route names.

    A coroutine: FastAPI would run a plain function in a thread.
    """
    return services_of(request)


def services_of(request: Request) -> Any:
    """See ``provided``."""
    services = getattr(request.app.state, "services", None)
    if services is None:
        raise TypeError("the application was started without services")
    return services
