"""What goes on during the trouble: jobs, deployments, services, bulk redrives, and people who say things at any moment.

Everything is drawn from the seed; what is refused or not answered meanwhile is part of it.
"""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from tests.workflows.harness import Agent, wait_for_cancel
from workflows.client.deployments import DeploymentClient
from workflows.client.jobs import JobClient
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.commands import (
    Amend,
    BulkRedrive,
    Cancel,
    Complete,
    DeadLetterFilter,
    Discard,
    Edit,
    JobInput,
    Redrive,
)
from workflows.contracts.deployments.commands import (
    Approve,
    CancelDeployment,
    DeploymentInput,
    OverrideFreeze,
    Reject,
    ReportMetrics,
    RollbackCommand,
)
from workflows.contracts.deployments.deployment import Deployment, DeploymentRequest
from workflows.contracts.deployments.environments import FreezeCommand, HoldCommand, ReleaseCommand, UnfreezeCommand
from workflows.contracts.deployments.services import Service, ServiceSpec, ServiceWrite
from workflows.contracts.errors import HybridCIError
from workflows.contracts.ids import (
    deployment_workflow_id,
    environment_workflow_id,
    job_workflow_id,
    pool_queue,
    redrive_workflow_id,
)
from workflows.contracts.jobs import JobSpec
from workflows.contracts.statuses import Outcome, Priority, QueueStatus

POOL = "outages"
BOB, CAT = "bob@example.com", "cat@example.com"
_AT_ONCE = 80
"""Cases under way."""


@dataclass
class Load:
    """The cases of one run and the workflows they started."""

    client: Client
    seed: int
    workflow_ids: set[str] = field(default_factory=set[str])
    said: int = 0
    refused: int = 0
    unanswered: int = 0

    def __post_init__(self) -> None:
        self._jobs, self._releases = JobClient(self.client), DeploymentClient(self.client)
        self._ids = random.Random(f"ids {self.seed}")

    async def run(self, histories: int, per_second: float) -> None:
        """Cases until about so many workflows were started, then until all have been said."""
        chance = random.Random(f"load {self.seed}")
        number, slots = 0, asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as cases:  # a case that fails by itself ends the run
            while len(self.workflow_ids) < histories:
                await slots.acquire()
                case = cases.create_task(self._case(random.Random(f"case {self.seed} {number}")))
                case.add_done_callback(lambda _: slots.release())
                number += 1
                await asyncio.sleep(chance.expovariate(per_second))

    async def _case(self, chance: random.Random) -> None:
        kind = chance.choices(["job", "service", "bulk"], [78, 20, 2])[0]
        if kind == "job":
            await self._job(chance)
        elif kind == "service":
            await self._service(chance)
        else:
            await self._bulk()

    async def _say(self, what: Callable[[], Awaitable[object]]) -> None:
        self.said += 1
        try:
            async with asyncio.timeout(25):
                await what()
        except HybridCIError as error:
            self.refused += not error.retryable
            self.unanswered += error.retryable
        except TimeoutError:
            self.unanswered += 1

    async def _job(self, chance: random.Random) -> None:
        job_id = str(uuid.UUID(int=self._ids.getrandbits(128), version=4))
        self.workflow_ids.add(job_workflow_id(job_id))
        spec = JobSpec.model_validate(
            {
                "job_type": "test",
                "git_repo": "file:///srv/shop.git",
                "git_commit_sha": "a" * 40,
                "git_author": "ann@example.com",
                "pool": POOL,
                "priority": chance.choice(list(Priority)),
                "env": {"SEED": str(chance.getrandbits(32))},
                "retry": {
                    "max_attempts": chance.choice([1, 1, 2, 3]),
                    "initial_interval_seconds": chance.choice([0.05, 2]),
                },
            }
        )
        start = JobInput(job_id=job_id, spec=spec)
        if chance.random() < 0.5:  # nobody creates the record: its starter died
            await self._say(lambda: self._jobs.start(start, time.time_ns() // 1_000_000))
        else:
            await self._say(lambda: self._jobs.submit(start))
        commands: list[Callable[[], Awaitable[object]]] = [
            lambda: self._jobs.cancel(job_id, Cancel(by=BOB)),
            lambda: self._jobs.amend(job_id, Amend(by=BOB, priority=Priority.CRITICAL)),
            lambda: self._jobs.amend(job_id, Amend(by=BOB, labels={"a": "b"})),
            lambda: self._jobs.edit(job_id, Edit(by=BOB, env={"OK": "1"})),
            lambda: self._jobs.redrive(job_id, Redrive(by=BOB, edit=Edit(by=BOB, max_attempts=1))),
            lambda: self._jobs.redrive(job_id, Redrive(by=BOB)),
            lambda: self._jobs.discard(job_id, Discard(by=BOB)),
            lambda: self._jobs.complete(job_id, Complete(by=BOB, exit_code=chance.choice([0, 1]))),
            lambda: self._jobs.created(job_id),
        ]
        weights = [1, 3, 2, 4, 6, 6, 1, 1, 2]
        for command in chance.choices(commands, weights, k=chance.choice([0, 0, 1, 2, 4])):
            await asyncio.sleep(chance.uniform(0, 6))
            await self._say(command)

    async def _bulk(self) -> None:
        redrive_id = str(uuid.UUID(int=self._ids.getrandbits(128), version=4))
        self.workflow_ids.add(redrive_workflow_id(redrive_id))
        request = BulkRedrive(filter=DeadLetterFilter(pool=POOL), limit=5, by=BOB)
        await self._say(lambda: self._jobs.start_bulk_redrive(redrive_id, request))

    async def _service(self, chance: random.Random) -> None:
        """A service of its own and some versions of it, one after the other or crossing."""
        name = f"svc-{self._ids.getrandbits(40):010x}"
        step = {"name": "deploy", "run": "./deploy.sh"}
        spec = ServiceSpec.model_validate(
            {
                "git_repo": "file:///srv/shop.git",
                "environments": [
                    {"name": "staging", "pool": POOL, "steps": [step]},
                    {
                        "name": "production",
                        "pool": POOL,
                        "steps": [step],
                        "supersede": chance.choice(["none", "none", "older"]),
                        "approval": {"required": 1} if chance.random() < 0.6 else None,
                        "verification": {"max_error_rate": 0.1, "bake_seconds": chance.choice([0, 1])},
                        "rollback": {"steps": [step]},
                    },
                ],
            }
        )
        await self._say(lambda: self._releases.apply_service(ServiceWrite(name=name, spec=spec, by=BOB, role="admin")))
        service = Service(name=name, version=1, spec=spec, created_at=1, updated_at=1)
        for environment in spec.environments:
            self.workflow_ids.add(environment_workflow_id(name, environment.name))
        versions = [self._version(chance, service, number) for number in range(chance.choice([1, 2, 3]))]
        await asyncio.gather(*versions, self._environments(chance, name))

    async def _version(self, chance: random.Random, service: Service, number: int) -> None:
        await asyncio.sleep(number * chance.uniform(0, 8))
        version = f"1.{number}"
        deployment_id = str(uuid.UUID(int=self._ids.getrandbits(128), version=4))
        request = DeploymentRequest(
            service_name=service.name, version=version, git_commit_sha="b" * 40, git_author="ann@example.com"
        )
        self.workflow_ids.add(deployment_workflow_id(service.name, version, deployment_id))
        start = DeploymentInput(deployment_id=deployment_id, request=request, service=service, created_by="ci")
        await self._say(lambda: self._releases.start(start))
        known = Deployment(
            deployment_id=deployment_id,
            service_name=service.name,
            service_version=1,
            version=version,
            git_repo=service.spec.git_repo,
            git_commit_sha="b" * 40,
            git_author="ann@example.com",
            definition=service.spec,
            created_at=1,
            updated_at=1,
        )
        commands: list[Callable[[], Awaitable[object]]] = [
            lambda: self._releases.command(known, Approve(by=BOB)),
            lambda: self._releases.command(known, Reject(by=CAT, reason="no")),
            lambda: self._releases.command(known, RollbackCommand(by=BOB, reason="bad")),
            lambda: self._releases.command(known, CancelDeployment(by=BOB)),
            lambda: self._releases.command(known, OverrideFreeze(by=BOB, reason="now")),
            lambda: self._releases.report_metrics(known, ReportMetrics(error_rate=chance.choice([0, 0.9]))),
        ]
        for command in chance.choices(commands, [10, 1, 3, 1, 2, 3], k=chance.choice([2, 4, 6])):
            await asyncio.sleep(chance.uniform(0, 5))
            await self._say(command)

    async def _environments(self, chance: random.Random, name: str) -> None:
        commands = [
            HoldCommand(by=BOB, reason="wait"),
            ReleaseCommand(by=BOB, reason="go"),
            FreezeCommand(by=BOB, freeze_id="fair", name="fair", ends_at=time.time_ns() // 1_000_000 + 15_000),
            UnfreezeCommand(by=BOB, freeze_id="fair"),
        ]
        for _ in range(chance.choice([0, 1, 3])):
            await asyncio.sleep(chance.uniform(0, 5))
            command = chance.choice(commands)
            await self._say(lambda: self._releases.command_environment(name, "production", command))  # noqa: B023
        await self._say(
            lambda: self._releases.command_environment(name, "production", ReleaseCommand(by=BOB, reason="go"))
        )


class Workshop:
    """An agent that announces its attempts or does not, takes its time, and fails now and then."""

    def __init__(self, client: Client, seed: int) -> None:
        self._agent = Agent(client, "agent-1", self._run)
        self._chance = random.Random(f"agent {seed}")

    async def _run(self, attempt: AttemptInput, agent: Agent) -> AttemptResult:
        chance = random.Random(self._chance.getrandbits(64))
        phases = chance.choice([[], [QueueStatus.RUNNING], [QueueStatus.CLAIMED, QueueStatus.RUNNING]])
        for phase in phases:
            await agent.announce(attempt, phase)  # pyright: ignore[reportArgumentType]
            await asyncio.sleep(chance.choice([0, 0, 0.5]))
        work = asyncio.create_task(asyncio.sleep(chance.choice([0, 0.2, 1, 3, 9])))
        cancelled = asyncio.create_task(wait_for_cancel(attempt, agent))
        await asyncio.wait({work, cancelled}, return_when=asyncio.FIRST_COMPLETED)
        if cancelled.done() and cancelled.exception() is None:
            work.cancel()
            return cancelled.result()
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)  # its activity can be over
        if attempt.env.get("OK") != "1" and chance.random() < 0.4:
            return agent.result(attempt, Outcome.FAILED, exit_code=1)
        return agent.result(attempt, Outcome.SUCCEEDED, exit_code=0, started_at=2)

    @activity.defn(name="run_attempt")
    async def run_attempt(self, attempt: AttemptInput) -> AttemptResult:
        return await self._run(attempt, self._agent)


@asynccontextmanager
async def workshop(client: Client, seed: int) -> AsyncGenerator[None]:
    """Agents enough for all."""
    shop = Workshop(client, seed)
    async with Worker(
        client, task_queue=pool_queue(POOL), activities=[shop.run_attempt], max_concurrent_activities=_AT_ONCE
    ):
        yield
