"""Committed histories of every path replay without a non-determinism error, so that open workflows survive an upgrade.

A change of a workflow that fails here needs ``workflow.patched``. New paths are added to ``tests/workflows`` and
recorded by ``pytest tests/workflows --record-histories``; histories that exist already stay as they are.
"""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from activities.sandbox import LeanSandbox
from workflows.contracts.workspace.resume import RESUME_WAIT_SECONDS
from workflows.deployment.workflow import DeploymentWorkflow
from workflows.environment.workflow import EnvironmentWorkflow
from workflows.job.redrive import RedriveWorkflow
from workflows.job.workflow import JobWorkflow
from workflows.repair.live import LiveVersionsWorkflow
from workflows.repair.reconcile import ReconcileWorkflow
from workflows.repair.workflow import RepairWorkflow
from workflows.retention.workflow import SweepWorkflow
from workflows.service.workflow import PolicyDecisionWorkflow, ServiceWorkflow
from workflows.task.workflow import AgentTaskWorkflow
from workflows.watch.workflow import MetricsWatchWorkflow

WORKFLOWS = {
    each.__name__: each
    for each in (
        JobWorkflow, RedriveWorkflow, ReconcileWorkflow, DeploymentWorkflow, EnvironmentWorkflow, ServiceWorkflow,
        PolicyDecisionWorkflow, LiveVersionsWorkflow,
        RepairWorkflow,
        AgentTaskWorkflow,
        MetricsWatchWorkflow,
        SweepWorkflow,
    )
}  # fmt: skip
RESUMED = {"a_lost_agent_goes_on_behind_its_finished_step": 2, "a_lost_agent_does_not_come_and_another_begins_anew": 3}
"""Of real agents that were killed with -9: how often their job was queued."""
HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))
BROKEN = sorted((Path(__file__).parent / "broken").glob("*.json"))


def test_no_history_names_folders_of_the_machine_that_recorded_it() -> None:
    assert HISTORIES
    assert [path.name for path in HISTORIES if 'File \\"/' in path.read_text()] == []


def test_every_path_is_there() -> None:
    kept = {path.stem for path in HISTORIES}
    paths = {
        "success", "retry_then_success", "lost_agent_goes_on_elsewhere", "cancel_while_queued", "cancel_while_running",
        "cancel_during_backoff", "cancelled_dead_letter", "three_attempts_park_in_few_events", "timeout_parks",
        "discarded_dead_letter", "reprioritise_and_move_while_queued", "completed_from_outside", "cancel_while_claimed",
    }  # fmt: skip
    deployments = {
        "a_version_becomes_live_and_the_next_takes_its_place", "one_rejection_ends_it",
        "a_failed_verification_rolls_back",
        "approvals_need_distinct_people_who_are_not_the_author", "a_rollback_that_fails_shouts_and_can_be_tried_again",
        "an_operator_rolls_a_live_version_back_to_one_that_was_live", "another_ci_rolls_out_and_records_it",
        "a_failed_rollback_can_be_given_up", "a_newer_one_takes_the_place_of_those_that_wait", "continued_as_new",
        "a_verification_that_cannot_tell_pauses_and_asks", "metrics_over_the_limit_roll_a_live_version_back",
        "an_approved_version_ships_when_the_freeze_ends_and_all_is_still_well",
        "signals_with_json_that_a_person_can_type",
        "bad_errors_between_good_latencies_are_in_a_row", "a_version_under_hold_is_not_rolled_back_by_metrics",
        "a_breach_that_nobody_told_is_found_at_the_end_of_the_bake", "a_bad_reading_rolls_back_and_the_watch_ends",
        "the_signal_of_temporals_own_cli_is_judged_likewise",
        "the_definition_is_read_at_the_deployed_commit", "cancelled_in_the_temporal_ui_a_rollout_rolls_back",
        "back_and_back_and_forward_and_terminated_and_back", "restored_while_another_one_is_rolled_out",
        "terminated_by_hand_it_is_back_within_a_minute",
        "a_deployment_whose_job_failed_says_why_and_closes_as_failed", "a_rolled_back_deployment_closes_as_failed",
        "a_cancelled_deployment_closes_as_cancelled_and_a_rejected_one_as_failed",
        "a_deployments_cancelled_job_is_told_in_its_words", "lists_show_what_waits_for_a_yes",
    }  # fmt: skip
    assert {f"deploy-{path}-1" for path in deployments} <= kept
    others = {
        "redrive-all",
        "sweep-asked",
        "sweep-preview",
        "sweep-scheduled",
        "redrive-canary",
        "redrive-stopped",
        "reconcile",
        "job-continued_as_new-1",
        "repair-reset",
        "repair-ended",
        "task-answered",
        "task-asked_again",
        "task-cancelled",
        "task-declined",
        "task-invalid",
        "task-not_offered",
        "task-unanswered",
        "watch-breached",
    }
    closings = {
        "a_failed_job_closes_as_failed_with_its_record",
        "a_dead_letter_stays_open_and_closes_as_failed_once_it_is_given_up",
        "a_cancelled_job_closes_as_cancelled_with_its_record[command]",
        "a_cancelled_job_closes_as_cancelled_with_its_record[while_it_runs]",
        "a_job_that_succeeds_closes_as_completed",
    }
    late = "a_job_that_waits_unrecorded_is_recorded_by_the_reconciliation"
    others |= {f"job-{path}-1" for path in RESUMED}
    accepted = {f"accepted-job-{path}-1" for path in paths | closings | {late}}
    assert {f"job-{path}-1" for path in paths} | accepted | others <= kept


@pytest.mark.parametrize(("path", "count"), RESUMED.items())
def test_a_lost_agents_job_was_queued_for_it_alone(path: str, count: int) -> None:
    events = _history(Path(__file__).parent / "histories" / f"job-{path}-1.json").events
    queued = [each.activity_task_scheduled_event_attributes for each in events]
    queues = [each.task_queue.name for each in queued if each.activity_type.name == "run_attempt"]
    waits = [each.schedule_to_start_timeout.seconds for each in queued if each.activity_type.name == "run_attempt"]
    assert (len(queues), len({*queues[::2]}), len({*queues[:2]})) == (count, 1, 2)
    assert waits == [0, RESUME_WAIT_SECONDS, 0][:count]


def test_every_path_of_an_environment_is_there() -> None:
    kept = {path.stem for path in HISTORIES}
    paths = {
        "one_at_a_time_in_order_of_arrival", "a_newer_one_supersedes_those_who_wait", "a_broken_environment_is_held",
        "a_live_version_hands_over_and_is_superseded", "a_failed_newcomer_gives_the_turn_back",
        "a_rollback_sets_a_hold_until_somebody_lifts_it", "a_rollback_comes_before_handing_over",
        "deployments_that_have_ended_lose_their_place", "commands_are_answered_or_refused_and_leave_a_trail",
        "a_terminated_environment_goes_on_from_its_record", "a_deploying_holder_is_lost", "a_yielding_holder_is_lost",
        "a_freeze_of_days_is_waited_for_and_noted_in_the_grant", "recurring_windows_are_asked_at_each_look",
        "continued_as_new-1", "continued_as_new-2", "what_is_live_holds_it_after_each_rollback",
    }  # fmt: skip
    assert {f"env-{path}" for path in paths} | {"service-a_service_is_answered_as_it_is_stored"} <= kept


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_replays(path: Path) -> None:
    history = _history(path)
    name = history.events[0].workflow_execution_started_event_attributes.workflow_type.name
    replayer = Replayer(
        workflows=[WORKFLOWS[name]], data_converter=pydantic_data_converter, workflow_runner=LeanSandbox(strict=True)
    )
    await replayer.replay_workflow(history)


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
async def test_what_an_outage_broke_is_told_apart_and_goes_on(path: Path) -> None:
    """Left by the version before on a real server: stuck for good then, and with the SDK's own order of deliveries."""
    history = _history(path)
    with pytest.raises(NondeterminismError, match="TMPRL1100"):
        await Replayer(workflows=[JobWorkflow], data_converter=pydantic_data_converter).replay_workflow(history)
    replayer = Replayer(
        workflows=[JobWorkflow], data_converter=pydantic_data_converter, workflow_runner=LeanSandbox(strict=True)
    )
    await replayer.replay_workflow(history)


def test_broken_histories_are_there() -> None:
    assert len(BROKEN) >= 7


def _history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(f"replayed-{path.stem}", path.read_text())
