"""Drive EnvironmentWorkflow on a real Temporal server with scripted deployments and a recorder for the control worker.

The recorder keeps the store's contract: an older or repeated sequence changes nothing.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.sandbox import LeanSandbox
from workflows.client.deployments import DeploymentClient
from workflows.contracts.deployments.environments import (
    BecameLive,
    EnvironmentInput,
    EnvironmentSignal,
    EnvironmentState,
    EnvironmentWrite,
    FreezeAnswer,
    FreezeQuestion,
    Granted,
    Join,
    Leave,
    Leaving,
    Reinstated,
    StopsChanged,
    Superseded,
    Ticket,
    Waiting,
    Yielded,
    YieldRequested,
)
from workflows.contracts.deployments.line import StopAnswer, StopQuestion
from workflows.contracts.deployments.reopening import TellLive
from workflows.contracts.ids import CONTROL_QUEUE, environment_workflow_id
from workflows.environment.workflow import EnvironmentWorkflow

SIGNALS: dict[type[EnvironmentSignal], str] = {
    Join: "join",
    Leave: "leave",
    BecameLive: "became_live",
    Yielded: "yielded",
}


STAND_INS = "stand-ins"


class Heard(BaseModel):
    """What an environment told a deployment."""

    deployment_id: str
    name: str
    message: dict[str, Any]


@workflow.defn(name="DeploymentStandIn")
class DeploymentStandIn:
    """Hears what an environment says, and hands over when it is to."""

    def __init__(self) -> None:
        self._heard: list[tuple[str, BaseModel]] = []
        self._ended = False

    @workflow.run
    async def run(self, deployment_id: str, environment: str, hands_over: bool) -> None:
        while not self._ended:
            await workflow.wait_condition(lambda: self._ended or bool(self._heard))
            while self._heard:
                name, message = self._heard.pop(0)
                await workflow.execute_local_activity(
                    "hear",
                    Heard(deployment_id=deployment_id, name=name, message=message.model_dump(mode="json")),
                    start_to_close_timeout=timedelta(seconds=10),
                )
                if name == "yield_requested" and hands_over:
                    handle: workflow.ExternalWorkflowHandle[Any] = workflow.get_external_workflow_handle(environment)
                    await handle.signal("yielded", Yielded(deployment_id=deployment_id))

    @workflow.signal
    def granted(self, message: Granted) -> None:
        self._heard.append(("granted", message))

    @workflow.signal
    def waiting(self, message: Waiting) -> None:
        self._heard.append(("waiting", message))

    @workflow.signal
    def yield_requested(self, message: YieldRequested) -> None:
        self._heard.append(("yield_requested", message))

    @workflow.signal
    def superseded(self, message: Superseded) -> None:
        self._heard.append(("superseded", message))

    @workflow.signal
    def reinstated(self, message: Reinstated) -> None:
        self._heard.append(("reinstated", message))

    @workflow.signal
    def stops_changed(self, message: StopsChanged) -> None:
        self._heard.append(("stops_changed", message))

    @workflow.signal
    def end(self) -> None:
        self._ended = True


class Recorder:
    """Stands for the control worker's activities of environments."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.writes: dict[str, list[EnvironmentWrite]] = {}
        self.fail: BaseException | None = None
        self.failed = asyncio.Event()
        self.windows: Callable[[FreezeQuestion], FreezeAnswer] = lambda _: FreezeAnswer()
        self.line: Callable[[StopQuestion], StopAnswer] = lambda _: StopAnswer()
        self.heard: list[Heard] = []
        self.stand_ins: list[str] = []

    @activity.defn(name="load_environment")
    async def load_environment(self, start: EnvironmentInput) -> EnvironmentState | None:
        kept = self.writes.get(environment_workflow_id(start.service_name, start.environment))
        return kept[-1].state if kept else None

    @activity.defn(name="record_environment")
    async def record_environment(self, write: EnvironmentWrite) -> None:
        if self.fail is not None:
            self.failed.set()
            raise self.fail
        kept = self.writes.setdefault(environment_workflow_id(write.state.service_name, write.state.environment), [])
        if not kept or kept[-1].state.sequence < write.state.sequence:
            kept.append(write)

    @activity.defn(name="tell_live")
    async def tell_live(self, tell: TellLive) -> None:
        """A stand-in that has gone is not started again: it is refused, as one without a record."""
        stand_in = next(each for each in self.stand_ins if each.endswith(tell.deployment_id))
        try:
            await self._client.get_workflow_handle(stand_in).signal("reinstated", tell.reinstated)
        except RPCError as error:
            raise ApplicationError("it has no record", type="invalid_state", non_retryable=True) from error

    @activity.defn(name="check_freeze")
    async def check_freeze(self, question: FreezeQuestion) -> FreezeAnswer:
        return self.windows(question)

    @activity.defn(name="check_stops")
    async def check_stops(self, question: StopQuestion) -> StopAnswer:
        return self.line(question)

    @activity.defn(name="hear")
    async def hear(self, heard: Heard) -> None:
        self.heard.append(heard)

    @activity.defn(name="await_closed")
    async def await_closed(self, workflow_id: str) -> str:
        handle = self._client.get_workflow_handle(workflow_id)
        while True:
            activity.heartbeat()
            status = (await handle.describe()).status
            if status is not WorkflowExecutionStatus.RUNNING:
                return status.name.lower() if status is not None else "unknown"
            await asyncio.sleep(0.2)


class Deployment:
    """A stand-in deployment and what it can say."""

    def __init__(self, lab: "Lab", name: str, version: str, handle: WorkflowHandle[Any, Any]) -> None:
        self.lab, self.id, self.version, self.handle = lab, name, version, handle
        self.ticket = Ticket(
            deployment_id=name,
            workflow_id=handle.id,
            version=version,
            git_commit_sha="a" * 40,
            arrived_at=1,
            ready=True,
            final=True,
        )

    async def join(self, **change: Any) -> None:
        self.ticket = self.ticket.model_copy(update=change)
        await self.lab.say(Join(ticket=self.ticket))

    async def leave(self, how: Leaving = Leaving.ENDED, **fields: Any) -> None:
        await self.lab.say(Leave(deployment_id=self.id, how=how, **fields))

    async def goes_live(self) -> None:
        await self.lab.say(BecameLive(deployment_id=self.id))

    def heard(self) -> list[str]:
        return [heard.name for heard in self.lab.recorder.heard if heard.deployment_id == self.id]

    async def hears(self, name: str, times: int = 1) -> dict[str, Any]:
        """Wait until it was told this so often; returns the last of them."""
        for _ in range(3000):
            said = [each for each in self.lab.recorder.heard if (each.deployment_id, each.name) == (self.id, name)]
            if len(said) >= times:
                return said[-1].message
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.version} never heard {name}; it heard {self.heard()}")

    async def holds(self, times: int = 1) -> int:
        """Wait for its turn; returns its number."""
        return int((await self.hears("granted", times))["fence"])


class Lab:
    """One environment of a service of its own, and the deployments a test started."""

    def __init__(self, client: Client, recorder: Recorder) -> None:
        self.client, self.recorder = client, recorder
        self.deployments = DeploymentClient(client)
        self.service, self.environment = f"shop-{uuid.uuid4().hex[:8]}", "production"
        self.id = environment_workflow_id(self.service, self.environment)
        self._started: list[Deployment] = []

    @property
    def handle(self) -> WorkflowHandle[EnvironmentWorkflow, None]:
        return self.client.get_workflow_handle_for(EnvironmentWorkflow.run, self.id)

    async def deployment(self, version: str, *, hands_over: bool = True) -> Deployment:
        name = str(uuid.uuid4())
        handle = await self.client.start_workflow(
            "DeploymentStandIn",
            args=[name, self.id, hands_over],
            id=f"deploy-{self.service}-{version}-{name}",
            task_queue=STAND_INS,
        )
        self.recorder.stand_ins.append(handle.id)
        started = Deployment(self, name, version, handle)
        self._started.append(started)
        return started

    async def live(self, version: str, **how: Any) -> Deployment:
        """A deployment that has gone all the way."""
        started = await self.deployment(version, **how)
        await started.join()
        await started.holds()
        await started.goes_live()
        await self.until(lambda state: state.live is not None and state.live.deployment_id == started.id)
        return started

    async def say(self, message: EnvironmentSignal) -> None:
        """What the activity ``signal_environment`` does."""
        await self.signal(SIGNALS[type(message)], message)

    async def signal(self, name: str, *args: Any) -> None:
        await self.client.start_workflow(
            "EnvironmentWorkflow",
            EnvironmentInput(service_name=self.service, environment=self.environment),
            id=self.id,
            task_queue=CONTROL_QUEUE,
            start_signal=name,
            start_signal_args=args,
        )

    @property
    def written(self) -> EnvironmentState:
        return self.recorder.writes[self.id][-1].state

    def actions(self) -> list[str]:
        """The audit trail."""
        writes = self.recorder.writes.get(self.id, [])
        events = {event.event_id: event for write in writes for event in write.events}  # a task can run again
        return [event.action.removeprefix("environment.") for event in events.values()]

    async def until(self, condition: Callable[[EnvironmentState], bool], *, seconds: float = 60) -> EnvironmentState:
        """Wait until the record that was written last fulfils the condition."""
        for _ in range(int(seconds / 0.02)):
            writes = self.recorder.writes.get(self.id)
            if writes and condition(writes[-1].state):
                return writes[-1].state
            await asyncio.sleep(0.02)
        raise AssertionError(f"never reached; last written: {self.recorder.writes.get(self.id, [None])[-1]}")

    async def noted(self, action: str) -> dict[str, Any]:
        """Wait for a line of the audit trail."""
        await self.until(lambda _: action in self.actions())
        writes = self.recorder.writes[self.id]
        events = [event for write in writes for event in write.events if event.action == f"environment.{action}"]
        return events[-1].model_dump()

    async def close(self) -> None:
        """End what is open: workflows without a worker would go on in the next test's worker."""
        for handle in [self.handle, *(each.handle for each in self._started)]:
            try:
                await handle.terminate("the test is over")
            except RPCError:  # it has ended
                continue


@asynccontextmanager
async def lab(client: Client) -> AsyncGenerator[Lab]:
    """The stand-ins need no sandbox, which would load this module anew for each of them."""
    recorder = Recorder(client)
    activities = [
        recorder.load_environment,
        recorder.record_environment,
        recorder.check_freeze,
        recorder.tell_live,
        recorder.check_stops,
        recorder.await_closed,
    ]
    async with (
        Worker(
            client,
            task_queue=CONTROL_QUEUE,
            workflows=[EnvironmentWorkflow],
            activities=activities,
            workflow_runner=LeanSandbox(),
            max_heartbeat_throttle_interval=timedelta(seconds=0.2),  # a watch that is over ends soon
        ),
        Worker(
            client,
            task_queue=STAND_INS,
            workflows=[DeploymentStandIn],
            activities=[recorder.hear],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
    ):
        yield Lab(client, recorder)
