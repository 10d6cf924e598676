"""What a rollout waits for between two percentages: its pauses, and freezes and holds that began meanwhile.

A part of the phase ``roll_out``. Deliberately not here: the percentages, what ends a wait early (``commands``), what
stops what (activity ``check_stops``).
"""

from collections.abc import Callable
from typing import Final

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import check_stops
    from workflows.contracts.audit.types import EventType
    from workflows.contracts.deployments.deployment import StageStatus
    from workflows.contracts.deployments.line import StopInForce, StopKind, StopQuestion
    from workflows.contracts.deployments.rollouts import Leg, Pause
    from workflows.contracts.deployments.rules import DuringFreeze, PauseFor
    from workflows.deployment import record
    from workflows.deployment.context import Context
    from workflows.deployment.progress import Halt, Phase
    from workflows.job.recorded import now_ms
    from workflows.line.stops import longest, passable, stopped
    from workflows.words import moment

_SAYS_SO: Final = "a-pause-says-so"  # 2026-11: before, a pause was only a time
_STOPS: Final = "stops-between-steps"  # 2026-11: before, what had begun went on in a freeze
_FIRST_LOOK_SECONDS: Final = 30
_LOOK_AT_MOST_SECONDS: Final = 600
"""What stops it tells it when it ends; this is for when that gets lost."""


async def pauses(context: Context, leg: Leg) -> None:
    """Those behind a percentage, one after the other. Raises Interrupted, Renew."""
    while context.state.progress.pause < len(leg.pauses) and not context.state.progress.full:
        await _pause(context, leg, leg.pauses[context.state.progress.pause])
        done = context.state.progress.pause + 1
        context.journal.move(Phase.ROLL_OUT, pause=done, halted=None, resumed=False)


async def _pause(context: Context, leg: Leg, pause: Pause) -> None:
    journal, progress = context.journal, context.state.progress
    timed = isinstance(pause, PauseFor)
    if timed and progress.until is None:
        journal.move(Phase.ROLL_OUT, until=now_ms() + pause.seconds * 1000)
    if progress.halted is None and workflow.patched(f"{_SAYS_SO}-{progress.step}-{progress.pause}"):
        journal.state = context.state.noting(halted=Halt.PAUSE if timed else Halt.PERSON, resumed=False)
        words = _words(context, leg, context.state.progress.until)
        journal.change(record.waiting, context.state.environment.name, words, status=StageStatus.PAUSED)
        if not timed:
            journal.note(EventType.DEPLOYMENT_PAUSED, message=words)
        await journal.record()
    until = context.state.progress.until
    summary = "pause between rollout steps" if timed else ""
    await context.wait(_lets_go(context), until=until, summary=summary)


def _lets_go(context: Context) -> Callable[[], bool]:
    return lambda: context.state.progress.resumed or context.state.progress.full


def _words(context: Context, leg: Leg, until: int | None) -> str:
    deployment, name = context.state.deployment, context.state.environment.name
    identity = deployment.deployment_id
    rest = "until somebody lets it go on" if until is None else f"until {moment(until)}"
    return (
        f"{deployment.version} stays at {leg.percent} % of {name} {rest}. Go on now: `hybridci deploy promote "
        f"{identity} --reason …` (to 100 % at once: `--full`); go back: `hybridci deploy abort {identity} --reason …`"
    )


async def may_go_on(context: Context) -> bool:
    """Wait until nothing stops the next percentage. False: somebody leaves it out. Raises Interrupted, Renew."""
    number, pause = context.state.progress.step, _FIRST_LOOK_SECONDS
    if not workflow.patched(f"{_STOPS}-{number}"):
        return True
    while not (context.state.progress.passes or context.state.progress.skips):
        context.journal.state = context.state.noting(looks=False)
        found = await _stops(context)
        stop = longest(found)
        if stop is None:
            break
        if _finishes(context, found):
            context.journal.note(EventType.DEPLOYMENT_FREEZE_PASSED, message=_stopped(context, stop))
            break
        await _say(context, stop)
        until = now_ms() + pause * 1000
        until = until if stop.until is None else min(until, max(stop.until, now_ms() + 1000))
        await context.wait(_looks_again(context), until=until, summary="look again whether it is stopped")
        pause = min(pause * 2, _LOOK_AT_MOST_SECONDS)
    skips = context.state.progress.skips
    context.journal.move(Phase.ROLL_OUT, halted=None, firm=False, passes=False, skips=False, looks=False, resumed=False)
    return not skips


def _looks_again(context: Context) -> Callable[[], bool]:
    def looks() -> bool:
        progress = context.state.progress
        return progress.looks or progress.passes or progress.skips

    return looks


async def _stops(context: Context) -> list[StopInForce]:
    """What a promotion or an override does not pass already."""
    deployment, environment = context.state.deployment, context.state.environment
    question = StopQuestion(
        at=now_ms(),
        service_name=deployment.service_name,
        environment=environment.name,
        of_environment=True,
        freeze_windows=environment.freeze_windows,
    )
    try:
        answer = await context.calls.at_once(check_stops, question, summary=f"{environment.name}: does it go on?")
    except FailureError as error:  # better late than in a freeze; a promotion goes on
        workflow.logger.warning("check_stops failed", exc_info=error)
        return [StopInForce(kind=StopKind.FREEZE, name="freezes and holds that cannot be read")]
    override = context.state.progress.override_freeze
    return [stop for stop in answer.stops if not (override and passable(stop))]


def _finishes(context: Context, stops: list[StopInForce]) -> bool:
    """The environment lets what has begun go on in a freeze; a hold, and what allows no exception, stops it."""
    rule = context.state.environment.freeze_during_rollout
    return rule is DuringFreeze.FINISH and all(passable(stop) for stop in stops)


async def _say(context: Context, stop: StopInForce) -> None:
    journal, words = context.journal, _stopped(context, stop)
    if context.state.progress.halted is Halt.STOP and context.state.deployment.waits_for == words:
        return
    journal.state = context.state.noting(halted=Halt.STOP, firm=not passable(stop))
    journal.change(record.waiting, context.state.environment.name, words, status=StageStatus.PAUSED)
    journal.note(EventType.DEPLOYMENT_HALTED, message=words)
    await journal.record()


def _stopped(context: Context, stop: StopInForce) -> str:
    deployment, environment = context.state.deployment, context.state.environment
    identity, stage = deployment.deployment_id, deployment.stage(environment.name)
    where = f" at {stage.percent} %" if stage is not None and stage.percent is not None else ""
    anyway = f" Go on anyway: `hybridci deploy promote {identity} --reason …`." if passable(stop) else ""
    return (
        f"{deployment.version} stays{where}, before its next step: "
        f"{stopped(environment.name, deployment.service_name, stop)} It goes on by itself when that is over."
        f"{anyway} Go back: `hybridci deploy abort {identity} --reason …`"
    )
