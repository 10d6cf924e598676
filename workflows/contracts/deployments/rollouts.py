"""A rollout as it is done: each percentage, and the pauses behind it. Pure.

Deliberately not here: doing it (``workflows.deployment``), what people may say to it (there too).
"""

from dataclasses import dataclass
from typing import Final, Literal

from workflows.contracts.deployments.rules import PauseFor, Rollout, RolloutStep

UNTIL_RESUMED: Final = "until_resumed"
Pause = PauseFor | Literal["until_resumed"]


@dataclass(frozen=True, slots=True)
class Leg:
    """A percentage, and what is waited for before the next one."""

    percent: int
    pauses: tuple[Pause, ...] = ()


def legs_of(rollout: Rollout) -> list[Leg]:
    """In order; the last one is 100 and waits for nothing."""
    if rollout.steps is None:
        between: tuple[Pause, ...] = (PauseFor(seconds=rollout.pause_seconds),) if rollout.pause_seconds else ()
        return [Leg(percent, between) for percent in rollout.percent[:-1]] + [Leg(rollout.percent[-1])]
    legs: list[Leg] = []
    for step in rollout.steps:
        if step.percent is not None:
            legs.append(Leg(step.percent))
        elif step.pause is not None:
            legs[-1] = Leg(legs[-1].percent, (*legs[-1].pauses, step.pause))
    return legs


def tightened_rollout(policy: Rollout, file: Rollout) -> Rollout:
    """Both, where one of them has steps: each percentage of either, and behind it what either waits for, at least.

    Times are not added up: a minute in both is a minute.
    """
    ours, theirs = ({leg.percent: leg.pauses for leg in legs_of(each)} for each in (policy, file))
    steps: list[RolloutStep] = []
    for percent in sorted({*ours, *theirs}):
        steps.append(RolloutStep(percent=percent))
        if percent < 100:
            demanded = ours.get(percent, _everywhere(policy))
            steps += [RolloutStep(pause=pause) for pause in _stricter(demanded, theirs.get(percent, _everywhere(file)))]
    return Rollout(steps=steps)


def _everywhere(rollout: Rollout) -> tuple[Pause, ...]:
    """``pause_seconds`` is behind each percentage, also one that the other says."""
    return (PauseFor(seconds=rollout.pause_seconds),) if rollout.pause_seconds else ()


def _stricter(policy: tuple[Pause, ...], file: tuple[Pause, ...]) -> list[Pause]:
    seconds = max(_seconds(policy), _seconds(file))
    timed: list[Pause] = [PauseFor(seconds=seconds)] if seconds else []
    asked: list[Pause] = [UNTIL_RESUMED] if any(pause == UNTIL_RESUMED for pause in (*policy, *file)) else []
    return timed + asked


def _seconds(pauses: tuple[Pause, ...]) -> int:
    return min(sum(pause.seconds for pause in pauses if isinstance(pause, PauseFor)), 7 * 24 * 3600)
