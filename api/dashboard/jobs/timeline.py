"""An attempt as phases, by its record: it waited, was taken, checked out, ran its steps, handed in what it made. Pure.

Deliberately not here: how they are drawn (``drawings.waterfall``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from api.dashboard.drawings.waterfall import WaterfallPhase, waterfall
from api.dashboard.render import span
from workflows.contracts.jobs import Attempt, Step, StepResult
from workflows.contracts.statuses import Outcome

_TONES: Final[Mapping[Outcome | None, str]] = {Outcome.SUCCEEDED: "good", Outcome.CANCELLED: "idle", None: "busy"}


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """A phase as the page shows it. ``step``: its number from 1 on, its result and what it runs."""

    phase: WaterfallPhase
    bar: Markup
    took: str
    number: int | None = None
    result: StepResult | None = None
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt with its phases. ``unstarted``: steps that never began."""

    attempt: Attempt
    rows: Sequence[TimelineRow]
    unstarted: Sequence[str]
    waited: float | None
    ran: float | None


def tried(attempt: Attempt, steps: Sequence[Step], now: int) -> Tried:
    """How the attempt went until ``now`` (epoch ms). ``steps``: those of the job."""
    phases = [*_before(attempt, now), *_steps(attempt, now), *_after(attempt)]
    bars = waterfall([phase for phase, _ in phases])
    rows = [_row(phase, bar, number, attempt, steps) for (phase, number), bar in zip(phases, bars, strict=False)]
    end = attempt.finished_at or now
    begun = {step.name for step in attempt.steps if step.started_at is not None}
    reported = attempt.outcome is not None and attempt.steps
    return Tried(
        attempt=attempt,
        rows=rows,
        unstarted=[step.name for step in steps if step.name not in begun] if reported else [],
        waited=None if attempt.claimed_at is None else max(0, attempt.claimed_at - attempt.queued_at) / 1000,
        ran=None if attempt.claimed_at is None else max(0, end - attempt.claimed_at) / 1000,
    )


Numbered = tuple[WaterfallPhase, int | None]


def _before(attempt: Attempt, now: int) -> list[Numbered]:
    end = attempt.finished_at or now
    claimed, started = attempt.claimed_at, attempt.started_at
    found = [WaterfallPhase("queued", "wait", attempt.queued_at, claimed or end, waits=True)]
    if claimed is not None and started is not None and started > claimed:
        found.append(WaterfallPhase("claimed", "wait", claimed, started))
    began = started or claimed
    first = next((step.started_at for step in attempt.steps if step.started_at is not None), None)
    if began is not None and first is not None:
        found.append(WaterfallPhase("checkout", "good", began, max(began, first)))
    elif began is not None and attempt.outcome is None:
        found.append(WaterfallPhase("at work", "busy", began, end))
    elif began is not None:
        found.append(WaterfallPhase("checkout", _TONES.get(attempt.outcome, "bad"), began, end))
    return [(phase, None) for phase in found]


def _steps(attempt: Attempt, now: int) -> list[Numbered]:
    return [
        (WaterfallPhase(step.name, _TONES.get(step.outcome, "bad"), step.started_at, step.finished_at or now), number)
        for number, step in enumerate(attempt.steps, start=1)
        if step.started_at is not None
    ]


def _after(attempt: Attempt) -> list[Numbered]:
    last = max((step.finished_at for step in attempt.steps if step.finished_at is not None), default=None)
    if last is None or attempt.finished_at is None:
        return []
    return [(WaterfallPhase("upload and end", "idle", last, max(last, attempt.finished_at)), None)]


def _row(
    phase: WaterfallPhase, bar: Markup, number: int | None, attempt: Attempt, steps: Sequence[Step]
) -> TimelineRow:
    took = f"{round(phase.seconds * 1000)} ms" if phase.seconds < 1 else span(phase.seconds)
    if number is None:
        return TimelineRow(phase, bar, took)
    step = steps[number - 1] if number <= len(steps) else None
    return TimelineRow(phase, bar, took, number, attempt.steps[number - 1], step)
