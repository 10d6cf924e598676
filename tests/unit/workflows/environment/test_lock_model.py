"""The lock of an environment against a small model: whatever comes in whatever order, without Temporal."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.workflows.environment.lock_steps import EMPTY, HOUR, NOW, settled, ticket
from workflows.contracts.deployments.environments import (
    BecameLive,
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
    Yielded,
    YieldRequested,
)
from workflows.contracts.deployments.rules import SupersedePolicy
from workflows.environment import commands, lock, turn
from workflows.environment.answers import NO_ANSWERS
from workflows.environment.step import EnvironmentStep, handed_over


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
                    lock.restored(self.state, self.now).then(lambda state: turn.ask_again(state, self.now, NO_ANSWERS))
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
                self.perform(turn.ask_again(self.state, self.now, NO_ANSWERS))

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
