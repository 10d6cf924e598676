"""Committed histories of every path replay without a non-determinism error, so that open workflows survive an upgrade.

A change of a workflow that fails here needs ``workflow.patched``. New paths are added to ``tests/workflows`` and
recorded by ``pytest tests/workflows --record-histories``; histories that exist already stay as they are.
"""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from workflows.client import DATA_CONVERTER
from workflows.deployment import DeploymentWorkflow
from workflows.environment import EnvironmentWorkflow
from workflows.job import JobWorkflow
from workflows.reconcile import ReconcileWorkflow
from workflows.redrive import RedriveWorkflow
from workflows.service import ServiceWorkflow

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def test_every_path_is_there() -> None:
    kept = {path.stem for path in HISTORIES}
    paths = {
        "success", "retry_then_success", "lost_agent_goes_on_elsewhere", "cancel_while_queued", "cancel_while_running",
        "cancel_during_backoff", "cancelled_dead_letter", "three_attempts_park_in_few_events", "timeout_parks",
        "discarded_dead_letter", "reprioritise_and_move_while_queued", "completed_from_outside", "cancel_while_claimed",
    }  # fmt: skip
    others = {"redrive-all", "redrive-canary", "redrive-stopped", "reconcile", "job-continued_as_new-1"}
    assert {f"job-{path}-1" for path in paths} | others <= kept


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_replays(path: Path) -> None:
    workflows = [
        JobWorkflow, RedriveWorkflow, ReconcileWorkflow, DeploymentWorkflow, EnvironmentWorkflow, ServiceWorkflow,
    ]  # fmt: skip
    replayer = Replayer(workflows=workflows, data_converter=DATA_CONVERTER)
    history = _history(path)
    await replayer.replay_workflow(history)


def _history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(f"replayed-{path.stem}", path.read_text())
