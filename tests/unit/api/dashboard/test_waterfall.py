"""An attempt as phases and as bars on one scale."""

import re

import pytest

from api.dashboard.drawings.waterfall import MOST_BARS, WIDTH, WaterfallPhase, waterfall
from api.dashboard.jobs.timeline import tried
from workflows.contracts.jobs import Attempt, Step, StepResult
from workflows.contracts.statuses import Outcome
from workflows.contracts.workspace.step_rules import When

HOSTILE = "<script>alert(1)</script>"


def places(bars: list[str]) -> list[tuple[float, float]]:
    found = [re.search(r'class="tone-\w+" x="([\d.]+)" y="2" width="([\d.]+)"', bar) for bar in bars]
    return [(float(each[1]), float(each[2])) for each in found if each is not None]


def test_each_bar_is_where_its_phase_was() -> None:
    phases = [WaterfallPhase("a", "good", 1000, 2000), WaterfallPhase("b", "bad", 2000, 5000)]
    assert places([str(bar) for bar in waterfall(phases)]) == [(0, 250), (250, 750)]


def test_a_wait_that_is_longer_than_all_work_leaves_the_work_its_room() -> None:
    phases = [
        WaterfallPhase("queued", "wait", 0, 86_400_000, waits=True),
        WaterfallPhase("step", "good", 86_400_000, 86_401_000),
    ]
    bars = [str(bar) for bar in waterfall(phases)]
    assert places(bars) == [(0, 350), (350, 650)]
    assert ["gap" in bar for bar in bars] == [True, False]


@pytest.mark.parametrize(("start", "end"), [(5, 5), (10, 0), (-(10**30), 10**30), (0, 0)])
def test_odd_times_stay_within_the_drawing(start: int, end: int) -> None:
    phases = [WaterfallPhase("a", "good", 1, 2), WaterfallPhase("odd", "bad", start, end)]
    for x, width in places([str(bar) for bar in waterfall(phases)]):
        assert 0 <= x <= WIDTH
        assert width > 0
        assert x + width <= WIDTH + 0.2


def test_there_are_only_so_many_bars_and_none_of_nothing() -> None:
    assert len(waterfall([WaterfallPhase("a", "good", 0, 1)] * 5000)) == MOST_BARS
    assert waterfall([]) == []


def test_an_attempt_that_failed_in_its_second_step() -> None:
    attempt = Attempt(
        number=1, queued_at=1000, claimed_at=2000, started_at=3000, finished_at=9000, outcome=Outcome.FAILED,
        exit_code=3, agent_id="agent-1",
        steps=[
            StepResult(name="prepare", outcome=Outcome.SUCCEEDED, exit_code=0, started_at=3000, finished_at=4000),
            StepResult(name=HOSTILE, outcome=Outcome.FAILED, exit_code=3, started_at=4000, finished_at=8900),
        ],
    )  # fmt: skip
    steps = [Step(name=name, run="true") for name in ("prepare", HOSTILE, "publish")]
    seen = tried(attempt, steps, now=99_000)
    told = [(row.phase.name, row.phase.tone, row.took, row.number) for row in seen.rows]
    assert told == [
        ("queued", "wait", "1.0 s", None),
        ("checkout", "good", "1.0 s", None),
        ("prepare", "good", "1.0 s", 1),
        (HOSTILE, "bad", "4.9 s", 2),
        ("upload and end", "idle", "100 ms", None),
    ]
    assert (seen.waited, seen.ran, [(each.name, each.words) for each in seen.unstarted]) == (
        1.0, 7.0, [("publish", "never began")],
    )  # fmt: skip
    assert not any("script" in row.bar for row in seen.rows), "words are the table's"


@pytest.mark.parametrize(
    ("attempt", "phases"),
    [
        (Attempt(number=1, queued_at=1000), [("queued", "wait", 4.0)]),
        (Attempt(number=1, queued_at=1000, claimed_at=2000), [("queued", "wait", 1.0), ("checkout", "busy", 3.0)]),
        (
            Attempt(number=1, queued_at=1000, claimed_at=2000, started_at=4000),
            [("queued", "wait", 1.0), ("checkout", "good", 2.0), ("at work", "busy", 1.0)],
        ),
        (
            Attempt(
                number=1, queued_at=1000, claimed_at=2000, started_at=2500, finished_at=4500, outcome=Outcome.FAILED
            ),
            [("queued", "wait", 1.0), ("checkout", "good", 0.5), ("at work", "bad", 2.0)],
        ),
        (
            Attempt(
                number=1, queued_at=1000, claimed_at=2000, finished_at=3000, outcome=Outcome.CHECKOUT_FAILED
            ),
            [("queued", "wait", 1.0), ("checkout", "bad", 1.0)],
        ),
    ],
)  # fmt: skip
def test_an_attempt_without_steps(attempt: Attempt, phases: list[tuple[str, str, float]]) -> None:
    seen = tried(attempt, [Step(name="a", run="true")], now=5000)
    assert [(row.phase.name, row.phase.tone, row.phase.seconds) for row in seen.rows] == phases
    assert seen.unstarted == []


def test_an_attempt_that_went_on_behind_another_ones_steps() -> None:
    attempt = Attempt(
        number=2, queued_at=10_000, claimed_at=11_000, started_at=11_100, finished_at=20_000, outcome=Outcome.SUCCEEDED,
        steps=[
            StepResult(name="a", outcome=Outcome.SUCCEEDED, started_at=1000, finished_at=4000, resumed=True),
            StepResult(name="b", resumed=True),
            StepResult(name="c", outcome=Outcome.SUCCEEDED, exit_code=0, started_at=12_000, finished_at=19_000),
            StepResult(name="d"),
        ],
    )  # fmt: skip
    steps = [Step(name=name, run="x", when=When.FAILURE if name in "bd" else When.SUCCESS) for name in "abcd"]
    seen = tried(attempt, steps, now=99_000)
    assert [(row.phase.name, row.number) for row in seen.rows] == [
        ("queued", None), ("checkout", None), ("c", 3), ("upload and end", None),
    ]  # fmt: skip
    assert [(each.name, each.words) for each in seen.resumed] == [
        ("a", "resumed, not run again; it took 3.0 s before"), ("b", "resumed, not run again"),
    ]  # fmt: skip
    assert [(each.name, each.words) for each in seen.unstarted] == [("d", "not needed: it runs only after a failure")]
