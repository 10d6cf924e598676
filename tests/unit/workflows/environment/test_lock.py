"""The lock of an environment, without Temporal: single rules by example, all of them against a small model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from workflows.contracts.deployments.environments import (
    MAX_HISTORY,
    BecameLive,
    EnvironmentState,
    FreezeAnswer,
    FreezeCommand,
    Granted,
    Hold,
    HoldCommand,
    Join,
    Leave,
    Leaving,
    LiveVersion,
    Reinstated,
    ReleaseCommand,
    Superseded,
    Ticket,
    UnfreezeCommand,
    Waiting,
    Yielded,
    YieldRequested,
)
from workflows.contracts.deployments.rules import SupersedePolicy
from workflows.contracts.errors import InvalidState, ValidationFailed
from workflows.environment import commands, lock, turn
from workflows.environment.step import EnvironmentStep, handed_over

NOW = 1_700_000_000_000
EMPTY = EnvironmentState(service_name="shop", environment="production")
HOUR = 3_600_000


def ticket(name: str, *, ready: bool = True, **fields: Any) -> Ticket:
    return Ticket(
        deployment_id=name,
        workflow_id=f"deploy-{name}",
        version=name,
        git_commit_sha="a" * 40,
        arrived_at=NOW,
        ready=ready,
        **fields,
    )


def settled(step: EnvironmentStep, now: int = NOW, answers: dict[str, FreezeAnswer] | None = None) -> EnvironmentStep:
    return step.then(lambda state: turn.proceed(state, now, answers or {}))


def holding(name: str, state: EnvironmentState = EMPTY) -> EnvironmentState:
    after = settled(lock.join(state, ticket(name), NOW)).state
    assert after.holder is not None
    assert after.holder.deployment_id == name
    return after


def live(name: str) -> EnvironmentState:
    return lock.became_live(holding(name), name, NOW).state


def told(step: EnvironmentStep) -> list[tuple[str, str]]:
    return [(tell.deployment_id, type(tell.message).__name__) for tell in step.tells]


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
    step = settled(lock.leave(state, Leave(deployment_id="b", how=Leaving.ROLLED_BACK, live=older, hold=hold), NOW))
    assert told(step) == [("a", "Superseded")]
    assert (step.state.live, step.state.holder, step.state.hold) == (older, None, hold)
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
    assert turn.next_look(asked, NOW, {}) == NOW + turn.YIELD_PATIENCE_MS
    assert not turn.all_told(asked, NOW, {})
    later = turn.proceed(asked, NOW + turn.YIELD_PATIENCE_MS, {})
    assert told(later) == [("b", "Waiting")]
    assert turn.all_told(later.state, NOW, {})
    assert turn.next_look(later.state, NOW, {}) == NOW + turn.ASK_AGAIN_MS
    again = turn.ask_again(later.state, NOW, {})
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
    assert turn.next_look(step.state, NOW, {}) == NOW + HOUR
    assert told(settled(lock.join(step.state, ticket("b", override_freeze=True), NOW))) == [("b", "Granted")]
    over = turn.proceed(step.state, NOW + HOUR, {})
    assert [event.action for event in over.events] == ["environment.freeze_ended", "environment.granted"]
    assert (over.state.frozen_until, over.state.freezes) == (None, [])
    granted = over.tells[0].message
    assert isinstance(granted, Granted)
    assert granted.frozen


def test_of_several_freezes_the_one_that_ends_last_is_told() -> None:
    freeze = FreezeCommand(by="ann", freeze_id="f", name="short", ends_at=NOW + 1)
    state = commands.command(EMPTY, freeze, NOW).state
    answers = {"a": FreezeAnswer(until=NOW + HOUR, name="weekend")}
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


@dataclass
class Actor:
    """What a deployment believes, and what it has said that has not arrived yet."""

    name: str
    ready: bool = False
    fence: int | None = None
    turn: int | None = None
    live: bool = False
    asked: bool = False
    handed_over: bool = False
    ended: bool = False
    targets: list[LiveVersion | None] = field(default_factory=list[LiveVersion | None])
    said: list[Join | Leave | BecameLive | Yielded] = field(default_factory=list[Join | Leave | BecameLive | Yielded])


def waits(actor: Actor) -> bool:
    return actor.fence is None and not actor.live


def deploys(actor: Actor) -> bool:
    return actor.fence is not None and not actor.live


def holds(actor: Actor) -> bool:
    return actor.fence is not None


def is_asked(actor: Actor) -> bool:
    return actor.asked and not actor.handed_over


def is_open(actor: Actor) -> bool:
    return not actor.ended


class Lock(RuleBasedStateMachine):
    """Random deployments on one environment. What they say arrives late, in order for each, in any order for all."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.now = EMPTY, NOW
        self.actors: list[Actor] = []
        self.in_line: set[str] = set()
        self.highest = 0
        self.was_live: list[str] = []
        self.eager = False

    @initialize(eager=st.booleans())
    def choose(self, eager: bool) -> None:
        """In half of the runs everything arrives at once: those come further."""
        self.eager = eager

    # --- what the environment says --------------------------------------------------------------------------------

    def perform(self, step: EnvironmentStep) -> None:
        """As the workflow does: settle, then tell; who cannot be told is gone."""
        step = settled(step, self.now)
        self.state = step.state
        closed: list[str] = []
        for tell in step.tells:
            actor = self.actor(tell.deployment_id)
            if actor.ended:
                closed += [] if isinstance(tell.message, Superseded) else [actor.name]
            else:
                self.tell(actor, tell.message)
        for name in closed:
            self.in_line.discard(name)
            self.perform(lock.gone(self.state, name, self.now))

    def tell(self, actor: Actor, message: object) -> None:
        match message:
            case Granted():
                assert actor.fence in {None, message.fence}
                assert actor.ready
                assert actor.fence is not None or not (self.state.hold or self.state.frozen_until)
                self.in_line.discard(actor.name)
                if actor.fence is None:
                    assert message.fence > self.highest
                    assert message.previous == self.state.live
                    self.highest = actor.fence = actor.turn = message.fence
                    actor.targets = [message.previous, message.previous, *message.history[1:3], None]
            case Reinstated():
                assert actor.live
                assert actor.handed_over
                assert message.fence > self.highest
                self.highest = actor.fence = actor.turn = message.fence
                actor.asked, actor.handed_over = False, False
            case YieldRequested():
                assert actor.live
                actor.asked = True
                if actor.handed_over:  # it answers each time
                    actor.said.append(Yielded(deployment_id=actor.name, fence=actor.turn))
            case Superseded():
                self.in_line.discard(actor.name)
                assert not (actor.fence is not None and not actor.live)
                actor.ended, actor.fence, actor.live = True, None, False
            case _:
                assert actor.ready
                assert actor.fence is None

    def say(self, actor: Actor, message: Join | Leave | BecameLive | Yielded) -> None:
        actor.said.append(message)
        if self.eager:
            self.take(actor)

    # --- what arrives ---------------------------------------------------------------------------------------------

    @precondition(lambda self: any(actor.said for actor in self.actors))
    @rule(data=st.data(), most=st.sampled_from([1, 2, 99]))
    def arrive(self, data: st.DataObject, most: int) -> None:
        while most and any(actor.said for actor in self.actors):
            self.take(data.draw(st.sampled_from([actor for actor in self.actors if actor.said])))
            most -= 1

    def take(self, actor: Actor) -> None:
        message = actor.said.pop(0)
        owner = self.state.holder is not None and self.state.holder.deployment_id == actor.name
        match message:
            case Join():
                if not owner:
                    self.superseded_by(message.ticket)
                    self.in_line.add(actor.name)
                self.perform(lock.join(self.state, message.ticket, self.now))
            case Leave():
                self.in_line.discard(actor.name)
                self.left(message, owner)
                self.perform(lock.leave(self.state, message, self.now))
            case BecameLive():
                self.was_live += [actor.name] if owner else []
                self.perform(lock.became_live(self.state, actor.name, self.now))
            case Yielded():
                self.perform(lock.yielded(self.state, message))

    def superseded_by(self, newcomer: Ticket) -> None:
        if newcomer.supersede is SupersedePolicy.OLDER and newcomer.deployment_id not in self.in_line:
            self.in_line.clear()

    def left(self, message: Leave, owner: bool) -> None:
        if owner and message.how is Leaving.DEPLOYED:
            self.was_live.append(message.deployment_id)
        if owner and message.how is Leaving.ROLLED_BACK:
            self.was_live.append(message.live.deployment_id if message.live is not None else "")

    # --- what deployments do --------------------------------------------------------------------------------------

    @precondition(lambda self: sum(not actor.ended for actor in self.actors) < 5)
    @rule(ready=st.sampled_from([True, True, False]), supersede=st.sampled_from(SupersedePolicy))
    def start(self, ready: bool, supersede: SupersedePolicy) -> None:
        actor = Actor(str(len(self.actors)), ready=ready)
        self.actors.append(actor)
        self.say(actor, Join(ticket=ticket(actor.name, ready=ready, supersede=supersede)))

    @precondition(lambda self: self.some(waits))
    @rule(data=st.data())
    def approve(self, data: st.DataObject) -> None:
        actor = self.draw(data, waits)
        actor.ready = True
        self.say(actor, Join(ticket=ticket(actor.name)))

    @precondition(lambda self: self.some(deploys))
    @rule(data=st.data())
    def go_live(self, data: st.DataObject) -> None:
        actor = self.draw(data, deploys)
        actor.live = True
        self.say(actor, BecameLive(deployment_id=actor.name))

    @precondition(lambda self: self.some(is_asked))
    @rule(data=st.data())
    def hand_over(self, data: st.DataObject) -> None:
        actor = self.draw(data, is_asked)
        actor.asked, actor.handed_over, actor.fence = False, True, None
        self.say(actor, Yielded(deployment_id=actor.name, fence=actor.turn))

    @precondition(lambda self: self.some(holds))
    @rule(data=st.data(), how=st.sampled_from(Leaving), hold=st.booleans())
    def give_back(self, data: st.DataObject, how: Leaving, hold: bool) -> None:
        """Also a live one, and one that was asked to hand over."""
        actor = self.draw(data, holds)
        how = Leaving.ENDED if actor.live and how is Leaving.DEPLOYED else how
        why = Hold(by="ann", reason="bad", at=self.now) if hold else None
        back = data.draw(st.sampled_from(actor.targets)) if how is Leaving.ROLLED_BACK else None
        self.say(actor, Leave(deployment_id=actor.name, how=how, live=back, hold=why))
        actor.ended, actor.fence, actor.live = True, None, False

    @precondition(lambda self: self.some(waits))
    @rule(data=st.data())
    def leave_the_line(self, data: st.DataObject) -> None:
        actor = self.draw(data, waits)
        self.say(actor, Leave(deployment_id=actor.name, how=Leaving.ENDED))
        actor.ended = True

    @precondition(lambda self: self.some(is_open))
    @rule(data=st.data(), likely=st.integers(0, 2))
    def crash(self, data: st.DataObject, likely: int) -> None:
        if likely == 0:
            actor = self.draw(data, is_open)
            actor.ended, actor.fence, actor.live = True, None, False

    # --- what happens to the environment --------------------------------------------------------------------------

    @precondition(lambda self: self.lost_holder() is not None)
    @rule()
    def find_the_lost_holder(self) -> None:
        name = self.lost_holder()
        assert name is not None
        self.perform(lock.closed(self.state, name, "terminated", self.now))

    @rule(what=st.sampled_from(["restore", "hold", "freeze", "wait", "wait"]), hours=st.integers(0, 2))
    def interfere(self, what: str, hours: int) -> None:
        """Holds and freezes are lifted more often than set: else hardly anything would happen."""
        match what:
            case _ if self.state.hold is not None:
                self.perform(commands.command(self.state, ReleaseCommand(by="ann"), self.now))
            case "restore":
                self.perform(
                    lock.restored(self.state, self.now).then(lambda state: turn.ask_again(state, self.now, {}))
                )
            case "hold":
                self.perform(commands.command(self.state, HoldCommand(by="ann", reason="no"), self.now))
            case _ if self.state.freezes and what == "freeze":
                asked = UnfreezeCommand(by="ann", freeze_id=self.state.freezes[0].freeze_id)
                self.perform(commands.command(self.state, asked, self.now))
            case "freeze":
                starts = self.now + hours * HOUR
                freeze = FreezeCommand(by="ann", freeze_id="f", name="f", starts_at=starts, ends_at=starts + HOUR)
                self.perform(commands.command(self.state, freeze, self.now))
            case _:
                self.now += hours * HOUR
                self.perform(turn.ask_again(self.state, self.now, {}))

    # --- what must always be so -----------------------------------------------------------------------------------

    @invariant()
    def one_holder_at_most(self) -> None:
        believers = [actor for actor in self.actors if actor.fence is not None]
        assert len(believers) <= 1
        holder = self.state.holder
        if believers:
            assert holder is not None
            assert (holder.deployment_id, holder.fence) == (believers[0].name, believers[0].fence)
        assert holder is None or (holder.fence == self.state.fence and not handed_over(holder))

    @invariant()
    def no_ticket_is_lost(self) -> None:
        names = [each.deployment_id for each in self.state.queue]
        assert len(names) == len(set(names))
        assert set(names) == self.in_line

    @invariant()
    def nobody_waits_without_a_reason(self) -> None:
        state, ready = self.state, [each for each in self.state.queue if each.ready]
        blocked = state.hold is not None or state.frozen_until is not None
        if ready and not blocked:
            assert state.holder is not None
            assert not state.holder.live or state.holder.yielding
        asked = state.holder is not None and state.holder.yielding
        assert all(each.waits_for for each in ready) or asked

    @invariant()
    def what_is_live_is_known(self) -> None:
        live = self.state.live
        assert (live.deployment_id if live is not None else "") == (self.was_live[-1] if self.was_live else "")
        assert live is None or self.state.history[0] == live
        history = [each.deployment_id for each in self.state.history]
        assert len(set(history)) == len(history)
        assert set(history) == {name for name in self.was_live if name}

    @invariant()
    def a_live_version_that_handed_over_is_not_forgotten(self) -> None:
        """Its answer is on its way, or it gets its turn back when the newcomer is gone, or it is superseded."""
        for actor in self.actors:
            if actor.handed_over and not actor.ended:
                on_its_way = any(isinstance(message, Yielded) for message in actor.said)
                assert on_its_way or (self.state.holder is not None and self.state.holder.over == actor.name)

    def actor(self, name: str) -> Actor:
        return self.actors[int(name)]

    def some(self, wanted: Callable[[Actor], bool]) -> bool:
        return any(wanted(actor) and not actor.ended for actor in self.actors)

    def draw(self, data: st.DataObject, wanted: Callable[[Actor], bool]) -> Actor:
        return data.draw(st.sampled_from([actor for actor in self.actors if wanted(actor) and not actor.ended]))

    def lost_holder(self) -> str | None:
        watched = lock.watched(self.state)
        if watched is None:
            return None
        actor = self.actor(watched.deployment_id)
        return actor.name if actor.ended and not actor.said else None


Lock.TestCase.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
TestLock = Lock.TestCase
