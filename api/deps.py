"""The services of one API process, put together by ``api.app``. They fit the ports that each slice names for itself.

Reads go to the readers and the stores; everything that changes a job goes through the job client to its workflow (the
``creator`` makes the record of one that was just started), everything that changes a deployment, an environment or a
service through the deployment client.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from temporalio.converter import PayloadCodec

from activities.clock import Clock, epoch_millis
from activities.credentials.registry import CredentialRegistry
from activities.deployments.readers import DeploymentReader
from activities.jobs.readers import JobReader
from activities.jobs.writers import JobCreator
from activities.metrics.registry import MetricRegistry
from activities.stores.interfaces.artifacts import ArtifactStore
from activities.stores.interfaces.credentials import CredentialStore
from activities.stores.interfaces.deliveries import DeliveryStore
from activities.stores.interfaces.events import EventStore
from activities.stores.interfaces.evidence import EvidenceStore
from activities.stores.interfaces.logs import LogStore
from activities.stores.interfaces.storage import StorageStore
from activities.stores.memory.metrics import MemoryMetricStore
from api.agents.fleet import Fleet
from api.agents.schemas import GatewayAddress
from api.attempts.late import EndedLogs
from api.audit.tail import Tail
from api.auth.authenticator import Authenticator
from api.auth.remembered import Remembered
from api.auth.sign_in import SignIn
from api.auth.vouching import Voucher
from api.claims.service import Claims
from api.environments.lanes import RolloutTimes
from api.http.metrics import Metrics
from api.identity.pools import PoolRule
from api.logs.compactor import LogCompactor
from api.logs.growth import LogGrowth
from api.sign_in.tickets import Tickets
from api.temporal.versions import RunningVersions
from workflows.client.deployments import DeploymentClient
from workflows.client.jobs import JobClient
from workflows.client.repairs import RepairClient
from workflows.client.storage import StorageClient
from workflows.client.tasks import TaskClient
from workflows.contracts.errors import Unavailable


def nobody_to_ask() -> TaskClient:
    """Of services without Temporal. Raises Unavailable."""
    raise Unavailable("This process has no way to Temporal, so it can ask no agent.")


def nobody_to_sweep() -> StorageClient:
    """Of services without Temporal. Raises Unavailable."""
    raise Unavailable("This process has no way to Temporal, so it can have nothing swept.")


@dataclass(frozen=True, slots=True)
class Services:
    """One process's services.

    ``temporal``, ``deploying``, ``repairing``, ``asking`` and ``sweeping`` return the ways to the workflows, or raise
    Unavailable as long as Temporal was never reached. ``stopping`` is True once the process has been told to end;
    whoever streams without end then ends.
    ``agents.fleet`` knows the agents and pools; ``gateway`` is where agents elsewhere connect, when there is one.
    ``temporal_workflows`` is where the Temporal UI shows workflows.
    ``probes`` ask what the whole needs besides this process's own, by name.
    ``tail`` is the end of the feed of events.
    ``log_growth`` tells that logs grow.
    ``evidence`` is the trail as it lies there, with its seals; ``seal_keys`` verify these, ``verifying`` is held by the
    one verification that runs.
    ``measured`` is what was measured of deployments.
    ``rollout_times``: how long past rollouts took.
    ``starting`` has a lock for each deployment that a request with a key is just starting.
    """

    authenticator: Authenticator
    credentials: CredentialStore
    access: CredentialRegistry
    audit: EventStore
    evidence: EvidenceStore
    reader: JobReader
    creator: JobCreator
    deployments: DeploymentReader
    logs: LogStore
    artifacts: ArtifactStore
    storage: StorageStore
    webhook_deliveries: DeliveryStore
    temporal: Callable[[], JobClient]
    deploying: Callable[[], DeploymentClient]
    repairing: Callable[[], RepairClient]
    metrics: Metrics
    fleet: Fleet
    asking: Callable[[], TaskClient] = nobody_to_ask
    sweeping: Callable[[], StorageClient] = nobody_to_sweep
    storage_folder: Path | None = None
    gateway: GatewayAddress | None = None
    codec: PayloadCodec | None = None
    environment: str = "development"
    temporal_workflows: str | None = None
    sign_in: SignIn = field(default_factory=SignIn.by_key_only)
    voucher: Voucher = field(default_factory=Voucher)
    tickets: Tickets = field(default_factory=Tickets)
    claims: Claims = field(default_factory=Claims.unconfigured)
    clock: Clock = epoch_millis
    stopping: Callable[[], bool] = lambda: False
    probes: Mapping[str, Callable[[], Awaitable[str | None]]] = field(
        default_factory=dict[str, Callable[[], Awaitable[str | None]]]
    )
    deliveries: Remembered = field(default_factory=Remembered)
    compactor: LogCompactor = field(default_factory=LogCompactor)
    ended_logs: EndedLogs = field(default_factory=EndedLogs)
    rollout_times: RolloutTimes = field(default_factory=RolloutTimes)
    starting: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary[str, asyncio.Lock])
    measured: MetricRegistry = field(default_factory=lambda: MetricRegistry(MemoryMetricStore()))
    seal_keys: Mapping[str, str] | None = None
    running: RunningVersions = field(default_factory=RunningVersions)
    verifying: asyncio.Lock = field(default_factory=asyncio.Lock)
    tail: Tail = field(init=False)
    log_growth: LogGrowth = field(init=False)

    def __post_init__(self) -> None:
        """One end of the feed for all who follow it in this process, and one look at each log."""
        object.__setattr__(self, "log_growth", LogGrowth(self.logs))
        object.__setattr__(self, "tail", Tail(self.audit, self.environment, stopping=self.stopping))

    @property
    def pool_rules(self) -> Sequence[PoolRule]:
        """What the access policy says that pools are for."""
        return self.sign_in.policy.pools

    @property
    def job_client(self) -> JobClient:
        """The way to the workflows of jobs. Raises Unavailable."""
        return self.temporal()

    @property
    def deployment_client(self) -> DeploymentClient:
        """The way to the workflows of deployments, environments and services. Raises Unavailable."""
        return self.deploying()

    @property
    def repair_client(self) -> RepairClient:
        """The way to workflows that cannot go on. Raises Unavailable."""
        return self.repairing()

    @property
    def storage_client(self) -> StorageClient:
        """The way to sweeps. Raises Unavailable."""
        return self.sweeping()

    @property
    def task_client(self) -> TaskClient:
        """The way to what agents answer besides their jobs. Raises Unavailable."""
        return self.asking()
