"""What is live holds its environment: after each rollback, when its workflow has gone, and while others come and go."""

from typing import Any

from tests.unit.workflows.environment.lock_steps import EMPTY, NOW, holding, live, settled, ticket, told
from workflows.contracts.deployments.environments import (
    EnvironmentState,
    Hold,
    Leave,
    Leaving,
    LiveVersion,
    Reinstated,
    RestoreLive,
    RetireCommand,
    Yielded,
)
from workflows.environment import commands, lock
from workflows.environment.step import EnvironmentStep, changed

HOLD = Hold(by="ann", reason="bad", at=NOW)


def then_live(state: EnvironmentState, name: str) -> EnvironmentState:
    """Another one takes over, and is live."""
    asked = settled(lock.join(state, ticket(name), NOW)).state
    holder = asked.holder
    assert holder is not None
    granted = settled(lock.yielded(asked, Yielded(deployment_id=holder.deployment_id))).state
    return lock.became_live(granted, name, NOW).state


def rolled_back(state: EnvironmentState, name: str, to: str, **how: Any) -> EnvironmentStep:
    target = next(each for each in state.history if each.deployment_id == to)
    message = Leave(deployment_id=name, how=Leaving.ROLLED_BACK, live=target, hold=HOLD)
    return settled(lock.leave(state, message, NOW, **how))


def test_each_version_knows_what_was_live_before_it_also_when_it_comes_back() -> None:
    state = then_live(then_live(live("a"), "b"), "c")
    assert [(each.version, each.before) for each in state.history] == [("c", "b"), ("b", "a"), ("a", "")]
    back = rolled_back(state, "c", "b").state
    assert [(each.version, each.before) for each in back.history] == [("b", "a"), ("c", "b"), ("a", "")]
    forward = rolled_back(back, "b", "c").state
    assert forward.live is not None
    assert (forward.live.before, forward.live.final) == ("b", True)
    assert [each.again for each in forward.history[1:]] == [None, None], "only of what is live"


def test_what_comes_back_holds_the_environment_with_a_turn_of_its_own() -> None:
    state = then_live(then_live(live("a"), "b"), "c")
    step = rolled_back(state, "c", "b")
    assert told(step) == [("b", "Reinstated")]
    message = step.tells[0].message
    assert isinstance(message, Reinstated)
    assert message.again is not None
    assert (message.again.from_version, message.again.by) == ("c", "ann")
    assert [each.version for each in message.history] == ["b", "c", "a"]
    holder = step.state.holder
    assert holder is not None
    assert (holder.deployment_id, holder.live, holder.fence > state.fence) == ("b", True, True)
    before = rolled_back(state, "c", "b", owns=False)
    assert (told(before), before.state.holder) == ([], None), "as histories of before have it"


def test_what_is_live_goes_back_also_when_nobody_holds_the_environment() -> None:
    state = changed(then_live(live("a"), "b"), holder=None)
    step = rolled_back(state, "b", "a")
    assert told(step) == [("a", "Reinstated")]
    stranger = Leave(deployment_id="x", how=Leaving.ROLLED_BACK, live=state.history[1], hold=HOLD)
    assert lock.leave(state, stranger, NOW) == EnvironmentStep(state)


def test_nobody_goes_back_to_what_was_never_live_there() -> None:
    """Whoever may write to Temporal could make a version live that nobody has approved."""
    state = then_live(live("a"), "b")
    waiting = state.history[0].model_copy(update={"deployment_id": "c", "version": "2.0"})
    renamed = state.history[1].model_copy(update={"git_commit_sha": "f" * 40})
    for forged in (waiting, renamed):
        message = Leave(deployment_id="b", how=Leaving.ROLLED_BACK, live=forged, hold=HOLD)
        assert lock.leave(state, message, NOW) == EnvironmentStep(state)


def test_what_was_said_to_be_gone_while_it_went_back_has_gone_back() -> None:
    state = changed(then_live(live("a"), "b"), holder=None, live=None)
    step = rolled_back(state, "b", "a")
    assert told(step) == [("a", "Reinstated")]
    nothing = Leave(deployment_id="b", how=Leaving.ROLLED_BACK, live=None, hold=HOLD)
    assert lock.leave(state, nothing, NOW) == EnvironmentStep(state)
    older = Leave(deployment_id="a", how=Leaving.ROLLED_BACK, live=state.history[0], hold=HOLD)
    assert lock.leave(state, older, NOW) == EnvironmentStep(state)


def test_what_is_gone_is_restored_by_nothing() -> None:
    retired = commands.command(live("a"), RetireCommand(by="ann", reason="off"), NOW).state
    assert (retired.live, retired.holder, retired.rollback) == (None, None, None)
    assert lock.restore_live(retired, RestoreLive(deployment_id="a"), NOW) == EnvironmentStep(retired)
    assert lock.gone(retired, "a", NOW) == EnvironmentStep(retired)
    assert lock.closed(retired, "a", "completed", NOW) == EnvironmentStep(retired)


def test_a_lost_workflow_of_what_is_live_is_started_again_once_a_turn() -> None:
    state = live("a")
    step = lock.gone(state, "a", NOW)
    assert told(step) == [("a", "Reinstated")]
    assert step.state.holder is not None
    assert step.state.holder.restarted
    again = lock.gone(step.state, "a", NOW)
    assert (told(again), again.state.holder) == ([], None)
    assert lock.gone(state, "a", NOW, owns=False).state.holder is None


def test_the_holder_is_lost_and_what_is_live_holds_it_though_it_did_not_hand_over() -> None:
    calm = changed(live("a"), holder=None)
    state = holding("b", calm)
    step = lock.closed(state, "b", "terminated", NOW)
    assert told(step) == [("a", "Reinstated")]
    ended = lock.leave(state, Leave(deployment_id="b", how=Leaving.ENDED), NOW)
    assert told(ended) == [("a", "Reinstated")]


def test_what_is_deployed_before_the_last_environment_holds_nothing() -> None:
    deployed = lock.leave(holding("a"), Leave(deployment_id="a", how=Leaving.DEPLOYED), NOW).state
    failed = lock.leave(holding("b", deployed), Leave(deployment_id="b", how=Leaving.ENDED), NOW)
    assert (told(failed), failed.state.holder) == ([], None)


def test_restoring_what_is_live() -> None:
    state, lost = live("a"), RestoreLive(deployment_id="a", why="its workflow was terminated")
    for each in (state, changed(state, holder=None)):
        step = lock.restore_live(each, lost, NOW)
        assert told(step) == [("a", "Reinstated")]
        assert step.state.live is not None
        assert step.state.live.again is not None
        assert (step.state.live.again.from_deployment_id, step.state.live.again.reason) == (None, lost.why)
    assert lock.restore_live(state, RestoreLive(deployment_id="x"), NOW) == EnvironmentStep(state)
    assert lock.restore_live(EMPTY, lost, NOW) == EnvironmentStep(EMPTY)


def test_restored_under_another_rollout_it_is_told_who_holds_the_environment() -> None:
    asked = settled(lock.join(live("a"), ticket("b"), NOW)).state
    granted = settled(lock.yielded(asked, Yielded(deployment_id="a"))).state
    step = lock.restore_live(granted, RestoreLive(deployment_id="a"), NOW)
    assert step.state.holder == granted.holder
    message = step.tells[0].message
    assert isinstance(message, Reinstated)
    assert message.yielded_to == "b (deployment b)"


def test_a_rollback_is_not_forgotten_when_the_workflow_is_lost_afterwards() -> None:
    state = rolled_back(then_live(live("a"), "b"), "b", "a").state
    step = lock.restore_live(state, RestoreLive(deployment_id="a", why="lost"), NOW + 1)
    assert step.state.live is not None
    assert step.state.live.again is not None
    assert step.state.live.again.from_deployment_id == "b"


def test_a_state_of_before_is_read() -> None:
    old = LiveVersion.model_validate(
        {"version": "a", "deployment_id": "a", "workflow_id": "w", "git_commit_sha": "a" * 40, "since": 1}
    )
    assert (old.before, old.final, old.again) == (None, False, None)
