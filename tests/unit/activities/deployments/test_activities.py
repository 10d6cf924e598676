"""The control worker's activities for deployments and environments, in Temporal's activity environment and, where they
talk to Temporal, against the real server.
"""

import asyncio
import dataclasses
import hashlib
import io
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.bootstrap import ControlActivities, build_activities
from activities.environments import activities as environments
from activities.environments.activities import EnvironmentActivities
from activities.environments.temporal import TemporalWorkflows
from activities.events.witness import Witness
from activities.stores.open import Stores, open_memory_stores
from tests.unit.deployment_records import in_status, make_deployment, make_spec, make_state, make_ticket, make_write
from workflows.contracts import search_attributes as attributes
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.commands import JobInput
from workflows.contracts.deployments.deployment import DeploymentStatus, DeploymentWrite
from workflows.contracts.deployments.environments import (
    BecameLive,
    EnvironmentInput,
    EnvironmentWrite,
    FreezeQuestion,
    Join,
    Leave,
    Leaving,
    SignalEnvironment,
    Yielded,
)
from workflows.contracts.deployments.rules import FreezeWindow
from workflows.contracts.deployments.services import DefinitionRequest
from workflows.contracts.errors import InvalidState, ValidationFailed, error_from_code
from workflows.contracts.ids import environment_workflow_id
from workflows.contracts.jobs import JobSpec


@pytest.fixture
def stores() -> Stores:
    return open_memory_stores()


def activities_of(stores: Stores) -> ControlActivities:
    client: Any = None  # nothing here asks Temporal
    return build_activities(stores, client, clock=lambda: 42)


async def run(body: Callable[..., Awaitable[Any]], argument: object) -> Any:
    return await ActivityEnvironment().run(body, argument)


async def refusal(body: Callable[..., Awaitable[Any]], argument: object) -> Any:
    """The error as the other side of the boundary reads it."""
    with pytest.raises(ApplicationError) as caught:
        await run(body, argument)
    error = caught.value
    assert error.non_retryable
    return error_from_code(error.type, error.message, error.details[0])


class TestServices:
    async def test_a_service_is_applied_and_answered(self, stores: Stores) -> None:
        service = await run(activities_of(stores).services.apply_service, make_write())
        assert (service.version, service.updated_at) == (1, 42)
        assert await stores.services.get("shop") == service
        events = (await stores.events.list(EventQuery(service_name="shop"))).items
        assert [(event.event_id, event.action) for event in events] == [("test-applied", "service.applied")]

    async def test_the_same_workflow_tried_again_gets_the_same_answer(self, stores: Stores) -> None:
        body = activities_of(stores).services.apply_service
        first = await run(body, make_write(expected_version=0))
        assert await run(body, make_write(expected_version=0)) == first

    async def test_refusals_cross_with_their_details(self, stores: Stores) -> None:
        body = activities_of(stores).services.apply_service
        error = await refusal(body, make_write(expected_version=7))
        assert isinstance(error, InvalidState)
        assert error.details == {"version": 0}
        window = FreezeWindow(name="w", cron="0 0 * * 9", duration_seconds=60)
        spec = make_spec()
        production = spec.environments[1].model_copy(update={"freeze_windows": [window]})
        error = await refusal(body, make_write(spec=make_spec(spec.environments[0], production)))
        assert isinstance(error, ValidationFailed)
        assert [found.field for found in error.errors] == ["environments.1.freeze_windows.0.cron"]


class TestDeployments:
    async def test_created_recorded_and_loaded(self, stores: Stores) -> None:
        bodies = activities_of(stores).deployments
        event = AuditEvent(event_id="e1", at=1, action="deployment.created", deployment_id="d1")
        await run(bodies.create_deployment, DeploymentWrite(deployment=make_deployment(sequence=1), events=[event]))
        live = in_status(DeploymentStatus.LIVE, sequence=2)
        write = DeploymentWrite(deployment=live, previous=DeploymentStatus.PRODUCTION)
        await run(bodies.record_deployment, write)
        await run(bodies.record_deployment, write)
        assert await run(bodies.load_deployment, "d1") == live
        assert await run(bodies.load_deployment, "nope") is None
        assert (await stores.events.list(EventQuery(deployment_id="d1"))).items == [event]

    async def test_refusals_are_final(self, stores: Stores) -> None:
        bodies = activities_of(stores).deployments
        bad = DeploymentWrite(deployment=make_deployment(git_commit_sha="main"))
        assert isinstance(await refusal(bodies.create_deployment, bad), ValidationFailed)
        back = in_status(DeploymentStatus.LIVE, sequence=2)
        illegal = DeploymentWrite(deployment=back, previous=DeploymentStatus.ROLLED_BACK)
        assert isinstance(await refusal(bodies.record_deployment, illegal), InvalidState)

    async def test_a_definition_is_read_from_the_jobs_artifact(self, stores: Stores) -> None:
        body = activities_of(stores).services.load_definition
        text = b"environments: [{name: staging, external: true}]"
        digest = hashlib.sha256(text).hexdigest()
        await stores.artifacts.put("job", 1, ".hybridci.yml", io.BytesIO(text), sha256=digest)
        found = await run(body, DefinitionRequest(job_id="job", attempt=1, path=".hybridci.yml"))
        assert [each.name for each in found.environments] == ["staging"]
        error = await refusal(body, DefinitionRequest(job_id="job", attempt=2, path=".hybridci.yml"))
        assert isinstance(error, ValidationFailed)


class TestEnvironments:
    async def test_recorded_and_loaded(self, stores: Stores) -> None:
        bodies = activities_of(stores).environments
        state = make_state(sequence=1, fence=5)
        event = AuditEvent(event_id="e1", at=1, action="environment.held", service_name="shop")
        await run(bodies.record_environment, EnvironmentWrite(state=state, events=[event]))
        assert (
            await run(bodies.load_environment, EnvironmentInput(service_name="shop", environment="production")) == state
        )
        assert await run(bodies.load_environment, EnvironmentInput(service_name="shop", environment="staging")) is None
        assert (await stores.events.list(EventQuery(service_name="shop"))).items == [event]

    async def test_a_freeze_is_checked(self, stores: Stores) -> None:
        body = activities_of(stores).environments.check_freeze
        always = FreezeWindow(name="always", cron="* * * * *", duration_seconds=120)
        answer = await run(body, FreezeQuestion(at=1_795_000_000_000, windows=[always]))
        assert answer.name == "always"
        bad = always.model_copy(update={"timezone": "Mars"})
        assert isinstance(await refusal(body, FreezeQuestion(at=0, windows=[bad])), ValidationFailed)


class Closing:
    """Stands for ``TemporalWorkflows.closed``: says so when it is let go, and knows whether it was dropped."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.waits = self.dropped = False

    async def __call__(self, workflow_id: str) -> str:
        self.waits = True
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.dropped = True
            raise
        return f"{workflow_id} completed"


class TestAwaitClosed:
    @pytest.fixture(autouse=True)
    def often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(environments, "HEARTBEAT_SECONDS", 0.01)

    def body(self, stores: Stores, closing: Closing) -> Callable[[str], Awaitable[str]]:
        parts = activities_of(stores).environments
        return EnvironmentActivities(parts.writing, parts.read, parts.send, closing, Witness(), parts.live).await_closed

    async def test_it_heartbeats_until_the_workflow_has_closed(self, stores: Stores) -> None:
        closing, environment = Closing(), ActivityEnvironment()
        beats = 0

        def on_heartbeat(*details: Any) -> None:
            nonlocal beats
            beats += 1
            if beats == 5:
                closing.let_go.set()

        environment.on_heartbeat = on_heartbeat
        waiting = environment.run(self.body(stores, closing), "w")
        assert await asyncio.wait_for(waiting, 60) == "w completed"
        assert beats >= 5

    async def test_cancellation_drops_the_wait(self, stores: Stores) -> None:
        closing, environment = Closing(), ActivityEnvironment()
        environment.on_heartbeat = lambda *details: environment.cancel() if closing.waits else None
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(environment.run(self.body(stores, closing), "w"), 60)
        assert closing.dropped

    async def test_a_worker_that_stops_hands_the_wait_over(self, stores: Stores) -> None:
        closing, environment = Closing(), ActivityEnvironment()
        environment.on_heartbeat = lambda *details: environment.worker_shutdown() if closing.waits else None
        with pytest.raises(ApplicationError) as caught:
            await asyncio.wait_for(environment.run(self.body(stores, closing), "w"), 60)
        error = caught.value
        assert (error.type, error.non_retryable) == ("unavailable", False)
        assert error.category is ApplicationErrorCategory.BENIGN
        assert closing.dropped

    async def test_what_temporal_answers_passes_through(self, stores: Stores) -> None:
        parts = activities_of(stores).environments

        async def broken(workflow_id: str) -> str:
            raise RuntimeError(workflow_id)

        bodies = EnvironmentActivities(parts.writing, parts.read, parts.send, broken, Witness(), parts.live)
        with pytest.raises(RuntimeError, match="w"):
            await run(bodies.await_closed, "w")


@workflow.defn(name="Told")
class Told:
    """Ends as it is told: goes on in a new run first, completes or fails."""

    def __init__(self) -> None:
        self._word: str | None = None

    @workflow.signal
    def tell(self, word: str) -> None:
        self._word = word

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self._word is not None)
        if self._word == "again":
            workflow.continue_as_new()
        if self._word == "fail":
            raise ApplicationError("as it was told", non_retryable=True)
        return "done"


@asynccontextmanager
async def told(client: Client) -> AsyncGenerator[WorkflowHandle[Any, Any]]:
    queue = f"told-{uuid.uuid4()}"
    runner = UnsandboxedWorkflowRunner()
    async with Worker(client, task_queue=queue, workflows=[Told], workflow_runner=runner):
        yield await client.start_workflow("Told", id=queue, task_queue=queue, execution_timeout=timedelta(minutes=1))


class TestClosedWorkflows:
    async def closed(self, client: Client, workflow_id: str) -> str:
        return await asyncio.wait_for(TemporalWorkflows(client).closed(workflow_id), 60)

    @pytest.mark.parametrize(("word", "status"), [("complete", "completed"), ("fail", "failed")])
    async def test_however_it_ends_by_itself(self, temporal_client: Client, word: str, status: str) -> None:
        async with told(temporal_client) as handle:
            waiting = asyncio.ensure_future(self.closed(temporal_client, handle.id))
            await handle.signal("tell", word)
            assert await waiting == status
            assert await self.closed(temporal_client, handle.id) == status

    async def test_terminated_and_cancelled(self, temporal_client: Client) -> None:
        async with told(temporal_client) as handle:
            waiting = asyncio.ensure_future(self.closed(temporal_client, handle.id))
            await handle.terminate("somebody pulled the plug")
            assert await waiting == "terminated"
        async with told(temporal_client) as handle:
            await handle.cancel()
            assert await self.closed(temporal_client, handle.id) == "canceled"

    async def test_all_runs_of_it(self, temporal_client: Client) -> None:
        async with told(temporal_client) as handle:
            first = (await handle.describe()).run_id
            waiting = asyncio.ensure_future(self.closed(temporal_client, handle.id))
            await handle.signal("tell", "again")
            while (await handle.describe()).run_id == first:
                assert not waiting.done()
                await asyncio.sleep(0.05)
            assert not waiting.done()
            await handle.signal("tell", "complete")
            assert await waiting == "completed"

    async def test_one_that_never_was(self, temporal_client: Client) -> None:
        assert await self.closed(temporal_client, f"deploy-{uuid.uuid4()}") == "not_found"


class TestSignalEnvironment:
    async def test_the_first_starts_the_workflow_and_the_others_find_it(self, temporal_client: Client) -> None:
        service = f"svc-{uuid.uuid4().hex[:8]}"
        send = TemporalWorkflows(temporal_client).signal_environment
        messages: list[dict[str, Any]] = [
            {"join": Join(ticket=make_ticket("d1"))},
            {"became_live": BecameLive(deployment_id="d1")},
            {"yielded": Yielded(deployment_id="d1")},
            {"leave": Leave(deployment_id="d1", how=Leaving.ENDED)},
        ]
        handle = temporal_client.get_workflow_handle(environment_workflow_id(service, "production"))
        try:
            for message in messages:
                await send(SignalEnvironment(service_name=service, environment="production", **message))
            description = await handle.describe()
            events = (await handle.fetch_history()).events
        finally:
            await handle.terminate("the test is over")
        assert description.workflow_type == "EnvironmentWorkflow"
        assert description.task_queue == "control"
        assert description.typed_search_attributes.get(attributes.SERVICE) == service
        assert description.typed_search_attributes.get(attributes.ENVIRONMENT) == "production"
        assert await description.static_summary() == f"production of {service}: one deployment at a time"
        [started] = [event for event in events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED]
        [argument] = await temporal_client.data_converter.decode(
            started.workflow_execution_started_event_attributes.input.payloads, [EnvironmentInput]
        )
        assert argument == EnvironmentInput(service_name=service, environment="production")
        signals = [
            event.workflow_execution_signaled_event_attributes
            for event in events
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
        ]
        assert [signal.signal_name for signal in signals] == ["join", "became_live", "yielded", "leave"]
        [ticket] = await temporal_client.data_converter.decode(signals[0].input.payloads, [Join])
        assert ticket == messages[0]["join"]

    @pytest.mark.parametrize(
        "messages", [{}, {"yielded": Yielded(deployment_id="d"), "became_live": BecameLive(deployment_id="d")}]
    )
    async def test_exactly_one_message(self, temporal_client: Client, messages: dict[str, Any]) -> None:
        service = f"svc-{uuid.uuid4().hex[:8]}"
        signal = SignalEnvironment(service_name=service, environment="production", **messages)
        with pytest.raises(ValidationFailed, match="exactly one of join, leave, became_live, yielded"):
            await TemporalWorkflows(temporal_client).signal_environment(signal)
        workflow_id = environment_workflow_id(service, "production")
        assert await TemporalWorkflows(temporal_client).closed(workflow_id) == "not_found"


async def test_an_activity_runs_as_a_part_of_a_workflow_only(stores: Stores) -> None:
    """Temporal runs one alone, too, for whoever may write to it."""
    alone = ActivityEnvironment()
    alone.info = dataclasses.replace(ActivityEnvironment.default_info(), workflow_id=None)
    parts = activities_of(stores)
    bodies: list[Any] = [parts.deployments.load_deployment, parts.deployments.sign_specification]
    bodies += [parts.jobs.create_job, parts.services.load_definition, parts.environments.record_environment]
    for body in bodies:
        with pytest.raises(ApplicationError, match="is a part of a workflow, and runs in none here") as caught:
            await alone.run(body, "x")
        assert (caught.value.type, caught.value.non_retryable) == ("invalid_state", True)


async def test_a_deployments_job_is_signed_for_its_own_workflow_only(stores: Stores) -> None:
    bodies, environment = activities_of(stores).deployments, ActivityEnvironment()
    spec = JobSpec(job_type="deploy", git_repo="file:///x", git_commit_sha="a" * 40, git_author="ann")
    own = {"workflow_id": "deploy-shop-1.0-d7", "workflow_type": "DeploymentWorkflow"}
    cases: list[tuple[dict[str, Any], str | None, bool]] = [
        (own, "d7", True),
        ({**own, "workflow_type": "Mine"}, "d7", False),
        (own, "d8", False),
        (own, None, False),
    ]
    for asker, deployment_id, signs in cases:
        environment.info = dataclasses.replace(ActivityEnvironment.default_info(), **asker)
        start = JobInput(job_id="1", spec=spec, deployment_id=deployment_id)
        if signs:
            assert await environment.run(bodies.sign_specification, start) is None, "it has no key"
            continue
        with pytest.raises(ApplicationError, match="Nothing was signed"):
            await environment.run(bodies.sign_specification, start)
