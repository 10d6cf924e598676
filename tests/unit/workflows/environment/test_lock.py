"""The lock of an environment, without Temporal: single rules by example, all of them against a small model."""

import pytest

from tests.unit.workflows.environment.lock_steps import EMPTY, HOUR, NOW, holding, live, settled, ticket, told
from workflows.contracts.deployments.environments import (
    MAX_HISTORY,
    FreezeAnswer,
    FreezeCommand,
    Granted,
    Hold,
    Leave,
    Leaving,
    LiveVersion,
    Order,
    ReleaseCommand,
    UnfreezeCommand,
    Waiting,
    Yielded,
)
from workflows.contracts.deployments.rules import SupersedePolicy
from workflows.contracts.errors import InvalidState, ValidationFailed
from workflows.environment import commands, lock, turn
from workflows.environment.answers import NO_ANSWERS, Answers
from workflows.environment.step import EnvironmentStep


def test_the_first_ready_ticket_goes_whatever_waits_unapproved_before_it() -> None:
    state = lock.join(EMPTY, ticket("a", ready=False), NOW).state
    step = settled(lock.join(state, ticket("b"), NOW))
    assert told(step) == [("b", "Granted")]
    assert [each.deployment_id for each in step.state.queue] == ["a"]
    step = settled(lock.join(step.state, ticket("a"), NOW))
    assert told(step) == [("a", "Waiting")]


def test_a_ticket_is_changed_in_place_and_keeps_what_the_environment_wrote_on_it() -> None:
    state = holding("a")
    for name in ("b", "c"):
        state = settled(lock.join(state, ticket(name), NOW)).state
    again = settled(lock.join(state, ticket("b", override_freeze=True, waits_for="nonsense", frozen=True), NOW + 5))
    assert told(again) == []
    assert [each.deployment_id for each in again.state.queue] == ["b", "c"]
    changed = again.state.queue[0]
    assert (changed.override_freeze, changed.frozen, changed.waits_for) == (True, False, state.queue[0].waits_for)


def test_the_fence_grows_even_when_the_clock_stands_still_or_goes_back() -> None:
    state, fences = EMPTY, [0]
    for number, now in enumerate((NOW, NOW, NOW - HOUR, NOW + 1)):
        state = settled(lock.join(state, ticket(str(number)), now), now).state
        fences.append(state.fence)
        state = lock.leave(state, Leave(deployment_id=str(number), how=Leaving.ENDED), now).state
    assert fences == sorted(set(fences))


def test_a_lost_grant_is_told_again_with_the_same_number() -> None:
    state = holding("a")
    step = settled(lock.join(state, ticket("a"), NOW + 5), NOW + 5)
    assert step.state == state
    assert [tell.message for tell in step.tells] == [Granted(environment="production", fence=state.fence)]


def test_newer_ones_supersede_those_who_wait_but_not_the_holder() -> None:
    state = holding("a")
    for name in ("b", "c"):
        state = lock.join(state, ticket(name, ready=name == "c"), NOW).state
    step = lock.join(state, ticket("d", supersede=SupersedePolicy.OLDER), NOW)
    assert told(step) == [("b", "Superseded"), ("c", "Superseded")]
    assert [each.deployment_id for each in step.state.queue] == ["d"]
    assert step.state.holder == state.holder
    again = lock.join(step.state, ticket("d", supersede=SupersedePolicy.OLDER), NOW)
    assert (again.state, again.tells) == (step.state, ())


@pytest.mark.parametrize(
    ("order", "gone"),
    [
        ({"b": Order.NEWER, "c": Order.NEWER}, ["b", "c"]),
        ({"b": Order.OLDER, "c": Order.NEWER}, ["c"]),
        ({"b": Order.DIVERGED, "c": Order.UNKNOWN}, ["b", "c"]),
        ({"b": Order.SAME, "c": Order.OLDER}, ["b"]),
        ({"b": Order.NEWER}, ["b"]),  # nobody was asked of c: it joined at the same moment
        ({}, []),
    ],
)
def test_who_joins_supersedes_none_that_is_newer_and_none_that_it_does_not_know(
    order: dict[str, Order], gone: list[str]
) -> None:
    state = holding("a")
    for name in ("b", "c"):
        state = lock.join(state, ticket(name, ready=name == "c"), NOW).state
    step = lock.join(state, ticket("d", supersede=SupersedePolicy.OLDER, order=order), NOW)
    assert told(step) == [(name, "Superseded") for name in gone]
    left = [name for name in ("b", "c") if name not in gone]
    assert [each.deployment_id for each in step.state.queue] == [*left, "d"]


def test_what_is_found_out_later_supersedes_those_that_came_before_and_no_others() -> None:
    state = holding("a")
    for name in ("b", "c", "d"):
        state = lock.join(state, ticket(name, ready=False), NOW).state
    order = {"b": Order.NEWER, "d": Order.NEWER}
    step = lock.join(state, ticket("c", supersede=SupersedePolicy.OLDER, order=order), NOW)
    assert told(step) == [("b", "Superseded")]
    assert [each.deployment_id for each in step.state.queue] == ["c", "d"]


def test_with_its_turn_a_deployment_is_told_who_came_before_it_and_still_waits() -> None:
    state = EMPTY
    for at, name in enumerate(("a", "b", "c")):
        early = ticket(name, ready=False).model_copy(update={"arrived_at": NOW + at})
        state = lock.join(state, early, NOW + at).state
    ready = ticket("b").model_copy(update={"arrived_at": NOW + 9})
    step = settled(lock.join(state, ready, NOW + 9))
    message = step.tells[0].message
    assert isinstance(message, Granted)
    assert [each.deployment_id for each in message.ahead] == ["a"]
    again = lock.grant_again(step.state, "b")
    assert again.tells == step.tells[:1]


def test_a_live_version_hands_over_and_gets_its_turn_back() -> None:
    asked = settled(lock.join(live("a"), ticket("b"), NOW))
    assert told(asked) == [("a", "YieldRequested")]
    granted = settled(lock.yielded(asked.state, Yielded(deployment_id="a")))
    assert told(granted) == [("b", "Granted")]
    message = granted.tells[0].message
    assert isinstance(message, Granted)
    assert message.previous is not None
    assert (message.previous.version, [each.version for each in message.history]) == ("a", ["a"])
    back = settled(lock.leave(granted.state, Leave(deployment_id="b", how=Leaving.ENDED), NOW))
    assert told(back) == [("a", "Reinstated")]
    holder = back.state.holder
    assert holder is not None
    assert (holder.deployment_id, holder.live, holder.yielding) == ("a", True, False)
    assert holder.fence > granted.state.fence


def test_a_version_that_handed_over_in_vain_is_reinstated() -> None:
    asked = settled(lock.join(live("a"), ticket("b"), NOW))
    left = settled(lock.leave(asked.state, Leave(deployment_id="b", how=Leaving.ENDED), NOW))
    step = settled(lock.yielded(left.state, Yielded(deployment_id="a")))
    assert told(step) == [("a", "Reinstated")]


def test_who_handed_over_is_superseded_when_another_version_is_live_after_all() -> None:
    asked = settled(lock.join(live("a"), ticket("b"), NOW))
    state = settled(lock.yielded(asked.state, Yielded(deployment_id="a"))).state
    older = LiveVersion(version="z", deployment_id="z", workflow_id="deploy-z", git_commit_sha="a" * 40, since=1)
    hold = Hold(by="ann", reason="bad", at=NOW)
    state = state.model_copy(update={"history": [*state.history, older]})
    step = settled(lock.leave(state, Leave(deployment_id="b", how=Leaving.ROLLED_BACK, live=older, hold=hold), NOW))
    assert told(step) == [("a", "Superseded"), ("z", "Reinstated")]
    back = step.state.live
    assert back is not None
    assert back.again is not None
    assert (back.again.from_deployment_id, back.again.by, back.again.reason) == ("b", "ann", "bad")
    assert (back.version, step.state.hold) == ("z", hold)
    assert (step.state.holder and step.state.holder.deployment_id, step.state.holder and step.state.holder.live) == (
        "z", True,
    )  # fmt: skip
    assert [each.version for each in step.state.history] == ["z", "a"]
    deployed = settled(lock.leave(state, Leave(deployment_id="b", how=Leaving.DEPLOYED), NOW))
    assert told(deployed) == [("a", "Superseded")]


def test_a_broken_rollback_sets_a_hold_whoever_asked_for_none() -> None:
    step = settled(lock.leave(live("a"), Leave(deployment_id="a", how=Leaving.BROKEN), NOW))
    assert step.state.live == live("a").live
    assert step.state.hold is not None
    assert "nobody knows" in step.state.hold.reason
    assert [event.action for event in step.events] == ["environment.broken", "environment.held"]


def test_after_a_broken_rollback_the_version_before_can_still_be_rolled_back() -> None:
    asked = settled(lock.join(live("a"), ticket("b"), NOW))
    granted = settled(lock.yielded(asked.state, Yielded(deployment_id="a")))
    hold = Hold(by="ann", reason="nobody knows", at=NOW)
    step = settled(lock.leave(granted.state, Leave(deployment_id="b", how=Leaving.BROKEN, hold=hold), NOW))
    assert told(step) == [("a", "Reinstated")]
    assert (step.state.hold, step.state.live) == (hold, granted.state.live)


def test_a_rollback_with_nothing_before_it_leaves_nothing_live() -> None:
    step = settled(lock.leave(live("a"), Leave(deployment_id="a", how=Leaving.ROLLED_BACK), NOW))
    assert (step.state.live, step.state.holder, step.state.hold) == (None, None, None)


def test_strangers_change_nothing() -> None:
    state = settled(lock.join(live("a"), ticket("b"), NOW)).state
    for step in (
        *(lock.leave(state, Leave(deployment_id="x", how=how), NOW) for how in Leaving),
        lock.became_live(state, "b", NOW),
        lock.became_live(state, "a", NOW),
        lock.yielded(state, Yielded(deployment_id="b")),
        lock.yielded(state, Yielded(deployment_id="a", fence=state.fence - 1)),
        lock.gone(state, "x", NOW),
        lock.closed(state, "b", "terminated", NOW),
        lock.grant_again(state, "a"),
    ):
        assert step == EnvironmentStep(state)
    calm = live("a")
    assert lock.yielded(calm, Yielded(deployment_id="a")) == EnvironmentStep(calm)
    assert lock.closed(calm, "a", "terminated", NOW) == EnvironmentStep(calm)


def test_history_is_bounded_newest_first_and_names_each_once() -> None:
    state = EMPTY
    for number in [*range(MAX_HISTORY + 5), 20]:
        state = lock.became_live(holding(str(number), state), str(number), NOW + number).state
        state = lock.leave(state, Leave(deployment_id=str(number), how=Leaving.ENDED), NOW).state
    versions = [each.version for each in state.history]
    assert versions[:3] == ["20", str(MAX_HISTORY + 4), str(MAX_HISTORY + 3)]
    assert len(versions) == len(set(versions)) == MAX_HISTORY


def test_a_live_holder_that_missed_the_question_is_asked_again_but_not_in_a_hurry() -> None:
    asked = settled(lock.join(live("a"), ticket("b"), NOW)).state
    assert turn.next_look(asked, NOW, NO_ANSWERS) == NOW + turn.YIELD_PATIENCE_MS
    assert not turn.all_told(asked, NOW, NO_ANSWERS)
    later = turn.proceed(asked, NOW + turn.YIELD_PATIENCE_MS, NO_ANSWERS)
    assert told(later) == [("b", "Waiting")]
    assert turn.all_told(later.state, NOW, NO_ANSWERS)
    assert turn.next_look(later.state, NOW, NO_ANSWERS) == NOW + turn.ASK_AGAIN_MS
    again = turn.ask_again(later.state, NOW, NO_ANSWERS)
    assert told(again) == [("a", "YieldRequested")]
    assert again.state == later.state


def test_freezes_stop_those_who_do_not_override_them_and_end_by_themselves() -> None:
    freeze = FreezeCommand(by="ann", freeze_id="f", name="weekend", ends_at=NOW + HOUR)
    state = commands.command(EMPTY, freeze, NOW).state
    step = settled(lock.join(state, ticket("a"), NOW))
    message = step.tells[0].message
    assert isinstance(message, Waiting)
    assert "by 'weekend'. `hybridci freeze override a --reason …`" in message.reason
    assert (step.state.frozen_until, step.state.frozen_by) == (NOW + HOUR, "weekend")
    assert turn.next_look(step.state, NOW, NO_ANSWERS) == NOW + HOUR
    assert told(settled(lock.join(step.state, ticket("b", override_freeze=True), NOW))) == [("b", "Granted")]
    over = turn.proceed(step.state, NOW + HOUR, NO_ANSWERS)
    assert [event.action for event in over.events] == ["environment.freeze_ended", "environment.granted"]
    assert (over.state.frozen_until, over.state.freezes) == (None, [])
    granted = over.tells[0].message
    assert isinstance(granted, Granted)
    assert granted.frozen


def test_of_several_freezes_the_one_that_ends_last_is_told() -> None:
    freeze = FreezeCommand(by="ann", freeze_id="f", name="short", ends_at=NOW + 1)
    state = commands.command(EMPTY, freeze, NOW).state
    answers = Answers({"a": FreezeAnswer(until=NOW + HOUR, name="weekend")})
    step = settled(lock.join(state, ticket("a"), NOW), answers=answers)
    assert (step.state.frozen_until, step.state.frozen_by) == (NOW + HOUR, "weekend")
    assert turn.next_look(step.state, NOW, answers) == NOW + 1


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "words"),
    [(None, NOW, "in the past"), (NOW + 9, NOW + 9, "after starts_at"), (None, 10**16, "9999")],
)
def test_an_impossible_freeze_is_refused_by_field(starts_at: int | None, ends_at: int, words: str) -> None:
    asked = FreezeCommand(by="ann", freeze_id="f", name="f", starts_at=starts_at, ends_at=ends_at)
    refusal = commands.refusal(EMPTY, asked, NOW)
    assert isinstance(refusal, ValidationFailed)
    assert [error.field for error in refusal.errors] == ["ends_at"]
    assert words in refusal.errors[0].message


def test_releasing_and_unfreezing_nothing_is_refused_and_freezes_are_bounded() -> None:
    assert isinstance(commands.refusal(EMPTY, ReleaseCommand(by="ann"), NOW), InvalidState)
    assert isinstance(commands.refusal(EMPTY, UnfreezeCommand(by="ann", freeze_id="f"), NOW), InvalidState)
    state = EMPTY
    for number in range(commands.MAX_FREEZES):
        asked = FreezeCommand(by="ann", freeze_id=f"f{number}", name="f", ends_at=NOW + HOUR)
        assert commands.refusal(state, asked, NOW) is None
        state = commands.command(state, asked, NOW).state
    more = FreezeCommand(by="ann", freeze_id="more", name="f", ends_at=NOW + HOUR)
    assert isinstance(commands.refusal(state, more, NOW), InvalidState)
    replaced = more.model_copy(update={"freeze_id": "f0", "name": "new"})
    assert commands.refusal(state, replaced, NOW) is None
    assert len(commands.command(state, replaced, NOW).state.freezes) == commands.MAX_FREEZES
