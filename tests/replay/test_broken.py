"""Histories that older versions broke: their own code cannot replay them either, so they are for the repair."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from workflows.client import DATA_CONVERTER
from workflows.job import JobWorkflow

BROKEN = sorted((Path(__file__).parent / "broken").glob("*.json"))


def test_they_are_there() -> None:
    assert len(BROKEN) >= 7


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
async def test_does_not_replay(path: Path) -> None:
    history = _history(path)
    with pytest.raises(NondeterminismError):
        await Replayer(workflows=[JobWorkflow], data_converter=DATA_CONVERTER).replay_workflow(history)


def _history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(f"broken-{path.stem}", path.read_text())
