"""The control worker's composition root: settings and a connection in, activities out. The only place that chooses
implementations.

Deliberately not here: connecting, running and stopping (``worker``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client

from activities.bans.activities import BanActivities
from activities.bans.chains import (
    build_ban_chain,
    build_ban_left_version_chain,
    build_lift_ban_chain,
    build_select_bans_chain,
)
from activities.chaining.middleware import ObserveChain
from activities.clock import Clock, epoch_millis
from activities.credentials.registry import CredentialRegistry
from activities.deployments.activities import DeploymentActivities
from activities.deployments.approvals import Approvals
from activities.deployments.chains import build_deployment_creation_chain
from activities.deployments.comparing import DeploymentComparison
from activities.deployments.order import CommitOrder
from activities.deployments.readers import DeploymentReader
from activities.deployments.readiness import Readiness
from activities.deployments.reconcile import DeploymentReconciler, TemporalDeploymentWorkflows
from activities.deployments.reopening import FirstRuns, Reopening
from activities.deployments.signing import SpecSigner
from activities.deployments.standing import LiveSweeper
from activities.deployments.writers import DeploymentWriter
from activities.environments.activities import EnvironmentActivities
from activities.environments.chains import build_record_environment_chain
from activities.environments.comparing import EnvironmentComparison
from activities.environments.live import LiveVersions
from activities.environments.temporal import TemporalEnvironments, TemporalWorkflows
from activities.events.witness import Witness
from activities.jobs.activities import JobActivities
from activities.jobs.comparing import JobComparison
from activities.jobs.readers import JobReader
from activities.jobs.reconcile import Reconciler
from activities.jobs.temporal import TemporalJobWorkflows
from activities.jobs.writers import JobCreator, JobWriter
from activities.line.activities import LineActivities
from activities.line.chains import build_change_line_chain, build_retrieve_line_chain
from activities.line.temporal import TemporalLine
from activities.metrics.activities import MetricActivities
from activities.metrics.registry import MetricRegistry
from activities.repairs.activities import RepairActivities, TemporalRepairs
from activities.retention.activities import RetentionActivities
from activities.retention.events import RemoveSegments, SealedEvents
from activities.retention.needed import NeededDeployments
from activities.retention.sweep import Sweeper, SweepStores
from activities.services.activities import ServiceActivities
from activities.services.chains import build_apply_service_chain, build_change_standing_chain, build_decide_policy_chain
from activities.services.standing import Occupancy
from activities.settings import ApprovalSettings
from activities.stores.open import Stores
from activities.tasks.activities import TaskActivities
from workflows.client.jobs import JobClient
from workflows.client.proving import Prover
from workflows.client.tasks import TaskClient
from workflows.contracts.storage.retention import RetentionPolicy


@dataclass(frozen=True, slots=True)
class ControlActivities:
    """All activities of the control queue, by subject."""

    jobs: JobActivities
    services: ServiceActivities
    bans: BanActivities
    deployments: DeploymentActivities
    environments: EnvironmentActivities
    line: LineActivities
    repairs: RepairActivities
    tasks: TaskActivities
    retention: RetentionActivities
    metrics: MetricActivities

    def all(self) -> Sequence[Callable[..., Any]]:
        """Every activity, for ``Worker(activities=…)``."""
        return [
            *self.jobs.all(),
            *self.services.all(),
            *self.bans.all(),
            *self.deployments.all(),
            *self.environments.all(),
            *self.line.all(),
            *self.repairs.all(),
            *self.tasks.all(),
            *self.retention.all(),
            *self.metrics.all(),
        ]


def build_activities(
    stores: Stores,
    client: Client,
    *,
    clock: Clock = epoch_millis,
    signer: SpecSigner | None = None,
    approvals: ApprovalSettings | None = None,
    retention: RetentionPolicy | None = None,
    segments: RemoveSegments | None = None,
) -> ControlActivities:
    """All activities of the control queue over these stores and this Temporal. Without ``signer`` nothing is signed,
    without ``approvals`` none is verified, without ``retention`` all is kept;
    ``segments`` removes sealed ones of the audit trail.
    """
    middleware, prover = [ObserveChain()], Prover(None if approvals is None else approvals.secret())
    witness = Witness(prover.secret, approvals is not None and approvals.allow_unverified)
    reader = DeploymentReader(
        stores.deployments, stores.services, stores.environments, stores.events, middleware, bans=stores.bans
    )
    writer = DeploymentWriter(stores.deployments, middleware)
    signer = signer or SpecSigner()
    occupancy = Occupancy(stores.deployments, stores.environments)
    jobs = _job_activities(stores, JobClient(client, prover), TemporalJobWorkflows(client), witness, middleware, clock)
    creation, workflows = (
        build_deployment_creation_chain(stores.deployments, middleware),
        TemporalDeploymentWorkflows(client),
    )
    environments = EnvironmentComparison(
        reader.environments_of,
        build_record_environment_chain(stores.environments, middleware),
        TemporalEnvironments(client),
        clock,
    )
    comparison = DeploymentComparison(reader, writer, creation, workflows, environments, clock)
    reconciler = DeploymentReconciler(reader, writer, workflows, clock, comparison.mend)
    tasks = TaskActivities(stores.agents.of_pool, stores.events, signer, clock, witness)
    return ControlActivities(
        jobs=jobs,
        services=ServiceActivities(
            application=build_apply_service_chain(
                stores.services, stores.events, middleware, clock=clock, occupancy=occupancy
            ),
            decision=build_decide_policy_chain(
                stores.services, stores.events, middleware, clock=clock, occupancy=occupancy
            ),
            standing=build_change_standing_chain(
                stores.services, stores.events, middleware, clock=clock, occupancy=occupancy
            ),
            artifacts=stores.artifacts,
            witness=witness,
        ),
        bans=_ban_activities(stores, witness, middleware, clock),
        deployments=DeploymentActivities(
            creation=creation,
            writer=writer,
            reader=reader,
            reconciler=reconciler,
            signer=signer,
            approvals=_approvals(reader, stores, approvals, clock),
            order=CommitOrder(reader.environment, reader.bans, reader.get, tasks.answering, clock),
            witness=witness,
            reopening=Reopening(reader, writer, clock),
            live=_live_sweeper(stores, client, reader, writer, reconciler, clock),
            first_run=FirstRuns(client).of,
        ),
        environments=_environment_activities(stores, client, witness, middleware, reader),
        line=LineActivities(
            changing=build_change_line_chain(stores.line, middleware, clock=clock),
            reading=build_retrieve_line_chain(stores.line, middleware),
            environment=reader.environment,
            service=reader.service,
            tell=TemporalLine(client).tell,
            witness=witness,
        ),
        repairs=RepairActivities(
            TemporalRepairs(client, prover),
            stores.events,
            jobs.reader.get,
            jobs.reconciler.close,
            reconciler.close,
            clock,
            witness,
        ),
        tasks=tasks,
        retention=RetentionActivities(
            _sweeper(stores, retention or RetentionPolicy(), segments, clock, middleware), stores.events, witness, clock
        ),
        metrics=MetricActivities(MetricRegistry(stores.metrics, middleware, clock=clock)),
    )


def _live_sweeper(
    stores: Stores,
    client: Client,
    reader: DeploymentReader,
    writer: DeploymentWriter,
    reconciler: DeploymentReconciler,
    clock: Clock,
) -> LiveSweeper:
    tell = TemporalWorkflows(client).signal_environment
    readiness = Readiness(reader, stores.agents.of_pool, TaskClient(client), tell, clock)
    return LiveSweeper(reader, writer, TemporalDeploymentWorkflows(client), reconciler, readiness, clock)


def _sweeper(
    stores: Stores,
    policy: RetentionPolicy,
    segments: RemoveSegments | None,
    clock: Clock,
    middleware: Sequence[ObserveChain],
) -> Sweeper:
    needed = NeededDeployments(stores.deployments, stores.environments, policy.live_versions)
    swept = SweepStores(
        jobs=stores.jobs,
        deployments=stores.deployments,
        environments=stores.environments,
        logs=stores.logs,
        artifacts=stores.artifacts,
        storage=stores.storage,
        events=None if segments is None else SealedEvents(segments, stores.jobs, stores.deployments, needed),
    )
    return Sweeper(swept, policy, clock, middleware)


def _approvals(reader: DeploymentReader, stores: Stores, settings: ApprovalSettings | None, clock: Clock) -> Approvals:
    credential = CredentialRegistry(stores.credentials, clock).get
    if settings is None:  # nothing is verified, and nothing else is allowed
        return Approvals(reader.service, credential)
    return Approvals(
        read=reader.service,
        credential=credential,
        secret=settings.secret(),
        allow_unverified=settings.allow_unverified,
        allow_self_approval=settings.allow_self_approval,
        clock=clock,
    )


def _job_activities(
    stores: Stores,
    job_client: JobClient,
    temporal: TemporalJobWorkflows,
    witness: Witness,
    middleware: Sequence[ObserveChain],
    clock: Clock,
) -> JobActivities:
    reader = JobReader(stores.jobs, clock=clock, middleware=middleware)
    writer = JobWriter(stores.jobs, stores.agents, middleware, clock=clock)
    creator = JobCreator(stores.jobs, stores.agents, middleware, clock=clock)
    comparison = JobComparison(reader, writer, creator, temporal, clock)
    return JobActivities(
        creator=creator,
        writer=writer,
        reader=reader,
        redrive_job=job_client.redrive,
        reconciler=Reconciler(reader, writer, temporal, clock, comparison.mend),
        witness=witness,
    )


def _ban_activities(
    stores: Stores, witness: Witness, middleware: Sequence[ObserveChain], clock: Clock
) -> BanActivities:
    return BanActivities(
        banning=build_ban_chain(stores.bans, stores.events, stores.environments, middleware, clock=clock),
        leaving=build_ban_left_version_chain(stores.bans, stores.events, middleware, clock=clock),
        lifting=build_lift_ban_chain(stores.bans, stores.events, middleware, clock=clock),
        selection=build_select_bans_chain(stores.bans, middleware),
        witness=witness,
    )


def _environment_activities(
    stores: Stores, client: Client, witness: Witness, middleware: Sequence[ObserveChain], reader: DeploymentReader
) -> EnvironmentActivities:
    temporal = TemporalWorkflows(client)
    return EnvironmentActivities(
        writing=build_record_environment_chain(stores.environments, middleware),
        read=reader.environment,
        send=temporal.signal_environment,
        closed=temporal.closed,
        witness=witness,
        live=LiveVersions(client, reader.get).tell,
    )
