import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.stores.statistics import (
    BUCKET_EDGES_MS,
    Footprint,
    add_up,
    day_stats,
    deltas,
    expected_footprint,
    queue_stats,
)
from tests.stores.lives import NOON, Life, counted, lives, make_job
from workflows.contracts.jobs import Attempt
from workflows.contracts.records import JobWrite, QueueStats
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 12))
def test_counters_of_any_writes_equal_a_count_of_the_records(seed: int, count: int) -> None:
    made, parts = lives(seed, count, steps=12), list[dict[str, int]]()
    for life in made:
        before = None
        for write in life.writes:
            parts.append(dict(deltas(before, write.job).queue))
            before = Footprint.of(write.job)
    assert queue_stats(add_up(parts)) == counted(life.job for life in made)


def test_the_guess_is_right_on_the_usual_paths() -> None:
    chance = random.Random(1)
    announced, trivial, retried, claimed, cancelled, redriven = (Life(chance) for _ in range(6))
    announced.announce()
    announced.end(JobStatus.SUCCESS)
    trivial.end(JobStatus.SUCCESS)
    retried.end(None)
    retried.announce()
    retried.end(None)
    retried.end(JobStatus.FAILED)
    claimed.announce(QueueStatus.CLAIMED)
    claimed.announce()
    claimed.end(JobStatus.CANCELLED)
    cancelled.stop(JobStatus.CANCELLED)
    redriven.end(JobStatus.DEAD_LETTERED)
    redriven.amend()
    redriven.redrive()
    for life in (announced, trivial, retried, claimed, cancelled, redriven):
        for earlier, write in zip(life.writes, life.writes[1:], strict=False):
            assert expected_footprint(write) == Footprint.of(earlier.job), write


@settings(max_examples=100, deadline=None)
@given(agent=st.none() | st.text(max_size=20))
def test_a_footprint_survives_its_text_form(agent: str | None) -> None:
    footprint = Footprint(QueueStatus.RUNNING, JobStatus.RUNNING, 3, 2, agent)
    assert Footprint.parse(str(footprint)) == footprint


def test_a_trivial_job_moves_every_counter_at_once() -> None:
    attempt = Attempt(number=1, queued_at=NOON, claimed_at=NOON + 25, finished_at=NOON + 26, agent_id="a")
    created = make_job()
    ended = created.model_copy(
        update={"status": JobStatus.SUCCESS, "queue_status": QueueStatus.COMPLETED, "attempts": [attempt]}
    )
    moved = deltas(Footprint.of(created), ended)
    assert moved.queue == {
        "depth": -1, "completed": 1, "wait_ms": 25, "wait_b02": 1, "execution_ms": 1, "execution_b00": 1,
        "attempts": 1,
    }  # fmt: skip
    assert moved.days == {"2025-11-21": {"completed": 1, "h12d": 1, "h12o": -1, "h12w02": 1}}


def test_a_write_that_changes_no_state_moves_nothing() -> None:
    job = make_job()
    moved = deltas(Footprint.of(job), job.model_copy(update={"pool": "gpu", "sequence": 2}))
    assert (moved.queue, moved.days) == ({}, {})


@pytest.mark.parametrize(
    ("waited", "edge"), [(-5, 0.01), (0, 0.01), (10, 0.01), (11, 0.02), (86_400_000, 167772.16), (10**12, 671088.64)]
)
def test_a_sample_falls_into_the_bucket_whose_upper_edge_is_not_below_it(waited: int, edge: float) -> None:
    attempt = Attempt(number=1, queued_at=10**12, claimed_at=10**12 + waited)
    moved = deltas(None, make_job(attempts=[attempt], queue_status=QueueStatus.RUNNING))
    assert queue_stats(moved.queue).p95_wait_seconds == edge


def test_p95_leaves_out_a_twentieth() -> None:
    buckets = {"wait_b00": 95, "wait_b10": 5, "wait_ms": 1}
    assert queue_stats(buckets).p95_wait_seconds == BUCKET_EDGES_MS[0] / 1000
    assert queue_stats({**buckets, "wait_b10": 6}).p95_wait_seconds == BUCKET_EDGES_MS[10] / 1000


def test_nothing_measured_is_none_and_not_zero() -> None:
    assert queue_stats({}) == QueueStats()
    assert queue_stats({"completed": 4}).failure_rate == 0
    assert queue_stats({"completed": 2, "failed": 1, "dead_lettered": 1}).failure_rate == 0.5


def test_jobs_and_attempts_each_have_their_own_numbers() -> None:
    def tried(*outcomes: Outcome) -> list[Attempt]:
        return [
            Attempt(number=n, queued_at=1, claimed_at=2, finished_at=3, outcome=each) for n, each in enumerate(outcomes)
        ]

    flaky = make_job(
        attempts=tried(Outcome.FAILED, Outcome.AGENT_LOST, Outcome.SUCCEEDED), queue_status=QueueStatus.COMPLETED,
        status=JobStatus.SUCCESS, flaky=True,
    )  # fmt: skip
    parked = make_job(attempts=tried(Outcome.FAILED, Outcome.CANCELLED), queue_status=QueueStatus.DEAD_LETTERED)
    found = queue_stats(add_up([deltas(None, flaky).queue, deltas(None, parked).queue]))
    assert (found.jobs_failed, found.jobs_flaky, found.job_failure_rate, found.failure_rate) == (1, 1, 0.5, 0.5)
    assert (found.attempts_ended, found.attempts_failed, found.attempt_failure_rate) == (5, 3, 0.6)
    again = deltas(Footprint.of(flaky), flaky.model_copy(update={"sequence": 9}))
    assert again.queue == {}, "nothing is counted twice"


def test_a_day_counts_what_failed_on_it_once() -> None:
    life = Life(random.Random(2))
    life.end(JobStatus.DEAD_LETTERED)
    life.stop(JobStatus.FAILED)
    days: list[dict[str, int]] = []
    before = None
    for write in life.writes:
        days += [dict(counters) for counters in deltas(before, write.job).days.values()]
        before = Footprint.of(write.job)
    assert day_stats("2025-11-21", add_up(days)).model_dump(exclude={"hours"}) == {
        "day": "2025-11-21", "created": 1, "completed": 0, "failed": 1
    }  # fmt: skip


def test_the_first_write_expects_no_record() -> None:
    assert expected_footprint(JobWrite(job=make_job())) is None
