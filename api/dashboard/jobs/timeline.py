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
from workflows.contracts.workspace.step_rules import When

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
class NotRun:
    """A step that this attempt did not run, and why."""

    name: str
    words: str
    result: StepResult | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt with its phases. ``resumed``: steps that an earlier attempt had finished; ``unstarted``: that never
    began.
    """

    attempt: Attempt
    rows: Sequence[TimelineRow]
    resumed: Sequence[NotRun]
    unstarted: Sequence[NotRun]
    waited: float | None
    ran: float | None


def tried(attempt: Attempt, steps: Sequence[Step], now: int) -> Tried:
    """How the attempt went until ``now`` (epoch ms). ``steps``: those of the job."""
    phases = [*_before(attempt, now), *_steps(attempt, now), *_after(attempt)]
    bars = waterfall([phase for phase, _ in phases])
    rows = [_row(phase, bar, number, attempt, steps) for (phase, number), bar in zip(phases, bars, strict=False)]
    end = attempt.finished_at or now
    begun = {step.name for step in attempt.steps if step.started_at is not None or step.resumed}
    reported = attempt.outcome is not None and attempt.steps
    return Tried(
        attempt=attempt,
        rows=rows,
        resumed=[NotRun(each.name, _before_this(each), each) for each in attempt.steps if each.resumed],
        unstarted=[NotRun(step.name, _why_not(step)) for step in steps if step.name not in begun] if reported else [],
        waited=None if attempt.claimed_at is None else max(0, attempt.claimed_at - attempt.queued_at) / 1000,
        ran=None if attempt.claimed_at is None else max(0, end - attempt.claimed_at) / 1000,
    )


def _before_this(result: StepResult) -> str:
    if result.started_at is None or result.finished_at is None:
        return "resumed, not run again"
    return f"resumed, not run again; it took {_short_span((result.finished_at - result.started_at) / 1000)} before"


def _why_not(step: Step) -> str:
    return "not needed: it runs only after a failure" if step.when is When.FAILURE else "never began"


Numbered = tuple[WaterfallPhase, int | None]


def _before(attempt: Attempt, now: int) -> list[Numbered]:
    """Until the first step. ``started_at`` is when the steps began: what lies before it is the checkout."""
    end = attempt.finished_at or now
    claimed = attempt.claimed_at
    found = [WaterfallPhase("queued", "wait", attempt.queued_at, claimed or end, waits=True)]
    if claimed is None:
        return [(phase, None) for phase in found]
    first = next((step.started_at for step in _own(attempt) if step.started_at is not None), None)
    begun = attempt.started_at if first is None else first
    tone = "busy" if attempt.outcome is None else _TONES.get(attempt.outcome, "bad")
    if begun is None:
        found.append(WaterfallPhase("checkout", tone, claimed, end))
    else:
        found.append(WaterfallPhase("checkout", "good", claimed, max(claimed, begun)))
        if first is None:
            found.append(WaterfallPhase("at work", tone, max(claimed, begun), end))
    return [(phase, None) for phase in found]


def _steps(attempt: Attempt, now: int) -> list[Numbered]:
    return [
        (WaterfallPhase(step.name, _TONES.get(step.outcome, "bad"), step.started_at, step.finished_at or now), number)
        for number, step in enumerate(attempt.steps, start=1)
        if step.started_at is not None and not step.resumed
    ]


def _after(attempt: Attempt) -> list[Numbered]:
    last = max((step.finished_at for step in _own(attempt) if step.finished_at is not None), default=None)
    if last is None or attempt.finished_at is None:
        return []
    return [(WaterfallPhase("upload and end", "idle", last, max(last, attempt.finished_at)), None)]


def _own(attempt: Attempt) -> list[StepResult]:
    return [step for step in attempt.steps if not step.resumed]


def _short_span(seconds: float) -> str:
    return f"{round(seconds * 1000)} ms" if seconds < 1 else span(seconds)


def _row(
    phase: WaterfallPhase, bar: Markup, number: int | None, attempt: Attempt, steps: Sequence[Step]
) -> TimelineRow:
    took = _short_span(phase.seconds)
    if number is None:
        return TimelineRow(phase, bar, took)
    step = steps[number - 1] if number <= len(steps) else None
    return TimelineRow(phase, bar, took, number, attempt.steps[number - 1], step)
