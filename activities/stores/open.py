"""Opens the stores a process needs from its settings: one place that knows which implementations there are."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from activities.stores.dynamo.agents import DynamoAgentStore
from activities.stores.dynamo.bans import DynamoBanStore
from activities.stores.dynamo.client import AwsClients, RequestWatcher
from activities.stores.dynamo.creation import create_tables
from activities.stores.dynamo.credentials import DynamoCredentialStore
from activities.stores.dynamo.deliveries import DynamoDeliveryStore
from activities.stores.dynamo.deployments import DynamoDeploymentStore
from activities.stores.dynamo.environments import DynamoEnvironmentStore
from activities.stores.dynamo.events import DynamoEventStore
from activities.stores.dynamo.evidence import DynamoEvidenceStore
from activities.stores.dynamo.jobs import DynamoJobStore
from activities.stores.dynamo.line import DynamoLineStore
from activities.stores.dynamo.metrics import DynamoMetricStore
from activities.stores.dynamo.services import DynamoServiceStore
from activities.stores.dynamo.table import (
    AgentTables,
    CredentialTables,
    DeliveryTables,
    DeploymentTables,
    JobTables,
    MetricTables,
)
from activities.stores.interfaces.agents import AgentStore
from activities.stores.interfaces.artifacts import ArtifactStore
from activities.stores.interfaces.credentials import CredentialStore
from activities.stores.interfaces.deliveries import DeliveryStore
from activities.stores.interfaces.deployments import DeploymentStore
from activities.stores.interfaces.environments import EnvironmentStore, LineStore
from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.evidence import EvidenceStore
from activities.stores.interfaces.jobs import JobStore
from activities.stores.interfaces.logs import LogStore
from activities.stores.interfaces.metrics import MetricStore
from activities.stores.interfaces.services import BanStore, ServiceStore
from activities.stores.interfaces.storage import StorageStore
from activities.stores.memory.agents import MemoryAgentStore
from activities.stores.memory.artifacts import MemoryArtifactStore
from activities.stores.memory.bans import MemoryBanStore
from activities.stores.memory.credentials import MemoryCredentialStore
from activities.stores.memory.deliveries import MemoryDeliveryStore
from activities.stores.memory.deployments import MemoryDeploymentStore
from activities.stores.memory.environments import MemoryEnvironmentStore
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.evidence import MemoryEvidenceStore
from activities.stores.memory.jobs import MemoryJobStore
from activities.stores.memory.line import MemoryLineStore
from activities.stores.memory.logs import MemoryLogStore
from activities.stores.memory.metrics import MemoryMetricStore
from activities.stores.memory.services import MemoryServiceStore
from activities.stores.memory.storage import MemoryStorageStore
from activities.stores.s3.artifacts import S3ArtifactStore, create_bucket
from activities.stores.s3.logs import S3LogStore
from activities.stores.settings import StoreSettings
from activities.stores.storage import AwsStorageStore


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one process. ``prepare`` creates what is missing, see ``ensure_schema``. ``close`` when they are no
    longer used: it waits for calls under way. ``watch``: who is told of each request to AWS, before the first one.
    """

    jobs: JobStore
    logs: LogStore
    artifacts: ArtifactStore
    deployments: DeploymentStore
    services: ServiceStore
    bans: BanStore
    environments: EnvironmentStore
    line: LineStore
    events: EventStore
    evidence: EvidenceStore
    credentials: CredentialStore
    agents: AgentStore
    deliveries: DeliveryStore
    metrics: MetricStore
    storage: StorageStore
    prepare: Callable[[], Awaitable[None]]
    close: Callable[[], None]
    watch: Callable[[RequestWatcher], None] = lambda _: None


def open_stores(settings: StoreSettings) -> Stores:
    """Stores on DynamoDB and S3. Connects at the first call, not here; creates nothing (see ``ensure_schema``)."""
    clients = AwsClients(settings)
    tables = DeploymentTables.of(settings)
    return Stores(
        jobs=DynamoJobStore(clients, JobTables.of(settings)),
        logs=S3LogStore(clients, settings.bucket),
        artifacts=S3ArtifactStore(clients, settings.bucket),
        deployments=DynamoDeploymentStore(clients, tables),
        services=DynamoServiceStore(clients, tables),
        bans=DynamoBanStore(clients, tables),
        environments=DynamoEnvironmentStore(clients, tables),
        line=DynamoLineStore(clients, tables),
        events=DynamoEventStore(clients, tables.events),
        evidence=DynamoEvidenceStore(clients, tables.events),
        credentials=DynamoCredentialStore(clients, CredentialTables.of(settings)),
        agents=DynamoAgentStore(clients, AgentTables.of(settings)),
        deliveries=DynamoDeliveryStore(clients, DeliveryTables.of(settings)),
        metrics=DynamoMetricStore(clients, MetricTables.of(settings)),
        storage=AwsStorageStore(clients, settings),
        prepare=partial(_prepare, settings, clients),
        close=clients.close,
        watch=clients.watch,
    )


def open_memory_stores(filter_labels: Sequence[str] = ()) -> Stores:
    """Stores that are gone with the process, for unit tests. ``filter_labels``: as in the settings."""
    events = MemoryEventStore()
    return Stores(
        jobs=MemoryJobStore(events, filter_labels),
        logs=MemoryLogStore(),
        artifacts=MemoryArtifactStore(),
        deployments=MemoryDeploymentStore(events),
        services=MemoryServiceStore(events),
        bans=MemoryBanStore(events),
        environments=MemoryEnvironmentStore(events),
        line=MemoryLineStore(events),
        events=events,
        evidence=MemoryEvidenceStore(events),
        credentials=MemoryCredentialStore(events),
        agents=MemoryAgentStore(events),
        deliveries=MemoryDeliveryStore(),
        metrics=MemoryMetricStore(),
        storage=MemoryStorageStore(),
        prepare=_nothing_to_prepare,
        close=lambda: None,
    )


async def ensure_schema(settings: StoreSettings) -> None:
    """Create what is missing of tables, their expiry and the bucket, and wait until they are usable.

    Can be repeated and run by several processes at once. Raises Unavailable.
    """
    clients = AwsClients(settings)
    try:
        await _prepare(settings, clients)
    finally:
        clients.close()


async def _prepare(settings: StoreSettings, clients: AwsClients) -> None:
    await create_tables(clients, JobTables.of(settings))
    await create_tables(clients, DeploymentTables.of(settings))
    await create_tables(clients, CredentialTables.of(settings))
    await create_tables(clients, AgentTables.of(settings))
    await create_tables(clients, DeliveryTables.of(settings))
    await create_tables(clients, MetricTables.of(settings))
    await create_bucket(clients, settings.bucket)


async def _nothing_to_prepare() -> None:
    return None
