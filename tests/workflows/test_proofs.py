"""What is sent straight to Temporal is not taken for what the API sends: starts, services, policies, and the trail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowFailureError

from activities.clock import epoch_millis
from activities.settings import ApprovalSettings
from tests.workflows.conftest import keep_deployment_histories
from tests.workflows.deployment_harness import BOB, Deploys, deploys
from tests.workflows.test_persons import PARTIES, SECRET, registered, service_of, vouched, waiting
from workflows.client.deployments import DeploymentClient
from workflows.client.jobs import JobClient, job_start
from workflows.client.proving import Prover
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.commands import Cancel, JobInput
from workflows.contracts.deployments.commands import DeploymentInput, DeploymentResume, Reject
from workflows.contracts.deployments.deployment import DeploymentRequest
from workflows.contracts.deployments.environments import EnvironmentInput, EnvironmentState, HoldCommand
from workflows.contracts.deployments.policy import DecidePolicyChange
from workflows.contracts.deployments.services import ServiceWrite
from workflows.contracts.errors import Conflict, InvalidState, NotFound
from workflows.contracts.identity.proofs import GOOD_FOR_MS, Provable
from workflows.contracts.ids import (
    CONTROL_QUEUE,
    deployment_workflow_id,
    environment_workflow_id,
    job_workflow_id,
    new_job_id,
    service_workflow_id,
)
from workflows.contracts.jobs import JobSpec
from workflows.deployment.record import new_deployment
from workflows.job.record import submitted

REQUEST: dict[str, Any] = {"version": "1.0", "git_commit_sha": "a" * 40, "git_author": "mallory@example.com"}
AS_RITA: dict[str, Any] = {"via": "api", "address": "10.0.0.1", "role": "admin", "key_id": "key-1"}
WITH_SECRET = ApprovalSettings(signing_key=SecretStr(SECRET))


@pytest.fixture
async def strict(temporal_client: Client, request: pytest.FixtureRequest) -> AsyncIterator[Deploys]:
    """As in production."""
    async with deploys(temporal_client, WITH_SECRET) as harness:
        yield harness
        await keep_deployment_histories(request, harness)


def start_of(harness: Deploys, **approval: Any) -> DeploymentInput:
    return DeploymentInput(
        deployment_id=new_job_id(),
        request=DeploymentRequest(service_name=harness.name, **REQUEST),
        service=service_of(harness, **approval),
        created_by="rita",
        parties=PARTIES,
        **AS_RITA,
    )


def job_spec(harness: Deploys) -> JobSpec:
    return JobSpec(
        job_type="test",
        git_repo="file:///srv/shop.git",
        git_commit_sha="a" * 40,
        git_author="rita",
        pool=f"nobody-{harness.name}",
    )


async def by_hand(harness: Deploys, workflow: str, message: Provable, workflow_id: str) -> Any:
    """As whoever may write to Temporal can, also with what they have seen of the API's."""
    handle = await harness.client.start_workflow(workflow, message, id=workflow_id, task_queue=CONTROL_QUEUE)
    try:
        return await handle.result()
    except WorkflowFailureError as error:
        return str(error.cause)


def workflow_of(start: DeploymentInput) -> str:
    return deployment_workflow_id(start.request.service_name, start.request.version, start.deployment_id)


async def test_a_deployment_that_the_api_did_not_start_does_not_begin(strict: Deploys) -> None:
    """Nor with the proof of another one, of another definition or of another author."""
    start = start_of(strict)
    other = Prover(SECRET.encode()).proven(start, "deploy-other-1.0-7")
    mine = Prover(SECRET.encode()).proven(start, workflow_of(start))
    without_approval = mine.model_copy(update={"service": strict.service(strict.environment())})
    for_ann = mine.model_copy(update={"parties": None})
    for each in (start, other, without_approval, for_ann):
        said = await by_hand(strict, "DeploymentWorkflow", each, workflow_of(start))
        assert "it was sent straight to Temporal" in said, said
        assert "hybridci deploy start" in said
        assert await strict.stores.deployments.get(start.deployment_id) is None
    assert strict.ran == []
    start = start_of(strict)  # Temporal keeps the id of one that has failed
    await strict.releases.start(start)
    record = await strict.stores.deployments.get(start.deployment_id)
    assert record is not None
    assert record.start_doubt is None
    created = (await strict.events(record))[0]
    assert (created.by, created.via, created.role, created.key_id) == ("rita", "api", "admin", "key-1")
    assert created.claim is None
    assert '"claim"' not in created.model_dump_json(), "proofs are for the way only"


async def test_nor_one_that_says_how_far_it_is_already(strict: Deploys) -> None:
    """Only a run hands something on to the next; the API's word on a start says nothing of it."""
    start = start_of(strict)
    done = DeploymentResume(
        deployment=new_deployment(start, 1), progress='{"phase":"roll_out","granted":{"fence":7,"environment":"x"}}'
    )
    mine = Prover(SECRET.encode()).proven(start, workflow_of(start))
    for each in (start, mine):
        forged = each.model_copy(update={"resume": done})
        said = await by_hand(strict, "DeploymentWorkflow", forged, workflow_of(start))
        assert "it was sent straight to Temporal" in said, said
        assert await strict.stores.deployments.get(start.deployment_id) is None
    assert strict.ran == []
    held = EnvironmentState(service_name=strict.name, environment="production", fence=99, sequence=9 * 10**15)
    environment = EnvironmentInput(service_name=strict.name, environment="production", resume=held)
    workflow_id = environment_workflow_id(strict.name, "production")
    await strict.client.start_workflow("EnvironmentWorkflow", environment, id=workflow_id, task_queue=CONTROL_QUEUE)
    hold = HoldCommand(by="rita", reason="stop", **AS_RITA)
    state = await strict.releases.command_environment(strict.name, "production", hold)
    assert (state.fence, state.hold is not None) == (0, True)
    job = JobInput(job_id=new_job_id(), spec=job_spec(strict), created_by="rita")
    begun = job.model_copy(update={"resume": submitted(job, 1)})
    said = await by_hand(strict, "JobWorkflow", begun, job_workflow_id(job.job_id))
    assert "it was sent straight to Temporal" in said


async def test_nor_one_that_temporal_starts_again_by_a_schedule(strict: Deploys) -> None:
    """Its next run is a continued one, too, with what the first was given."""
    start = start_of(strict)
    done = DeploymentResume(
        deployment=new_deployment(start, 1), progress='{"phase":"roll_out","granted":{"fence":7,"environment":"x"}}'
    )
    handle = await strict.client.start_workflow(
        "DeploymentWorkflow",
        start.model_copy(update={"resume": done}),
        id=workflow_of(start),
        task_queue=CONTROL_QUEUE,
        cron_schedule="@every 1s",
    )
    first = (await handle.describe()).run_id
    async with asyncio.timeout(20):
        while (await handle.describe()).run_id == first:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    await handle.terminate("the test is over")
    assert strict.ran == []
    assert await strict.stores.deployments.get(start.deployment_id) is None


async def test_what_was_sent_once_is_no_key_to_send_it_again(strict: Deploys) -> None:
    """A closed workflow's input can be read, and its id used again; an environment's workflow is open for ever."""
    earlier = Prover(SECRET.encode(), lambda: epoch_millis() - GOOD_FOR_MS - 1000)
    start = start_of(strict)
    said = await by_hand(strict, "DeploymentWorkflow", earlier.proven(start, workflow_of(start)), workflow_of(start))
    assert "it was sent straight to Temporal" in said
    write = ServiceWrite(name=strict.name, spec=start.service.spec, by="rita", **AS_RITA)
    workflow_id = service_workflow_id(strict.name, new_job_id())
    said = await by_hand(strict, "ServiceWorkflow", earlier.proven(write, workflow_id), workflow_id)
    assert "it was sent straight to Temporal" in said
    hold = HoldCommand(by="rita", reason="stop", **AS_RITA)
    workflow_id = environment_workflow_id(strict.name, "production")
    await DeploymentClient(strict.client, earlier).command_environment(strict.name, "production", hold)
    again = hold.model_copy(update={"heard_at": epoch_millis() - GOOD_FOR_MS - 1000})
    for sent in (hold, again):
        await strict.client.get_workflow_handle(workflow_id).signal("hold", earlier.proven(sent, workflow_id))
    await strict.until_environment(lambda state: state.sequence > 0)
    await strict.client.get_workflow_handle(workflow_id).signal("release", {"by": "rita"})
    await strict.until_environment(lambda state: state.hold is None)
    found = await strict.stores.events.list(EventQuery(service_name=strict.name, action="environment.held"))
    assert [(event.via, event.role) for event in found.items] == [("temporal", None)] * 3


async def test_a_deployment_that_has_ended_is_not_run_again(strict: Deploys) -> None:
    """Temporal takes a closed workflow back, and gives its id again: the proofs of then would be good."""
    start = start_of(strict)
    begun = await strict.releases.start(start)
    await strict.until_waits(begun, "waits for approval")
    await strict.releases.command(begun, Reject(by=BOB, reason="no"))
    ended = await strict.until_status(begun, "failed")
    assert await strict.result(begun) == ended
    ran = len(strict.ran)
    again = Prover(SECRET.encode()).proven(start, workflow_of(start))
    said = await by_hand(strict, "DeploymentWorkflow", again, workflow_of(start))
    assert f"Deployment {start.deployment_id} has ended; it is not run again" in said, said
    assert len(strict.ran) == ran
    assert await strict.get(begun) == ended


@pytest.mark.parametrize("said_again", [True, False])
async def test_nor_one_that_is_taken_back_to_any_of_its_tasks(strict: Deploys, said_again: bool) -> None:
    """With what was said to it since, or with an approval that is said to it now."""
    begun = await waiting(strict, service_of(strict))
    await strict.releases.command(begun, Reject(by=BOB, reason="no"))
    ended = await strict.until_status(begun, "failed")
    handle, ran = strict.handle(begun), len(strict.ran)
    await strict.result(begun)
    ended = await strict.get(begun)
    first = (await handle.describe()).run_id
    history = (await handle.fetch_history()).events
    tasks = [event.event_id for event in history if event.HasField("workflow_task_completed_event_attributes")]
    assert len(tasks) > 2
    refused = list[str]()
    for task in tasks:
        await strict.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=strict.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=first),
                reason="again",
                request_id=new_job_id(),
                workflow_task_finish_event_id=task,
                reset_reapply_exclude_types=[]
                if said_again
                else [ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE],
            )
        )
        if not said_again:
            with suppress(InvalidState, NotFound, Conflict):  # it has failed already
                await strict.releases.command(begun, vouched(begun, BOB))
        try:
            done = await strict.result(begun)
        except WorkflowFailureError as error:
            refused.append(str(error.cause))
        else:
            assert done.status == ended.status, "it had done all already"
    assert refused
    assert all(f"Deployment {begun.deployment_id} has ended; it is not run again" in why for why in refused)
    assert (len(strict.ran), await strict.get(begun)) == (ran, ended)


async def test_where_it_may_begin_no_approval_of_it_counts_as_verified(temporal_client: Client) -> None:
    """Who started it and who wrote it are the word of nobody knows whom."""
    both = WITH_SECRET.model_copy(update={"allow_unverified": True})
    async with deploys(temporal_client, both) as harness:
        for allowed in (False, True):
            start = start_of(harness, allow_unverified=allowed)
            await harness.client.start_workflow(
                "DeploymentWorkflow", start, id=workflow_of(start), task_queue=CONTROL_QUEUE
            )
            begun = await harness.releases.created(start)
            harness.started.append(begun)
            deployment = await harness.until_waits(begun, "waits for approval")
            assert "started unverified" in deployment.remarks
            created = (await harness.events(deployment))[0]
            assert (created.by, created.via, created.role, created.key_id) == ("rita", "temporal", None, None)
            if allowed:
                live = await harness.releases.command(deployment, vouched(deployment, BOB))
                assert [(each.verified, each.counts) for each in live.approvals] == [(False, True)]
                await harness.until_status(deployment, "live")
            else:
                with pytest.raises(InvalidState, match=r"who started 1\.0 is not known: it was sent straight"):
                    await harness.releases.command(deployment, vouched(deployment, BOB))
                await harness.releases.command(deployment, Reject(by=BOB, reason="by hand"))


async def test_no_service_is_changed_by_hand_nor_its_policy_decided_on(strict: Deploys) -> None:
    asks = service_of(strict).spec.model_copy(update={"policy_change_needs_second_person": True})
    await registered(strict, service_of(strict).model_copy(update={"spec": asks}))
    weaker = strict.service(strict.environment()).spec
    write = ServiceWrite(name=strict.name, spec=weaker, by="rita", **AS_RITA)
    said = await by_hand(strict, "ServiceWorkflow", write, service_workflow_id(strict.name, new_job_id()))
    assert "it was sent straight to Temporal" in said
    assert "hybridci service apply" in said
    service = await strict.releases.apply_service(write)
    assert (service.version, service.spec) == (2, asks)
    assert service.policy_change is not None, "it waits for a second person"
    decision = DecidePolicyChange(name=strict.name, version=2, approve=True, by="cat", **AS_RITA)
    said = await by_hand(strict, "PolicyDecisionWorkflow", decision, service_workflow_id(strict.name, new_job_id()))
    assert "it was sent straight to Temporal" in said
    present = await strict.stores.services.get(strict.name)
    assert present == service
    assert (await strict.releases.decide_policy_change(decision)).spec == weaker


async def test_a_command_by_hand_stands_in_the_trail_as_a_name_and_no_more(strict: Deploys) -> None:
    """Also with the proof of a command that the API has sent, to another deployment or with other words."""
    one, two = await waiting(strict, service_of(strict)), await waiting(strict, service_of(strict), "2.0")
    told = Reject(by="rita", reason="not today", **AS_RITA)
    await strict.releases.command(one, told)
    seen = Prover(SECRET.encode()).proven(told, strict.handle(one).id)
    await strict.handle(two).signal("reject", seen)
    await strict.until_status(two, "failed")
    for deployment, who in ((one, ("rita", "api", "admin", "key-1")), (two, ("rita", "temporal", None, None))):
        trail = await strict.events(deployment)
        said = next(event for event in trail if event.action == "deployment.rejected" and event.by == "rita")
        assert (said.by, said.via, said.role, said.key_id) == who
        assert said.claim is None


async def test_the_same_of_environments_and_jobs(strict: Deploys, temporal_client: Client) -> None:
    hold = HoldCommand(by="rita", reason="stop", **AS_RITA)
    await strict.releases.command_environment(strict.name, "production", hold)
    handle = temporal_client.get_workflow_handle(environment_workflow_id(strict.name, "production"))
    stop = hold.model_copy(update={"reason": "by hand"})
    await handle.execute_update("hold", stop)  # pyright: ignore[reportUnknownMemberType]
    found = await strict.stores.events.list(EventQuery(service_name=strict.name, action="environment.held"))
    assert {(event.reason, event.via, event.role) for event in found.items} == {
        ("stop", "api", "admin"),
        ("by hand", "temporal", None),
    }
    jobs = JobClient(temporal_client, Prover(SECRET.encode()))
    spec = job_spec(strict)
    mine, theirs = (JobInput(job_id=new_job_id(), spec=spec, created_by="rita", role="admin") for _ in range(2))
    await jobs.submit(mine)
    await temporal_client.start_workflow("JobWorkflow", theirs, **job_start(theirs))
    await jobs.created(theirs.job_id)
    await jobs.cancel(mine.job_id, Cancel(by="rita", **AS_RITA))
    handle, cancel = temporal_client.get_workflow_handle(job_workflow_id(theirs.job_id)), Cancel(by="rita", **AS_RITA)
    await handle.execute_update("cancel", cancel)  # pyright: ignore[reportUnknownMemberType]
    for job, via, role in ((mine, "api", "admin"), (theirs, "temporal", None)):
        trail = (await strict.stores.events.list(EventQuery(job_id=job.job_id))).items
        asked = [event for event in trail if event.by == "rita"]
        assert [(event.via, event.role) for event in asked] == [(via, role)] * 2
