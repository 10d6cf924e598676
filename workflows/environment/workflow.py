"""EnvironmentWorkflow: the one owner of an environment's lock, open for ever. ``_work`` reads like the process:
take what came in → decide whose turn it is → write the record → answer → tell the deployments → watch the holder.

Deliberately not here: the rules (``lock``, ``turn``, ``commands``, all pure), the
record (``recorded``), what is done outside (``effects``).
Handlers only put messages into the inbox; one loop alone changes the state: nothing is shared across an ``await``.
Signals take any JSON, because the SDK drops a malformed one in silence and chokes on one without input.
"""

from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.deployments.environments import (
        BecameLive,
        EnvironmentInput,
        EnvironmentState,
        FreezeCommand,
        HoldCommand,
        Join,
        Leave,
        ReleaseCommand,
        RestoreLive,
        RetireCommand,
        RollbackReadiness,
        UnfreezeCommand,
        Yielded,
    )
    from workflows.contracts.who import Who
    from workflows.environment import commands, lock, turn
    from workflows.environment.answers import Answers
    from workflows.environment.commands import Command
    from workflows.environment.effects import EnvironmentEffects
    from workflows.environment.inbox import (
        Asked,
        Closed,
        Gone,
        LineMoved,
        Malformed,
        Message,
        Restored,
        in_words,
        received,
    )
    from workflows.environment.step import EnvironmentStep, Tell, told_to_look
    from workflows.failures import crossing
    from workflows.incoming import checks, takes
    from workflows.job.recorded import now_ms
    from workflows.shielded import shielded

_LOOKS: Final = "looks-at-the-line"  # 2026-11: before, there was no line
_LONGEST_REST: Final = timedelta(days=30)
_MOST_UNWRITTEN: Final = 100
"""Events that are kept while the store refuses the record."""


@workflow.defn(name="EnvironmentWorkflow")
class EnvironmentWorkflow(EnvironmentEffects):
    """Deployments signal it and are signalled; people update or signal it."""

    @workflow.init
    def __init__(self, start: EnvironmentInput) -> None:
        super().__init__(start)
        self._loaded = self._written is not None
        self._asked: list[Asked] = []
        self._tells: list[Tell] = []
        self._looked_at = 0  # when it was decided whose turn it is

    @workflow.run
    async def run(self, start: EnvironmentInput) -> None:
        """Work until the history is long, then go on in a new run. A cancellation is refused: nothing would be freed
        by it.
        """
        await shielded(self._run(start), self._cancelled_in_temporal)
        workflow.continue_as_new(start.model_copy(update={"resume": self._state}))

    def _cancelled_in_temporal(self) -> None:
        self._inbox.append(Malformed("cancel", "a lock has no end; terminate it to start it anew"))

    async def _run(self, start: EnvironmentInput) -> None:
        """Returns when a new run can go on: nothing is half done and nobody waits for an answer."""
        self._looks = workflow.patched(_LOOKS) or self._looks
        if not self._loaded:
            if await self._load(start):
                self._inbox.append(Restored())  # behind what came first: perhaps the holder has left meanwhile
            self._loaded = True
        while True:
            answers = await self._work()
            if workflow.info().is_continue_as_new_suggested() and await self._nobody_waits():
                return
            await self._rest(answers)

    async def _work(self) -> Answers:
        restored = False
        while self._inbox:
            message = self._inbox.popleft()
            restored = restored or isinstance(message, Restored)
            self._take(message)
        answers = await self._answers()
        now = self._looked_at = now_ms()
        if restored:
            self._apply(turn.ask_again(self._state, now, answers))
        self._apply(turn.proceed(self._state, now, answers))
        error = await self._recorded()
        for asked in self._asked:
            asked.error, asked.answer = error, self._state
        self._asked = []
        self._show()
        if turn.all_told(self._state, now, answers):
            self._watch(lock.watched(self._state))
        # else a live version was asked just now: mostly it hands over before a watch could begin; if not, this is
        # reached again after YIELD_PATIENCE_MS
        tells, self._tells = self._tells, []
        await self._tell(tells)
        return answers

    async def _nobody_waits(self) -> bool:
        await workflow.wait_condition(lambda: bool(self._inbox) or workflow.all_handlers_finished())
        return not self._inbox

    async def _rest(self, answers: Answers) -> None:
        """Until something comes in, a freeze begins or ends, or a live holder takes long to hand over."""
        look = turn.next_look(self._state, self._looked_at, answers)
        pause = None if look is None else min(timedelta(milliseconds=max(look - now_ms(), 1)), _LONGEST_REST)
        summary = (
            "until the next freeze begins or ends"
            if self._state.freezes or answers
            else "until the live version hands over"
        )
        try:
            await workflow.wait_condition(lambda: bool(self._inbox), timeout=pause, timeout_summary=summary)
        except TimeoutError:
            if turn.all_told(self._state, self._looked_at, answers):
                self._apply(turn.ask_again(self._state, now_ms(), answers))

    def _take(self, message: Message) -> None:
        state, now = self._state, now_ms()
        match message:
            case Join():
                step = lock.join(state, message.ticket, now)
            case Leave():
                step = lock.leave(state, message, now, owns=self._owns())
            case BecameLive():
                step = lock.became_live(state, message.deployment_id, now)
            case Yielded():
                step = lock.yielded(state, message)
            case Asked():
                step = self._decide(message)
            case Malformed():
                step = commands.refused(state, message.name, message.why, now, Who())
            case RestoreLive():
                step = lock.restore_live(state, message, now)
            case RollbackReadiness():
                step = lock.readiness(state, message)
            case _:
                step = self._noticed(message)
        self._apply(step)

    def _noticed(self, message: Gone | Closed | Restored | LineMoved) -> EnvironmentStep:
        state, now = self._state, now_ms()
        match message:
            case Gone():
                return lock.gone(state, message.deployment_id, now, owns=self._owns())
            case Closed():
                return lock.closed(state, message.deployment_id, message.how, now, owns=self._owns())
            case Restored():
                return lock.restored(state, now)
            case LineMoved():
                self._looks = True
                return told_to_look(state)

    def _decide(self, asked: Asked) -> EnvironmentStep:
        command, now = asked.command, now_ms()
        refusal = commands.refusal(self._state, command, now)
        if refusal is None:
            if not asked.signal:
                self._asked.append(asked)
            step = commands.command(self._state, command, now)
            lifts = isinstance(command, ReleaseCommand | UnfreezeCommand) and self._looks
            return step.then(told_to_look) if lifts else step
        if not asked.signal:
            asked.error = crossing(refusal)
            return EnvironmentStep(self._state)
        return commands.refused(self._state, asked.name, in_words(refusal), now, command)

    def _apply(self, step: EnvironmentStep) -> None:
        self._state = step.state
        self._events += step.events
        self._tells += step.tells

    async def _recorded(self) -> ApplicationError | None:
        """Write the record. One that is refused for good is reported and written with the next: the lock goes on."""
        try:
            await self._record()
        except ApplicationError as error:
            workflow.logger.error("the environment's record is refused", exc_info=error)
            self._events = self._events[-_MOST_UNWRITTEN:]
            text = f"The environment is changed, but its record could not be written: {error}"
            return ApplicationError(text, type=error.type, non_retryable=True)
        return None

    def _hear(self, message: Message) -> None:
        if isinstance(message, Asked):
            message.command = message.command.heard(now_ms())
        self._inbox.append(message)

    async def _ask(self, command: Command, name: str) -> EnvironmentState:
        asked = Asked(command.heard(now_ms()), name)
        self._inbox.append(asked)
        await workflow.wait_condition(lambda: asked.answer is not None or asked.error is not None)
        if asked.error is not None:
            raise asked.error
        assert asked.answer is not None  # noqa: S101 - for the type checker
        return asked.answer

    def _must_be_allowed(self, command: Command) -> None:
        """Refuse early what surely will be refused; with messages under way, ``_decide`` knows better."""
        refusal = commands.refusal(self._state, command, now_ms()) if self._loaded and not self._inbox else None
        if refusal is not None:
            raise crossing(refusal)

    @workflow.signal(name="join")
    def join(self, *given: Any) -> None:
        """Take a place in line (``Join``)."""
        self._hear(received("join", given))

    @workflow.signal(name="leave")
    def leave(self, *given: Any) -> None:
        """Out of the line, or the lock back (``Leave``)."""
        self._hear(received("leave", given))

    @workflow.signal(name="became_live")
    def became_live(self, *given: Any) -> None:
        """The holder's version is live (``BecameLive``)."""
        self._hear(received("became_live", given))

    @workflow.signal(name="yielded")
    def yielded(self, *given: Any) -> None:
        """The live holder hands over (``Yielded``)."""
        self._hear(received("yielded", given))

    @workflow.signal(name="restore_live")
    def restore_live(self, *given: Any) -> None:
        """The workflow of what is live is gone (``RestoreLive``)."""
        self._hear(received("restore_live", given))

    @workflow.signal(name="rollback_readiness")
    def rollback_readiness(self, *given: Any) -> None:
        """Whether what is live could be rolled back (``RollbackReadiness``)."""
        self._hear(received("rollback_readiness", given))

    @workflow.signal(name="line_changed")
    def line_changed(self, *given: Any) -> None:
        """A freeze or hold of the line began or ended: look again."""
        self._hear(LineMoved())

    @workflow.update(name="hold")
    @takes(HoldCommand)
    async def hold_update(self, command: HoldCommand) -> EnvironmentState:
        """Let nothing be rolled out."""
        return await self._ask(command, "hold")

    @workflow.update(name="release")
    @takes(ReleaseCommand)
    async def release_update(self, command: ReleaseCommand) -> EnvironmentState:
        """Lift the hold."""
        return await self._ask(command, "release")

    @workflow.update(name="freeze")
    @takes(FreezeCommand)
    async def freeze_update(self, command: FreezeCommand) -> EnvironmentState:
        """Add or replace an ad hoc freeze."""
        return await self._ask(command, "freeze")

    @workflow.update(name="unfreeze")
    @takes(UnfreezeCommand)
    async def unfreeze_update(self, command: UnfreezeCommand) -> EnvironmentState:
        """End an ad hoc freeze."""
        return await self._ask(command, "unfreeze")

    @workflow.update(name="retire")
    @takes(RetireCommand)
    async def retire_update(self, command: RetireCommand) -> EnvironmentState:
        """What was live is gone."""
        return await self._ask(command, "retire")

    @retire_update.validator
    @checks(RetireCommand)
    def _retire_allowed(self, command: RetireCommand) -> None:
        self._must_be_allowed(command)

    @workflow.signal(name="retire")
    def retire_signal(self, *given: Any) -> None:
        """``RetireCommand``, from Temporal's own CLI."""
        self._hear(received("retire", given))

    @hold_update.validator
    @checks(HoldCommand)
    def _hold_allowed(self, command: HoldCommand) -> None:
        self._must_be_allowed(command)

    @release_update.validator
    @checks(ReleaseCommand)
    def _release_allowed(self, command: ReleaseCommand) -> None:
        self._must_be_allowed(command)

    @freeze_update.validator
    @checks(FreezeCommand)
    def _freeze_allowed(self, command: FreezeCommand) -> None:
        self._must_be_allowed(command)

    @unfreeze_update.validator
    @checks(UnfreezeCommand)
    def _unfreeze_allowed(self, command: UnfreezeCommand) -> None:
        self._must_be_allowed(command)

    @workflow.signal(name="hold")
    def hold_signal(self, *given: Any) -> None:
        """``HoldCommand``, from Temporal's own CLI."""
        self._hear(received("hold", given))

    @workflow.signal(name="release")
    def release_signal(self, *given: Any) -> None:
        """``ReleaseCommand``, from Temporal's own CLI."""
        self._hear(received("release", given))

    @workflow.signal(name="freeze")
    def freeze_signal(self, *given: Any) -> None:
        """``FreezeCommand``, from Temporal's own CLI."""
        self._hear(received("freeze", given))

    @workflow.signal(name="unfreeze")
    def unfreeze_signal(self, *given: Any) -> None:
        """``UnfreezeCommand``, from Temporal's own CLI."""
        self._hear(received("unfreeze", given))

    @workflow.query(name="state")
    def state(self) -> EnvironmentState:
        """What it knows now."""
        return self._state
