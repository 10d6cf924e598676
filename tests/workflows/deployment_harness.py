"""Drive DeploymentWorkflow, EnvironmentWorkflow and JobWorkflow together on a real Temporal server, with the control
worker's real activities on stores in memory and a scripted agent.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.bootstrap import build_activities
from activities.clock import epoch_millis
from activities.deployments.signing import SpecSigner
from activities.metrics.registry import MetricRegistry
from activities.sandbox import LeanSandbox
from activities.settings import ApprovalSettings
from activities.stores.open import Stores, open_memory_stores
from tests.workflows.harness import Agent, Script, succeed
from workflows.client.answers import record_at_end
from workflows.client.deployments import DeploymentClient, workflow_id_of
from workflows.client.proving import Prover
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.deployments.commands import Approve, DeploymentInput, ReportMetrics
from workflows.contracts.deployments.deployment import Deployment, DeploymentRequest
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.deployments.metrics import MetricsQuery, Sample
from workflows.contracts.deployments.services import Service, ServiceSpec
from workflows.contracts.ids import CONTROL_QUEUE, environment_workflow_id, pool_queue
from workflows.deployment.workflow import DeploymentWorkflow
from workflows.environment.workflow import EnvironmentWorkflow
from workflows.job.workflow import JobWorkflow
from workflows.line.workflow import LineWorkflow
from workflows.repair.workflow import RepairWorkflow
from workflows.service.bans import BanWorkflow, LiftBanWorkflow
from workflows.service.workflow import PolicyDecisionWorkflow, ServiceWorkflow, StandingWorkflow
from workflows.task.workflow import AgentTaskWorkflow
from workflows.watch.workflow import MetricsWatchWorkflow

_WORKFLOWS = (
    DeploymentWorkflow, EnvironmentWorkflow, ServiceWorkflow, PolicyDecisionWorkflow, StandingWorkflow, JobWorkflow,
    RepairWorkflow, LineWorkflow, AgentTaskWorkflow, BanWorkflow, LiftBanWorkflow, MetricsWatchWorkflow,
)  # fmt: skip
STEP = {"name": "deploy", "run": "./deploy.sh"}
BOB, CAT = "bob@example.com", "cat@example.com"


class Ran:
    """One attempt that an agent was given: kind of job, and its variables."""

    def __init__(self, attempt: AttemptInput) -> None:
        self.kind, self.env, self.fence = attempt.job_type, attempt.env, attempt.fence
        self.sha, self.steps = attempt.git_commit_sha, [step.run for step in attempt.steps]
        self.approvals, self.on_ref = attempt.approvals, attempt.on_ref

    @property
    def where(self) -> str:
        """``deploy production 1.0``."""
        environment = self.env.get("HYBRIDCI_ENVIRONMENT", "")
        return f"{self.kind} {environment} {self.env.get('HYBRIDCI_VERSION', '')}".replace("  ", " ")


class Deploys:
    """A service of its own, its pool, and what the agent was given."""

    def __init__(
        self,
        client: Client,
        stores: Stores,
        signer: SpecSigner | None = None,
        approving: ApprovalSettings | None = None,
    ) -> None:
        self.client, self.stores, self.signer = client, stores, signer
        # What most tests say goes straight to Temporal.
        self.approving = approving or ApprovalSettings(allow_unverified=True)
        self.workflows: dict[str, type] = {each.__name__: each for each in _WORKFLOWS}
        self.releases = DeploymentClient(client, Prover(self.approving.secret()))
        self.name = f"svc-{uuid.uuid4().hex[:10]}"
        self.pool = f"pool-{self.name}"
        self.ran: list[Ran] = []
        self.scripts: dict[str, Script] = {}
        self.started: list[Deployment] = []
        self.measured, self._sampled_at = MetricRegistry(stores.metrics), 0

    def script(self, where: str, script: Script) -> None:
        """Run this for the jobs whose ``where`` begins so (``verify``, ``deploy production 1.1``)."""
        self.scripts[where] = script

    async def start_worker(self) -> None:
        """The control worker."""
        self._worker = Worker(
            self.client,
            task_queue=CONTROL_QUEUE,
            workflows=list(self.workflows.values()),
            activities=build_activities(self.stores, self.client, signer=self.signer, approvals=self.approving).all(),
            workflow_runner=LeanSandbox(),
            max_heartbeat_throttle_interval=timedelta(milliseconds=200),  # a cancelled watch ends soon
        )
        self._running = asyncio.create_task(self._worker.run())

    async def stop_worker(self) -> None:
        """Without a cached workflow: what comes next replays every history from its beginning."""
        await self._worker.shutdown()
        await self._running

    async def crash(self) -> None:
        """Another control worker, which knows nothing but what Temporal and the stores hold."""
        await self.stop_worker()
        await self.start_worker()

    async def run(self, attempt: AttemptInput, agent: Agent) -> AttemptResult:
        ran = Ran(attempt)
        self.ran.append(ran)
        found = [script for where, script in self.scripts.items() if ran.where.startswith(where)]
        return await (found[-1] if found else succeed)(attempt, agent)

    def kinds(self) -> list[str]:
        """``where`` of everything that ran."""
        return [ran.where for ran in self.ran]

    def environment(self, name: str = "production", **fields: Any) -> dict[str, Any]:
        return {"name": name, "pool": self.pool, "steps": [STEP]} | fields

    def service(self, *environments: dict[str, Any], **fields: Any) -> Service:
        given = list(environments) or [self.environment("staging"), self.environment()]
        spec = ServiceSpec.model_validate({"git_repo": "file:///srv/shop.git", "environments": given} | fields)
        return Service(name=self.name, version=1, spec=spec, created_at=1, updated_at=1)

    def input(self, version: str, service: Service | None = None, **fields: Any) -> DeploymentInput:
        sha = fields.pop("sha", uuid.uuid5(uuid.NAMESPACE_OID, version).hex.ljust(40, "0"))
        request = DeploymentRequest(
            service_name=self.name, version=version, git_commit_sha=sha, git_author="ann@example.com"
        )
        deployment_id = str(uuid.uuid4())
        return DeploymentInput(
            deployment_id=deployment_id, request=request, service=service or self.service(), created_by="ci", **fields
        )

    async def start(self, version: str, service: Service | None = None, **fields: Any) -> Deployment:
        deployment = await self.releases.start(self.input(version, service, **fields))
        self.started.append(deployment)
        return deployment

    def handle(self, deployment: Deployment) -> WorkflowHandle[Any, Deployment]:
        return self.client.get_workflow_handle(workflow_id_of(deployment), result_type=Deployment)

    async def result(self, deployment: Deployment) -> Deployment:
        """The record it closed with, however it closed. Raises WorkflowFailureError where there is none."""
        found = await asyncio.wait_for(record_at_end(self.handle(deployment), Deployment), 60)
        return await self.handle(deployment).result() if found is None else found

    def environment_handle(self, name: str = "production") -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(environment_workflow_id(self.name, name))

    async def pause(self) -> None:
        await asyncio.sleep(0.02)

    async def approve(self, deployment: Deployment, by: str = BOB, **fields: Any) -> Deployment:
        return await self.releases.command(deployment, Approve(by=by, **fields))

    async def measure(
        self, deployment: Deployment, *, source: str = "watch", at: int | None = None, **values: Any
    ) -> int:
        """Report a sample as the API does: kept, judged, and told when it is news. Returns its time (ms)."""
        self._sampled_at = max(epoch_millis(), self._sampled_at + 1) if at is None else at
        record = await self.get(deployment)
        report = ReportMetrics.model_validate({"by": source, "at": self._sampled_at, **values})
        verdict = await self.measured.report(record, report)
        if verdict.rows:
            await self.releases.tell_metrics(record, verdict)
            self.measured.told(record.deployment_id, verdict)
        return self._sampled_at

    async def samples(self, deployment: Deployment) -> list[Sample]:
        """The newest hundred, newest first."""
        return (await self.measured.page(MetricsQuery(deployment_id=deployment.deployment_id, limit=100))).items

    async def get(self, deployment: Deployment) -> Deployment:
        found = await self.stores.deployments.get(deployment.deployment_id)
        assert found is not None
        return found

    async def until(
        self, deployment: Deployment, condition: Callable[[Deployment], bool], seconds: float = 60
    ) -> Deployment:
        """Wait until the record fulfils the condition."""
        for _ in range(int(seconds * 50)):
            found = await self.get(deployment)
            if condition(found):
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"never reached; last: {await self.get(deployment)}; ran {self.kinds()}")

    async def until_status(self, deployment: Deployment, status: str, seconds: float = 60) -> Deployment:
        return await self.until(deployment, lambda found: found.status == status, seconds)

    async def until_waits(self, deployment: Deployment, words: str) -> Deployment:
        return await self.until(deployment, lambda found: words in (found.waits_for or ""))

    async def until_environment(
        self, condition: Callable[[EnvironmentState], bool], name: str = "production"
    ) -> EnvironmentState:
        for _ in range(1000):
            found = await self.stores.environments.get(self.name, name)
            if found is not None and condition(found):
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"never reached; last: {await self.stores.environments.get(self.name, name)}")

    async def live(self, version: str, service: Service | None = None) -> Deployment:
        """Bring a version live; its service must need no approval."""
        return await self.until_status(await self.start(version, service), "live")

    async def events(self, deployment: Deployment) -> list[AuditEvent]:
        page = await self.stores.events.list(EventQuery(deployment_id=deployment.deployment_id, limit=100))
        return list(reversed(page.items))

    async def close(self) -> None:
        """End what is still open, so that nothing waits for ever on the test server."""
        for deployment in self.started:
            await self._terminate(workflow_id_of(deployment))
        for environment in await self.stores.environments.of_service(self.name):
            await self._terminate(environment_workflow_id(self.name, environment.environment))

    async def _terminate(self, workflow_id: str) -> None:
        with suppress(RPCError):  # it has ended by itself
            await self.client.get_workflow_handle(workflow_id).terminate("the test is over")


@asynccontextmanager
async def deploys(
    client: Client, approving: ApprovalSettings | None = None, *, signer: SpecSigner | None = None
) -> AsyncGenerator[Deploys]:
    """``signer``: what the control worker signs with."""
    stores = open_memory_stores()
    harness = Deploys(client, stores, signer, approving)
    agent = Agent(client, "agent-1", harness.run)
    async with Worker(client, task_queue=pool_queue(harness.pool), activities=[agent.run_attempt]):
        await harness.start_worker()
        try:
            yield harness
            await harness.close()
        finally:
            await harness.stop_worker()
