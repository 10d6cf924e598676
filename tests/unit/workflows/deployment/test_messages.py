"""What people, environments and monitoring may say in which phase, and what it changes. Pure: no server.

Deliberately not here: the words in full and the answers (``tests/workflows/test_deployment_paths``).
"""

from collections.abc import Mapping
from typing import Any, get_args

import pytest
from temporalio import workflow

from tests.unit.deployment_records import make_deployment, make_environment, make_spec
from workflows.client.deployments import DeploymentCommand
from workflows.contracts.deployments.commands import CancelDeployment, RollbackCommand
from workflows.contracts.deployments.environments import Granted, LiveVersion, Superseded
from workflows.deployment import record
from workflows.deployment.commands import COMMANDS
from workflows.deployment.inbox import Command, InboxStep, Signal
from workflows.deployment.progress import Breach, Part, Phase, Progress
from workflows.deployment.signals import SIGNALS
from workflows.deployment.state import State
from workflows.deployment.workflow import DeploymentWorkflow

NOW = 5_000
BOB = "bob@example.com"
BEFORE = LiveVersion(version="0.9", deployment_id="d0", workflow_id="w0", git_commit_sha="b" * 40, since=1)
LIMITS = {"max_error_rate": 0.1}
LAST = make_environment("production", approval={"required": 1}, verification=LIMITS)
SAID: Mapping[str, dict[str, Any]] = {
    "approve": {"by": BOB},
    "reject": {"by": BOB, "reason": "no"},
    "rollback": {"by": BOB, "reason": "slow"},
    "resume": {"by": BOB, "reason": "fine"},
    "promote": {"by": BOB, "reason": "well", "full": True},
    "skip_step": {"by": BOB, "reason": "too long"},
    "abort": {"by": BOB, "reason": "bad"},
    "cancel": {"by": BOB},
    "override_freeze": {"by": BOB, "reason": "now"},
    "record_stage": {"by": BOB, "environment": "production", "job_id": "42"},
}
LINE = {phase for phase in Phase if phase.part is Part.LINE}
TAKEN_IN: Mapping[str, set[Phase]] = {
    "approve": {Phase.APPROVAL},
    "reject": {Phase.APPROVAL},
    "rollback": set(Phase) - {Phase.ROLLBACK},
    "resume": {Phase.PAUSED, Phase.ORDER},
    "promote": {Phase.ROLL_OUT},
    "skip_step": set(),
    "abort": {phase for phase in Phase if phase.part in {Part.CHECK, Part.THERE}} - {Phase.LIVE},
    "cancel": set(Phase) - {Phase.LIVE, Phase.ROLLBACK},
    "override_freeze": LINE,
    "record_stage": set(),
}


def state_in(phase: Phase, *, interrupt: Any = None, closed: bool = False, **progress: Any) -> State:
    """In production, with something rolled out there and a version to go back to."""
    given: dict[str, Any] = {
        "granted": Granted(environment="production", fence=7, previous=BEFORE),
        "touched": True,
    } | progress
    deployment = make_deployment(definition=make_spec(LAST), closed=closed, environment="production")
    return State(deployment, Progress(phase=phase, **given), interrupt)


def the(name: str) -> tuple[Command[Any], Any]:
    command = next(each for each in COMMANDS if each.name == name)
    return command, command.model.model_validate(SAID[name])


def refusal(name: str, state: State) -> str | None:
    command, said = the(name)
    return command.refusal(state, said, NOW)


def signal(name: str, state: State, **said: Any) -> InboxStep | None:
    kind: Signal[Any] = next(each for each in SIGNALS if each.name == name)
    return kind.effect(state, kind.model.model_validate(said), NOW)


def test_every_command_is_tried_here() -> None:
    assert [each.name for each in COMMANDS] == list(SAID) == list(TAKEN_IN)


def test_the_client_can_send_every_command() -> None:
    assert set(get_args(DeploymentCommand)) == {each.model for each in COMMANDS}


@pytest.mark.parametrize("name", SAID)
def test_a_command_is_taken_in_its_phases_only(name: str) -> None:
    open_phases = [phase for phase in Phase if phase is not Phase.END]
    taken = {phase for phase in open_phases if refusal(name, state_in(phase)) is None}
    assert taken == TAKEN_IN[name] - {Phase.END}


@pytest.mark.parametrize("name", SAID)
def test_a_deployment_that_has_ended_takes_no_command(name: str) -> None:
    for phase in Phase:
        assert "has ended" in (refusal(name, state_in(phase, closed=True)) or ""), phase


@pytest.mark.parametrize("name", SAID)
def test_a_command_changes_nothing_but_the_new_state(name: str) -> None:
    command, said = the(name)
    state = state_in(Phase.APPROVAL)
    untouched = (state.deployment.model_copy(deep=True), state.progress.model_copy(deep=True), state.interrupt)
    step = command.effect(state, said, NOW)
    assert step.state != state
    assert step.note is not None
    assert (state.deployment, state.progress, state.interrupt) == untouched


def test_a_result_of_another_ci_is_taken_once() -> None:
    external = make_environment("production", external=True, steps=[])
    base = state_in(Phase.ROLL_OUT)
    state = State(base.deployment.model_copy(update={"definition": make_spec(external)}), base.progress)
    assert refusal("record_stage", state) is None
    command, said = the("record_stage")
    after = command.effect(state, said, NOW).state
    assert after.progress.recorded_stage == said
    assert "waits for no result now" in (refusal("record_stage", after) or "")


def test_a_cancel_and_a_rollback_interrupt_and_are_not_taken_twice() -> None:
    for name, kind in (("cancel", CancelDeployment), ("rollback", RollbackCommand)):
        command, said = the(name)
        after = command.effect(state_in(Phase.BAKE), said, NOW).state
        assert isinstance(after.interrupt, kind)
        assert refusal(name, after) is not None


def test_a_grant_is_taken_from_its_environment_when_it_is_newer() -> None:
    state = state_in(Phase.TURN, granted=None, in_line=True)
    step = signal("granted", state, environment="production", fence=7)
    assert step is not None
    assert step.state.progress.granted == Granted(environment="production", fence=7)
    assert signal("granted", step.state, environment="production", fence=7) is None
    assert signal("granted", step.state, environment="production", fence=8) is not None
    assert signal("granted", state, environment="staging", fence=9) is None
    for wild in (0, -1, NOW + 10**9, 2**63):
        assert signal("granted", state, environment="production", fence=wild) is None, "no lock gives such a number"
        assert signal("reinstated", state_in(Phase.LIVE), environment="production", fence=wild) is None
    assert signal("reinstated", state_in(Phase.LIVE), environment="production", fence=NOW) is not None
    assert signal("granted", state_in(Phase.TURN, granted=None), environment="production", fence=9) is None


def started(state: State) -> State:
    return state.changed(record.stage_changed, "production", started_at=NOW - 1_000)


def told(state: State, verdict: str = "breached", **row: Any) -> InboxStep | None:
    """What becomes of a row that is told."""
    given = {"environment": "production", "metric": "error_rate", "source": "watch", "at": NOW, "value": 0.5} | row
    rows = [{**given, "verdict": verdict, "why": "error rate 0.5 is above 0.1"}]
    return signal("metrics_verdict", state, environment=given["environment"], rows=rows)


def test_a_row_that_is_over_its_limit_is_acted_upon_where_it_is_rolled_out() -> None:
    judging = {phase for phase in Phase if phase.part is Part.THERE}
    for phase in Phase:
        step = told(state_in(phase, step=1))
        assert (step is not None and isinstance(step.state.interrupt, Breach)) == (phase in judging), phase
    assert told(state_in(Phase.ROLL_OUT, step=0)) is None
    assert told(state_in(Phase.LIVE, closed=True)) is None
    assert told(state_in(Phase.LIVE), environment="staging") is None
    assert told(state_in(Phase.LIVE), metric="queue_depth") is None, "a metric without a limit counts for nothing"
    assert told(state_in(Phase.LIVE), at=NOW + 10**9) is None
    assert told(state_in(Phase.LIVE, yielded_to="1.2 (deployment d2)")) is None, "it is told again later"
    assert told(state_in(Phase.LIVE, interrupt=CancelDeployment(by=BOB))) is None
    step = told(state_in(Phase.LIVE))
    assert step is not None
    known = step.state.resumed()
    assert told(known) is None, "it is no news"
    later = told(known, at=NOW + 1)
    assert later is not None
    assert later.state.interrupt is None
    well = told(known, "ok", at=NOW + 2)
    assert well is not None
    assert [row.verdict for row in well.state.deployment.metric_rows] == ["ok"]
    again = told(well.state, at=NOW + 3)
    assert again is not None
    assert isinstance(again.state.interrupt, Breach)


def test_an_alert_asks_a_person_while_a_version_is_live() -> None:
    asked = {"what": "5xx", "why": "production is on hold.", "key": "k", "by": "grafana"}
    for phase in Phase:
        assert (signal("ask_person", state_in(phase), **asked) is not None) == (phase is Phase.LIVE), phase
    step = signal("ask_person", state_in(Phase.LIVE), **asked)
    assert step is not None
    assert signal("ask_person", step.state, **asked) is None, "the same is asked once"
    assert refusal("resume", step.state) is None
    command, said = the("resume")
    stays = command.effect(step.state, said, NOW).state
    assert (stays.deployment.needs_decision, stays.deployment.waits_for, stays.progress.resumed) == (None, None, False)


def test_metrics_are_judged_where_it_is_rolled_out() -> None:
    judging = {phase for phase in Phase if phase.part is Part.THERE}
    for phase in Phase:
        step = signal("report_metrics", started(state_in(phase, step=1)), error_rate=0.5)
        assert step is not None
        assert step.state.deployment.metrics is not None
        assert isinstance(step.state.interrupt, Breach) == (phase in judging), phase
    before_any = signal("report_metrics", state_in(Phase.ROLL_OUT, step=0), error_rate=0.5)
    assert before_any is not None
    assert before_any.state.interrupt is None


def test_an_interrupt_is_never_replaced_by_metrics_or_by_another_version() -> None:
    cancel = CancelDeployment(by=BOB)
    over = signal("report_metrics", state_in(Phase.BAKE, interrupt=cancel), error_rate=0.5)
    assert over is not None
    assert over.state.interrupt == cancel
    by: dict[str, Any] = {"environment": "production", "by_deployment_id": "d2", "by_version": "2.0"}
    assert signal("superseded", state_in(Phase.LIVE, interrupt=cancel), **by) is None
    assert signal("yield_requested", state_in(Phase.LIVE, interrupt=cancel), environment="production",
                  to_deployment_id="d2", to_version="2.0") is None  # fmt: skip


def test_it_is_superseded_in_the_line_and_live_only() -> None:
    by: dict[str, Any] = {"environment": "production", "by_deployment_id": "d2", "by_version": "2.0"}
    taken = {phase for phase in Phase if signal("superseded", state_in(phase), **by) is not None}
    assert taken == LINE | {Phase.LIVE}
    step = signal("superseded", state_in(Phase.LIVE), **by)
    assert step is not None
    assert step.state.interrupt == Superseded(**by)
    assert signal("superseded", state_in(Phase.LIVE), **by | {"environment": "staging"}) is None


def test_a_live_version_hands_over_and_gets_its_turn_back() -> None:
    request = {"environment": "production", "to_deployment_id": "d2", "to_version": "2.0"}
    step = signal("yield_requested", state_in(Phase.LIVE), **request)
    assert step is not None
    assert "2.0" in (step.state.progress.yielded_to or "")
    assert "roll that one back instead" in (refusal("rollback", step.state) or "")
    back = signal("reinstated", step.state, environment="production", fence=9)
    assert back is not None
    assert back.state.progress.yielded_to is None
    assert back.state.turn.fence.number == 9
    assert refusal("rollback", back.state) is None


def test_the_sdk_knows_every_message_with_its_type_and_its_words() -> None:
    definition: Any = vars(DeploymentWorkflow)["__temporal_workflow_definition"]
    for command in COMMANDS:
        update, told = definition.updates[command.name], definition.signals[command.name]
        assert (update.arg_types, update.description) == (None, command.description)
        assert update.validator is not None
        assert update.unfinished_policy is workflow.HandlerUnfinishedPolicy.WARN_AND_ABANDON
        assert (told.arg_types, told.description) == (None, command.description)
    for each in SIGNALS:
        told = definition.signals[each.name]
        assert (told.arg_types, told.description) == (None, each.description)
    assert set(definition.updates) == {"created", *(each.name for each in COMMANDS)}
    assert set(definition.signals) == {each.name for each in (*COMMANDS, *SIGNALS)}
