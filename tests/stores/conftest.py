"""The implementations that the contract suite runs against: stores of records on empty tables of their own, logs and
artifacts under job ids of their own.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from activities.stores.dynamo.agents import DynamoAgentStore
from activities.stores.dynamo.bans import DynamoBanStore
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.creation import create_tables
from activities.stores.dynamo.credentials import DynamoCredentialStore
from activities.stores.dynamo.deliveries import DynamoDeliveryStore
from activities.stores.dynamo.deployments import DynamoDeploymentStore
from activities.stores.dynamo.environments import DynamoEnvironmentStore
from activities.stores.dynamo.events import DynamoEventStore
from activities.stores.dynamo.jobs import DynamoJobStore
from activities.stores.dynamo.services import DynamoServiceStore
from activities.stores.dynamo.table import AgentTables, CredentialTables, DeliveryTables, DeploymentTables, JobTables
from activities.stores.interfaces.agents import AgentStore
from activities.stores.interfaces.artifacts import ArtifactStore
from activities.stores.interfaces.credentials import CredentialStore
from activities.stores.interfaces.deliveries import DeliveryStore
from activities.stores.interfaces.deployments import DeploymentStore
from activities.stores.interfaces.environments import EnvironmentStore
from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.jobs import JobStore
from activities.stores.interfaces.logs import LogStore
from activities.stores.interfaces.services import BanStore, ServiceStore
from activities.stores.memory.agents import MemoryAgentStore
from activities.stores.memory.artifacts import MemoryArtifactStore
from activities.stores.memory.bans import MemoryBanStore
from activities.stores.memory.credentials import MemoryCredentialStore
from activities.stores.memory.deliveries import MemoryDeliveryStore
from activities.stores.memory.deployments import MemoryDeploymentStore
from activities.stores.memory.environments import MemoryEnvironmentStore
from activities.stores.memory.events import MemoryEventStore
from activities.stores.memory.jobs import MemoryJobStore
from activities.stores.memory.logs import MemoryLogStore
from activities.stores.memory.services import MemoryServiceStore
from activities.stores.s3.artifacts import S3ArtifactStore, create_bucket
from activities.stores.s3.logs import S3LogStore
from activities.stores.settings import StoreSettings
from tests import servers
from tests.stores.agents import NOW, StoppedClock
from tests.stores.dynamodb_local import dynamodb_local


@pytest.fixture(scope="package")
def aws_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.aws_endpoint(tmp_path_factory.mktemp("aws")) as url:
        yield url


@pytest.fixture(scope="package")
def dynamodb_local_endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cache = request.config.cache
    folder: Path = cache.mkdir("dynamodb-local") if cache else tmp_path_factory.mktemp("cache")
    with dynamodb_local(folder, tmp_path_factory.mktemp("dynamodb-local")) as url:
        yield url


def settings_for(url: str) -> StoreSettings:
    return StoreSettings(environment=f"test-{uuid.uuid4().hex[:12]}", dynamodb_endpoint_url=url, s3_endpoint_url=url)


@pytest.fixture(scope="package")
def clients_of(request: pytest.FixtureRequest) -> Iterator[Callable[[str], AwsClients]]:
    """The clients of a server, by its fixture's name. Made once: that takes a quarter of a second."""
    made: dict[str, AwsClients] = {}

    def clients(endpoint_fixture: str) -> AwsClients:
        if endpoint_fixture not in made:
            made[endpoint_fixture] = AwsClients(settings_for(request.getfixturevalue(endpoint_fixture)))
        return made[endpoint_fixture]

    yield clients
    for used in made.values():
        used.close()


@pytest.fixture
def tables() -> JobTables:
    return JobTables.of(settings_for("http://unused"))


@dataclass(frozen=True, slots=True)
class JobStores:
    """The store of jobs with its audit trail."""

    jobs: JobStore
    events: EventStore


@pytest.fixture(params=["memory", "embedded", "dynamodb-local"])
async def job_stores(
    request: pytest.FixtureRequest, clients_of: Callable[[str], AwsClients], tables: JobTables
) -> JobStores:
    if request.param == "memory":
        events = MemoryEventStore()
        return JobStores(MemoryJobStore(events), events)
    clients = clients_of("aws_endpoint" if request.param == "embedded" else "dynamodb_local_endpoint")
    await create_tables(clients, tables)
    return JobStores(DynamoJobStore(clients, tables), DynamoEventStore(clients, tables.events))


@pytest.fixture
def jobs(job_stores: JobStores) -> JobStore:
    return job_stores.jobs


@dataclass(frozen=True, slots=True)
class AgentStores:
    """The store of agents with its audit trail, and a clock that stands still until it is set."""

    agents: AgentStore
    events: EventStore
    clock: StoppedClock


@pytest.fixture
def agent_tables() -> AgentTables:
    return AgentTables.of(settings_for("http://unused"))


@pytest.fixture(params=["memory", "embedded", "dynamodb-local"])
async def registry(
    request: pytest.FixtureRequest, clients_of: Callable[[str], AwsClients], agent_tables: AgentTables
) -> AgentStores:
    clock = StoppedClock(NOW)
    if request.param == "memory":
        events = MemoryEventStore()
        return AgentStores(MemoryAgentStore(events, clock), events, clock)
    clients = clients_of("aws_endpoint" if request.param == "embedded" else "dynamodb_local_endpoint")
    await create_tables(clients, agent_tables)
    events = DynamoEventStore(clients, agent_tables.events)
    return AgentStores(DynamoAgentStore(clients, agent_tables, clock), events, clock)


@dataclass(frozen=True, slots=True)
class AccessStores:
    """The store of credentials with its audit trail."""

    credentials: CredentialStore
    events: EventStore


@pytest.fixture(params=["memory", "embedded", "dynamodb-local"])
async def access_stores(
    request: pytest.FixtureRequest, clients_of: Callable[[str], AwsClients], tables: JobTables
) -> AccessStores:
    if request.param == "memory":
        events = MemoryEventStore()
        return AccessStores(MemoryCredentialStore(events), events)
    clients = clients_of("aws_endpoint" if request.param == "embedded" else "dynamodb_local_endpoint")
    names = CredentialTables.of(settings_for("http://unused"))
    await create_tables(clients, tables)
    own = CredentialTables(names.credentials, tables.events)
    await create_tables(clients, own)
    return AccessStores(DynamoCredentialStore(clients, own), DynamoEventStore(clients, own.events))


@pytest.fixture(params=["memory", "embedded", "dynamodb-local"])
async def deliveries(request: pytest.FixtureRequest, clients_of: Callable[[str], AwsClients]) -> DeliveryStore:
    if request.param == "memory":
        return MemoryDeliveryStore()
    clients = clients_of("aws_endpoint" if request.param == "embedded" else "dynamodb_local_endpoint")
    own = DeliveryTables.of(settings_for("http://unused"))
    await create_tables(clients, own)
    return DynamoDeliveryStore(clients, own)


@dataclass(frozen=True, slots=True)
class ReleaseStores:
    """The stores of deployments and what belongs to them, with one audit trail."""

    deployments: DeploymentStore
    services: ServiceStore
    environments: EnvironmentStore
    events: EventStore
    bans: BanStore


@pytest.fixture
def deployment_tables() -> DeploymentTables:
    return DeploymentTables.of(settings_for("http://unused"))


@pytest.fixture(params=["memory", "embedded", "dynamodb-local"])
async def releases(
    request: pytest.FixtureRequest, clients_of: Callable[[str], AwsClients], deployment_tables: DeploymentTables
) -> ReleaseStores:
    if request.param == "memory":
        events = MemoryEventStore()
        return ReleaseStores(
            MemoryDeploymentStore(events),
            MemoryServiceStore(events),
            MemoryEnvironmentStore(events),
            events,
            MemoryBanStore(events),
        )
    clients = clients_of("aws_endpoint" if request.param == "embedded" else "dynamodb_local_endpoint")
    await create_tables(clients, deployment_tables)
    return ReleaseStores(
        DynamoDeploymentStore(clients, deployment_tables),
        DynamoServiceStore(clients, deployment_tables),
        DynamoEnvironmentStore(clients, deployment_tables),
        DynamoEventStore(clients, deployment_tables.events),
        DynamoBanStore(clients, deployment_tables),
    )


@pytest.fixture(scope="package")
async def bucket(clients_of: Callable[[str], AwsClients]) -> str:
    name = f"test-{uuid.uuid4().hex[:12]}"
    await create_bucket(clients_of("aws_endpoint"), name)
    return name


@pytest.fixture(params=["memory", "embedded"])
def logs(request: pytest.FixtureRequest, clients_of: Callable[[str], AwsClients], bucket: str) -> LogStore:
    return MemoryLogStore() if request.param == "memory" else S3LogStore(clients_of("aws_endpoint"), bucket)


@pytest.fixture(params=["memory", "embedded"])
def artifacts(request: pytest.FixtureRequest, clients_of: Callable[[str], AwsClients], bucket: str) -> ArtifactStore:
    return MemoryArtifactStore() if request.param == "memory" else S3ArtifactStore(clients_of("aws_endpoint"), bucket)
