"""The registry of phases is complete, and what an older run handed over is still read. Pure: no server."""

import base64
import importlib
import json
import pkgutil
from pathlib import Path

import pytest

from tests.unit.deployment_records import make_deployment
from workflows.contracts.deployments.commands import DeploymentInput
from workflows.deployment import phases
from workflows.deployment.phases import PHASES
from workflows.deployment.progress import Advance, Part, Phase, Progress
from workflows.deployment.state import State
from workflows.deployment.workflow import DeploymentWorkflow

HISTORIES = Path(__file__).parents[3] / "replay" / "histories"


def test_every_phase_but_the_end_has_its_module() -> None:
    modules = [name for _, name, _ in pkgutil.iter_modules(phases.__path__)]
    assert sorted(modules) == sorted(phase.value for phase in Phase if phase is not Phase.END)
    for phase in PHASES:
        assert PHASES[phase] is importlib.import_module(f"{phases.__name__}.{phase}").run
    assert list(PHASES) == [phase for phase in Phase if phase is not Phase.END]


def test_every_phase_says_what_it_does_and_where_it_leads() -> None:
    for body in PHASES.values():
        assert importlib.import_module(body.__module__).__doc__, body
        assert (body.__doc__ or "").startswith("Ends "), body


def test_a_phase_is_stored_by_its_name_alone() -> None:
    assert Phase("roll_out") is Phase.ROLL_OUT
    assert Phase.ROLL_OUT.part is Part.THERE
    stored = Progress(phase=Phase.ROLL_OUT).model_dump_json()
    assert json.loads(stored)["phase"] == "roll_out"
    assert Progress.model_validate_json(stored).phase is Phase.ROLL_OUT


def test_a_phase_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="phase"):
        Progress.model_validate_json('{"phase": "lunch"}')


def test_every_field_of_the_progress_can_be_changed_by_its_name() -> None:
    assert set(Advance.__annotations__) == set(Progress.model_fields)


def test_a_move_forgets_what_the_phase_before_waited_for() -> None:
    state = State(make_deployment(), Progress(phase=Phase.APPROVAL, until=9, stage=1))
    assert state.moved(Phase.TURN).progress == Progress(phase=Phase.TURN, stage=1)
    assert state.moved(Phase.ROLL_OUT, until=10, step=1).progress == Progress(
        phase=Phase.ROLL_OUT, until=10, stage=1, step=1
    )


def test_the_workflow_inherits_from_nothing() -> None:
    assert DeploymentWorkflow.__mro__ == (DeploymentWorkflow, object)


def _handed_over() -> DeploymentInput:
    """What a run of an older version handed to its next one."""
    events = json.loads((HISTORIES / "deploy-continued_as_new-2.json").read_text())["events"]
    payload = events[0]["workflowExecutionStartedEventAttributes"]["input"]["payloads"][0]
    return DeploymentInput.model_validate_json(base64.b64decode(payload["data"]))


def test_what_an_older_run_handed_over_is_taken_up_and_handed_on_unchanged() -> None:
    start = _handed_over()
    assert start.resume is not None
    state = State.at_start(start, now=1)
    assert state.deployment == start.resume.deployment
    assert state.progress.phase is Phase.LIVE
    stored, handed_on = json.loads(start.resume.progress), json.loads(state.resume().progress)
    assert {name: handed_on[name] for name in stored} == stored
    assert state.resume().deployment == start.resume.deployment
