"""Registering a service, on the real server, with a scripted store."""

from collections.abc import AsyncIterator, Callable

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from tests.workflows.conftest import keep_history
from workflows.client.deployments import DeploymentClient
from workflows.contracts.deployments.policy import DecidePolicyChange
from workflows.contracts.deployments.services import Service, ServiceWrite
from workflows.contracts.errors import FieldError, InvalidState, ValidationFailed
from workflows.contracts.ids import CONTROL_QUEUE
from workflows.service.workflow import PolicyDecisionWorkflow, ServiceWorkflow

WRITE = ServiceWrite.model_validate(
    {
        "name": "shop",
        "spec": {"git_repo": "file:///srv/shop.git", "environments": [{"name": "staging", "external": True}]},
        "by": "ann",
    }
)


class Store:
    """Stands for the activity; ``answers`` are played in turn."""

    def __init__(self) -> None:
        self.answers: list[Callable[[ServiceWrite], Service]] = []
        self.decisions: list[DecidePolicyChange] = []
        self.workflow_ids: list[str] = []

    @activity.defn(name="apply_service")
    async def apply_service(self, write: ServiceWrite) -> Service:
        self.workflow_ids.append(activity.info().workflow_id or "")
        return self.answers.pop(0)(write)

    @activity.defn(name="decide_policy_change")
    async def decide_policy_change(self, decision: DecidePolicyChange) -> Service:
        self.workflow_ids.append(activity.info().workflow_id or "")
        self.decisions.append(decision)
        return self.answers.pop(0)(WRITE)


def stored(write: ServiceWrite) -> Service:
    return Service(name=write.name, version=7, spec=write.spec, created_at=1, updated_at=2, updated_by=write.by)


def failing(error: Exception) -> Callable[[ServiceWrite], Service]:
    def fail(_: ServiceWrite) -> Service:
        raise error

    return fail


@pytest.fixture
async def store(temporal_client: Client, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    started = Store()
    async with Worker(
        temporal_client,
        task_queue=CONTROL_QUEUE,
        workflows=[ServiceWorkflow, PolicyDecisionWorkflow],
        activities=[started.apply_service, started.decide_policy_change],
    ):
        yield started
        name = str(request.node.name).removeprefix("test_")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        await keep_history(request, temporal_client, started.workflow_ids[-1], f"service-{name}")


async def test_a_service_is_answered_as_it_is_stored(store: Store, temporal_client: Client) -> None:
    store.answers = [stored]
    assert await DeploymentClient(temporal_client).apply_service(WRITE) == stored(WRITE)
    assert store.workflow_ids[0].startswith("service-shop-")


async def test_a_store_that_does_not_answer_at_first_is_tried_again(store: Store, temporal_client: Client) -> None:
    store.answers = [failing(ApplicationError("throttled", type="unavailable")), failing(RuntimeError("?")), stored]
    assert (await DeploymentClient(temporal_client).apply_service(WRITE)).version == 7
    assert len(set(store.workflow_ids)) == 1


async def test_a_bad_definition_reaches_the_caller_with_its_fields(store: Store, temporal_client: Client) -> None:
    errors = [{"field": "environments.0.steps", "message": "must not be empty"}]
    refusal = ApplicationError("bad", {"errors": errors}, type="validation_failed", non_retryable=True)
    store.answers = [failing(refusal)]
    with pytest.raises(ValidationFailed) as caught:
        await DeploymentClient(temporal_client).apply_service(WRITE)
    assert caught.value.errors == [FieldError(field="environments.0.steps", message="must not be empty")]


async def test_another_version_than_expected_is_refused(store: Store, temporal_client: Client) -> None:
    refusal = ApplicationError("version 8 is present", {"version": 8}, type="invalid_state", non_retryable=True)
    store.answers = [failing(refusal)]
    with pytest.raises(InvalidState, match="version 8 is present") as caught:
        await DeploymentClient(temporal_client).apply_service(WRITE)
    assert caught.value.details == {"version": 8}
    assert len(store.workflow_ids) == 1


DECISION = DecidePolicyChange(name="shop", version=6, approve=True, by="bob")


async def test_a_decision_is_answered_with_the_service_as_it_is_then(store: Store, temporal_client: Client) -> None:
    store.answers = [failing(ApplicationError("throttled", type="unavailable")), stored]
    assert await DeploymentClient(temporal_client).decide_policy_change(DECISION) == stored(WRITE)
    heard = store.decisions[0].heard_at
    assert heard is not None
    assert store.decisions == [DECISION.heard(heard)] * 2, "tried until it is stored"
    assert len(set(store.workflow_ids)) == 1


async def test_a_refused_decision_says_why(store: Store, temporal_client: Client) -> None:
    refusal = ApplicationError("nothing waits there", {"version": 7}, type="invalid_state", non_retryable=True)
    store.answers = [failing(refusal)]
    with pytest.raises(InvalidState, match="nothing waits there") as caught:
        await DeploymentClient(temporal_client).decide_policy_change(DECISION)
    assert caught.value.details == {"version": 7}
    assert len(store.decisions) == 1
