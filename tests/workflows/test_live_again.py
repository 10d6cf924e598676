"""What is live always has an open workflow, however it became live; records, environment and workflows agree."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowFailureError

from activities.bootstrap import build_activities
from activities.clock import epoch_millis
from activities.environments.temporal import TemporalWorkflows
from tests.workflows.commit_order import unban
from tests.workflows.conftest import keep_history
from tests.workflows.deployment_harness import BOB, Deploys
from tests.workflows.harness import Agent, fail, succeed, until_cancelled
from tests.workflows.standing import until_all_agree
from workflows.client.live import live_again
from workflows.contracts.accepted import Accepted
from workflows.contracts.attempts import AttemptInput, AttemptResult
from workflows.contracts.deployments.commands import ReportMetrics, RollbackCommand
from workflows.contracts.deployments.deployment import Deployment, DeploymentWrite, LiveAgain, Rollback, RollbackStatus
from workflows.contracts.deployments.environments import (
    EnvironmentState,
    EnvironmentWrite,
    ReleaseCommand,
    RestoreLive,
    SignalEnvironment,
)
from workflows.contracts.deployments.reopening import LiveSwept
from workflows.contracts.errors import InvalidState
from workflows.contracts.ids import new_job_id
from workflows.deployment.record import rolled_back


async def back(deploys: Deploys, deployment: Deployment, **fields: Any) -> Deployment:
    """Roll it back, as the API does with what is live."""
    command = RollbackCommand(by=BOB, reason="slow", **fields)
    return await deploys.releases.roll_back_live(await deploys.get(deployment), command)


async def three(deploys: Deploys) -> tuple[Deployment, Deployment, Deployment]:
    """Live one after the other, as their environment knows too."""
    found = await deploys.live("1.0"), await deploys.live("1.1"), await deploys.live("1.2")
    await until_all_agree(deploys, "1.2")
    return found


async def test_back_and_back_and_forward_and_terminated_and_back(
    deploys: Deploys, request: pytest.FixtureRequest
) -> None:
    verification = {"max_error_rate": 0.5, "consecutive_breaches": 3}
    service = deploys.service(deploys.environment(verification=verification))
    one, two, last = [await deploys.live(version, service) for version in ("1.0", "1.1", "1.2")]
    await until_all_agree(deploys, "1.2")

    await back(deploys, last)
    now = await until_all_agree(deploys, "1.1")
    assert now is not None
    assert now.live_again is not None
    again = now.live_again
    assert (again.from_deployment_id, again.from_version, again.by) == (last.deployment_id, "1.2", BOB)
    assert (now.superseded_by, now.completed_at, now.cause, now.error_message) == (None, None, None, None)
    await deploys.releases.report_metrics(now, ReportMetrics(error_rate=0.01))
    await deploys.until(two, lambda found: [row.value for row in found.metric_rows] == [0.01])

    await back(deploys, two)
    now = await until_all_agree(deploys, "1.0")
    assert now is not None
    with pytest.raises(InvalidState, match=r"Nothing was live in production before 1\.0"):
        await back(deploys, one)

    with pytest.raises(InvalidState, match=r"1\.2 .* is banned"):
        await back(deploys, one, to_version="1.2")
    await unban(deploys, "1.2")  # as the API does for whoever names it
    answer = await back(deploys, one, to_version="1.2")
    assert answer.rollback is not None
    assert (answer.rollback.target_version, answer.rollback.forward) == ("1.2", True)
    now = await until_all_agree(deploys, "1.2")
    assert now is not None
    assert [each.status for each in now.rollbacks] == [RollbackStatus.SUCCEEDED]

    await deploys.handle(last).terminate("somebody's hand")
    answer = await back(deploys, last)
    assert answer.rollback is not None
    assert (answer.rollback.target_version, answer.rollback.forward) == ("1.0", False), (
        "1.1 is banned since it was left"
    )
    await until_all_agree(deploys, "1.0")
    rolled = [ran.where for ran in deploys.ran if ran.kind == "rollback"]
    assert rolled == [f"rollback production {version}" for version in ("1.1", "1.0", "1.2", "1.0")]
    actions = [event.action for event in await deploys.events(one)]
    assert actions.count("deployment.reopened") == 2
    fences = [ran.fence.number for ran in deploys.ran if ran.kind == "rollback" and ran.fence is not None]
    assert fences == sorted(set(fences))
    environment = deploys.environment_handle().id
    await keep_history(request, deploys.client, environment, "env-what_is_live_holds_it_after_each_rollback")


async def test_metrics_ask_a_person_about_a_version_that_is_live_again(deploys: Deploys) -> None:
    """It is what somebody went back to. What was said of its earlier life does not count."""
    verification = {"max_error_rate": 0.5, "consecutive_breaches": 2}
    service = deploys.service(deploys.environment(verification=verification))
    one, two, last = [await deploys.live(version, service) for version in ("1.0", "1.1", "1.2")]
    await until_all_agree(deploys, "1.2")
    await back(deploys, last)
    now = await until_all_agree(deploys, "1.1")
    assert now is not None
    assert now.deployment_id == two.deployment_id
    await deploys.releases.command_environment(deploys.name, "production", ReleaseCommand(by=BOB))
    await deploys.releases.report_metrics(two, ReportMetrics(error_rate=0.9))
    await deploys.pause()
    assert (await deploys.get(two)).needs_decision is None
    await deploys.releases.report_metrics(two, ReportMetrics(error_rate=0.9))
    asked = await deploys.until(two, lambda found: found.needs_decision is not None)
    assert asked.status == "live"
    assert "error rate 0.9 is above 0.5" in (asked.waits_for or "")
    assert "hybridci deploy rollback" in (asked.waits_for or "")
    await back(deploys, two)
    assert (await until_all_agree(deploys, "1.0")) == await deploys.get(one)


async def test_the_next_one_takes_over_from_a_version_that_is_live_again(deploys: Deploys) -> None:
    one, two, last = await three(deploys)
    await back(deploys, last)
    await until_all_agree(deploys, "1.1")
    await deploys.releases.command_environment(deploys.name, "production", ReleaseCommand(by=BOB))
    four = await deploys.live("1.3")
    await deploys.until_status(two, "superseded")
    assert (await until_all_agree(deploys, "1.3")) == await deploys.get(four)
    await back(deploys, four)
    await until_all_agree(deploys, "1.1")
    await back(deploys, two, to_commit=one.git_commit_sha)
    await until_all_agree(deploys, "1.0")


async def test_by_commit(deploys: Deploys) -> None:
    one = await deploys.live("1.0")
    two = await deploys.until_status(await deploys.start("1.1", sha="b" * 40), "live")
    await until_all_agree(deploys, "1.1")
    with pytest.raises(InvalidState, match=r"Commit c+ was never live in production"):
        await back(deploys, two, to_commit="c" * 40)
    await back(deploys, two, to_commit=one.git_commit_sha)
    await until_all_agree(deploys, "1.0")
    await unban(deploys, "1.1")  # as the API does for whoever names it
    answer = await back(deploys, one, to_commit="b" * 40)
    assert answer.rollback is not None
    assert (answer.rollback.target_version, answer.rollback.forward) == ("1.1", True)
    await until_all_agree(deploys, "1.1")


async def test_a_failed_newcomer_over_a_version_without_a_workflow(deploys: Deploys) -> None:
    """It is started again to hand over, and gets its turn back."""
    one = await deploys.live("1.0")
    await deploys.handle(one).terminate("somebody's hand")
    deploys.script("deploy production 1.1", fail(1))
    two = await deploys.until_status(await deploys.start("1.1"), "rolled_back")
    assert two.rollback is not None
    assert two.rollback.target_version == "1.0"
    await until_all_agree(deploys, "1.0")


async def test_restored_while_another_one_is_rolled_out(deploys: Deploys) -> None:
    one = await deploys.live("1.0")
    deploys.script("deploy production 1.1", until_cancelled)
    two = await deploys.start("1.1")
    await deploys.until(two, lambda found: found.status == "production" and bool(found.stages[1].job_ids))
    await deploys.handle(one).terminate("somebody's hand")
    lost = RestoreLive(deployment_id=one.deployment_id, why="Its workflow was terminated")
    signal = SignalEnvironment(service_name=deploys.name, environment="production", restore_live=lost)
    await TemporalWorkflows(deploys.client).signal_environment(signal)
    await deploys.until(one, lambda found: found.reopened_in is not None)
    await deploys.releases.report_metrics(one, ReportMetrics(error_rate=0.9))
    with pytest.raises(InvalidState, match=r"1\.1 \(deployment .*is being rolled out over 1\.0"):
        await back(deploys, one)
    await back(deploys, two)
    now = await until_all_agree(deploys, "1.0")
    assert now is not None
    assert [event.action for event in await deploys.events(one)].count("deployment.reopened") == 1


async def start_by_hand(deploys: Deploys, deployment: Deployment, **change: Any) -> str:
    how = live_again(await deploys.get(deployment), LiveAgain(by="mallory", reason="let me"), None) | change
    handle = await deploys.client.start_workflow(**how)
    try:
        await handle.result()
    except WorkflowFailureError as error:
        return str(error.cause)
    return "it ended"


async def test_a_stranger_who_starts_one_gains_nothing(deploys: Deploys) -> None:
    one, _, last = await three(deploys)
    ended, ran = await deploys.get(one), len(deploys.ran)
    said = await start_by_hand(deploys, one)
    assert f"{one.deployment_id} ({deploys.name} 1.0) has ended: 1.2 (deployment {last.deployment_id}) is live" in said
    said = await start_by_hand(deploys, last, id=f"deploy-other-1.2-{last.deployment_id}")
    assert "is not the workflow of deployment" in said
    other = live_again(last.model_copy(update={"deployment_id": new_job_id()}), LiveAgain(), None)
    with pytest.raises(WorkflowFailureError):
        await (await deploys.client.start_workflow(**other)).result()
    assert (await deploys.get(one), len(deploys.ran)) == (ended, ran)
    await until_all_agree(deploys, "1.2")


async def test_an_earlier_run_that_is_taken_back_is_not_run_again(deploys: Deploys) -> None:
    """Its record is open again, but in another run."""
    one, two = await deploys.live("1.0"), await deploys.live("1.1")
    await until_all_agree(deploys, "1.1")
    await back(deploys, two)
    await until_all_agree(deploys, "1.0")
    handle = deploys.handle(one)
    runs = [each async for each in deploys.client.list_workflows(f"WorkflowId = '{handle.id}'")]
    opened = (await deploys.get(one)).reopened_in
    (first,) = [each.run_id for each in runs if each.run_id != opened]
    old = deploys.client.get_workflow_handle(handle.id, run_id=first)
    history = (await old.fetch_history()).events
    tasks = [event.event_id for event in history if event.HasField("workflow_task_completed_event_attributes")]
    ran = len(deploys.ran)
    await deploys.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=deploys.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=first),
            reason="again",
            request_id=new_job_id(),
            workflow_task_finish_event_id=tasks[1],
        )
    )
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert "is live in another run; this one has ended" in str(failed.value.cause)
    assert len(deploys.ran) == ran
    lost = RestoreLive(deployment_id=one.deployment_id, why="Its workflow failed")
    signal = SignalEnvironment(service_name=deploys.name, environment="production", restore_live=lost)
    await TemporalWorkflows(deploys.client).signal_environment(signal)
    await until_all_agree(deploys, "1.0")


async def test_terminated_in_the_middle_of_a_rollback(deploys: Deploys) -> None:
    one, two = await deploys.live("1.0"), await deploys.live("1.1")
    await until_all_agree(deploys, "1.1")
    deploys.script("rollback", until_cancelled)
    await back(deploys, two)
    await deploys.handle(two).terminate("somebody's hand")
    deploys.scripts.clear()
    answer = await back(deploys, two)
    assert [each.status for each in answer.rollbacks] == [RollbackStatus.FAILED]
    now = await until_all_agree(deploys, "1.0")
    assert now is not None
    assert now.deployment_id == one.deployment_id


async def sweep(deploys: Deploys, *, later: int = 3_600_000) -> LiveSwept:
    """The minute's comparison, as it finds what has been so for long."""
    bodies = build_activities(
        deploys.stores, deploys.client, approvals=deploys.approving, clock=lambda: epoch_millis() + later
    )
    await deploys.stores.services.put(deploys.service(), expected_version=None, events=[])
    return await bodies.deployments.live.run(lambda checked: None)


async def test_terminated_by_hand_it_is_back_within_a_minute(deploys: Deploys) -> None:
    await deploys.live("1.0")
    two = await deploys.live("1.1")
    await until_all_agree(deploys, "1.1")
    await deploys.handle(two).terminate("somebody's hand")
    swept = await until_swept(deploys, lambda found: bool(found.restored))
    assert swept.restored == [two.deployment_id]
    now = await until_all_agree(deploys, "1.1")
    assert now is not None
    assert now.live_again is not None
    assert (now.live_again.from_deployment_id, now.live_again.reason) == (
        None,
        "Its workflow was terminated in Temporal",
    )
    actions = [event.action for event in await deploys.events(two)]
    assert {"deployment.workflow_terminated", "deployment.reopened"} <= set(actions)
    await back(deploys, two)
    await until_all_agree(deploys, "1.0")


async def test_terminated_and_then_replaced(deploys: Deploys) -> None:
    """It is started again to hand over, and superseded like any other."""
    one = await deploys.live("1.0")
    await deploys.handle(one).terminate("somebody's hand")
    await deploys.live("1.1")
    await deploys.until_status(one, "superseded")
    await until_all_agree(deploys, "1.1")


async def test_what_the_version_before_left_behind_heals(deploys: Deploys) -> None:
    """It rolled back and left what came back superseded, closed, and the environment without a holder."""
    one, two = await deploys.live("1.0"), await deploys.live("1.1")
    await deploys.until_status(one, "superseded")
    await deploys.until_environment(lambda state: state.live is not None and state.live.version == "1.1")
    await deploys.environment_handle().terminate("the old worker is gone")
    await deploys.handle(two).terminate("as if it had been rolled back")
    record = await deploys.get(two)
    ended = rolled_back(record, epoch_millis()).model_copy(update={"sequence": record.sequence + 1})
    back_then = Rollback(
        environment="production", target_version="1.0", reason="slow", by=BOB, requested_at=1, completed_at=2,
        status=RollbackStatus.SUCCEEDED,
    )  # fmt: skip
    ended = ended.model_copy(update={"rollback": back_then})
    await deploys.stores.deployments.write(DeploymentWrite(deployment=ended, previous=record.status))
    state = await deploys.stores.environments.get(deploys.name, "production")
    assert state is not None
    old = [{**each.model_dump(exclude={"before", "final", "again"})} for each in reversed(state.history)]
    left = EnvironmentState.model_validate(
        {**state.model_dump(), "live": old[0], "history": old, "holder": None, "sequence": state.sequence + 10**9}
    )
    await deploys.stores.environments.write(EnvironmentWrite(state=left))
    assert (await sweep(deploys)).restored == [one.deployment_id]
    now = await until_all_agree(deploys, "1.0")
    assert now is not None
    await deploys.releases.report_metrics(now, ReportMetrics(error_rate=0.1))
    with pytest.raises(InvalidState, match=r"Nothing was live in production before 1\.0"):
        await back(deploys, one)
    await back(deploys, one, to_version="1.1")
    await until_all_agree(deploys, "1.1")


async def test_a_rollback_straight_after_the_version_before_left(deploys: Deploys) -> None:
    """Without a sweep in between: the record of the environment is enough."""
    one, two, last = await three(deploys)
    await until_all_agree(deploys, "1.2")
    await deploys.environment_handle().terminate("the old worker is gone")
    await deploys.handle(last).terminate("somebody's hand")
    state = await deploys.stores.environments.get(deploys.name, "production")
    assert state is not None
    left = state.model_copy(update={"holder": None, "sequence": state.sequence + 10**9})
    await deploys.stores.environments.write(EnvironmentWrite(state=left))
    await back(deploys, last)
    await until_all_agree(deploys, "1.1")
    assert {(await deploys.get(each)).status.value for each in (one, last)} == {"superseded", "rolled_back"}
    assert (await deploys.get(two)).status == "live"


async def test_killed_between_any_two_steps(deploys: Deploys) -> None:
    """Another worker goes on, from what Temporal and the stores hold."""
    one, two, last = await three(deploys)
    for which, to in ((last, "1.1"), (two, "1.0")):
        deploys.script("rollback", slowly)
        asked = asyncio.create_task(back(deploys, which))
        for _ in range(3):
            await deploys.crash()
        with suppress(Accepted):
            await asked
        await deploys.crash()
        await until_all_agree(deploys, to)
    assert (await deploys.get(one)).status == "live"


async def slowly(attempt: AttemptInput, agent: Agent) -> AttemptResult:
    await asyncio.sleep(0.5)
    return await succeed(attempt, agent)


async def until_swept(deploys: Deploys, condition: Callable[[LiveSwept], bool]) -> LiveSwept:
    """What Temporal lists as running may lag behind."""
    for _ in range(50):
        swept = await sweep(deploys)
        if condition(swept):
            return swept
        await asyncio.sleep(0.2)
    raise AssertionError("nothing was found")
