"""The queue's counters, pure: which of them a write moves, and the statistics that their sums give.

What is counted, for every job record:

- ``depth`` are the jobs that are QUEUED, ``running`` those CLAIMED or RUNNING; ``completed``, ``failed``, ``cancelled``
  and ``dead_lettered`` count the state a job is in now. A redriven dead letter leaves ``dead_lettered`` again, so that
  the counters are at all times what a count of all records would give that there were: one that is removed by policy
  stays counted in its last state. ``total`` is all of them.
- A **wait** (``claimed_at - queued_at``) is sampled once per attempt, by the write that first shows its ``claimed_at``:
  at the claim, or at the attempt's end when its start was never announced. (An attempt that is taken back, because its
  job moves to another pool just then, has waited all the same.)
- An **execution** (``finished_at - started_at``, from the claim when no step ran) is sampled once per attempt, by the
  write that first shows its ``finished_at``. An attempt that nobody claimed is not sampled.
- An **attempt** is counted once too, by the same write: in ``attempts``, and in ``attempts_failed`` unless it succeeded
  or was cancelled. A job that becomes completed and is marked flaky is counted in ``flaky``.
- A day counts events: jobs created, and jobs that became completed or failed (parked included) on it, in UTC. A job
  that fails, is redriven and succeeds on one day is in both; discarding a dead letter is no second failure. Its hours
  count the same events, and more (``hours``).
- An agent counts the jobs that became completed as its own: of the attempt that completed them.

What a stored record has already contributed, here and to the lists it is found by, is its ``Footprint``. A store keeps
it beside the record and makes it a condition of the next write, so ``expected_footprint`` may guess: a wrong guess
costs a read, never a wrong count.

Deliberately not here: where the counters are kept and how they are spread (``memory``, ``dynamo``).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from activities.stores.histograms import BUCKET_EDGES_MS, bucket_of, percentile_seconds
from activities.stores.hours import hour_counter, hours_of, wait_counter
from workflows.contracts.jobs import Attempt, Job
from workflows.contracts.records import DayStats, JobWrite, QueueStats
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus

_PERCENTILE: Final = 95
_COUNTERS: Final[Mapping[QueueStatus, str]] = {
    QueueStatus.QUEUED: "depth",
    QueueStatus.CLAIMED: "running",
    QueueStatus.RUNNING: "running",
    QueueStatus.COMPLETED: "completed",
    QueueStatus.FAILED: "failed",
    QueueStatus.CANCELLED: "cancelled",
    QueueStatus.DEAD_LETTERED: "dead_lettered",
}
_USUAL_STATUS: Final[Mapping[QueueStatus, JobStatus]] = {
    QueueStatus.QUEUED: JobStatus.QUEUED,
    QueueStatus.CLAIMED: JobStatus.RUNNING,
    QueueStatus.RUNNING: JobStatus.RUNNING,
    QueueStatus.COMPLETED: JobStatus.SUCCESS,
    QueueStatus.FAILED: JobStatus.FAILED,
    QueueStatus.CANCELLED: JobStatus.CANCELLED,
    QueueStatus.DEAD_LETTERED: JobStatus.DEAD_LETTERED,
}
_COMPLETED: Final = "completed"
_OPEN: Final = frozenset({QueueStatus.QUEUED, QueueStatus.CLAIMED, QueueStatus.RUNNING})
_ACTIVE: Final = frozenset({QueueStatus.CLAIMED, QueueStatus.RUNNING})
_WELL: Final = frozenset({None, Outcome.SUCCEEDED, Outcome.CANCELLED})
_FAILURES: Final = frozenset({QueueStatus.FAILED, QueueStatus.DEAD_LETTERED})


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a record has contributed: its states, its agent, and how many attempts were sampled."""

    queue_status: QueueStatus
    status: JobStatus
    claimed: int
    finished: int
    agent_id: str | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """The footprint that this record leaves."""
        return cls(job.queue_status, job.status, len(_claimed(job)), len(_finished(job)), job.agent_id)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The footprint from its text form."""
        queue_status, status, claimed, finished, *agent = text.split("/", 4)
        return cls(
            QueueStatus(queue_status), JobStatus(status), int(claimed), int(finished), agent[0] if agent else None
        )

    def __str__(self) -> str:
        agent = "" if self.agent_id is None else f"/{self.agent_id}"
        return f"{self.queue_status}/{self.status}/{self.claimed}/{self.finished}{agent}"


@dataclass(frozen=True, slots=True)
class Deltas:
    """By how much a write moves the queue's counters and, by day, the days'. Never a zero in it. ``completed_by``: the
    agent that has one completed job more.
    """

    queue: Mapping[str, int]
    days: Mapping[str, Mapping[str, int]]
    completed_by: str | None = None


def expected_footprint(write: JobWrite) -> Footprint | None:
    """What the stored record has most likely contributed, from ``previous`` and the job; None: there is no record.

    It misses in rare cases only (a job amended or cancelled during its backoff, a write that was never made).
    """
    job, previous = write.job, write.previous
    if previous is None:
        return None
    claimed, finished = _newly_claimed_and_finished(job, previous)
    agents = [attempt.agent_id for attempt in job.attempts]
    agent = agents[-2:-1] if claimed else [job.agent_id] if job.agent_id is not None else agents[-1:]
    after = Footprint.of(job)
    return Footprint(
        previous,
        job.status if job.queue_status is previous else _USUAL_STATUS[previous],
        max(0, after.claimed - claimed),
        max(0, after.finished - finished),
        agent[0] if agent else None,
    )


def deltas(before: Footprint | None, job: Job) -> Deltas:
    """What storing ``job`` adds to the counters when the stored record's footprint is ``before``."""
    queue: Counter[str] = Counter()
    days: dict[str, Counter[str]] = {}
    if before is None:
        queue["total"] += 1
        _count(days, job.created_at, "created")
    else:
        queue[_COUNTERS[before.queue_status]] -= 1
    queue[_COUNTERS[job.queue_status]] += 1
    for attempt in _claimed(job)[before.claimed if before else 0 :]:
        _sample(queue, "wait", _wait_ms(attempt))
    for attempt in _finished(job)[before.finished if before else 0 :]:
        _sample(queue, "execution", _execution_ms(attempt))
        queue["attempts"] += 1
        queue["attempts_failed"] += attempt.outcome not in _WELL
    event = _end_event(before.queue_status if before else None, job.queue_status)
    if event is not None:
        _count(days, _ended_at(job), event)
        _count_wait(days, _ended_at(job), job)
    _count_open(days, before, job)
    if event == _COMPLETED:
        queue["flaky"] += job.flaky
    by = job.agent_id if event == _COMPLETED else None
    moved = {day: {name: count for name, count in counters.items() if count} for day, counters in days.items()}
    return Deltas({name: count for name, count in queue.items() if count}, moved, by)


def add_up(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums of counters that were kept in several places."""
    sums: Counter[str] = Counter()
    for part in parts:
        for name, value in part.items():
            sums[name] += value
    return dict(sums)


def queue_stats(counters: Mapping[str, int]) -> QueueStats:
    """The statistics that summed counters give. Rates are of all that ended."""
    states = {name: counters.get(name, 0) for name in (*_COUNTERS.values(), "total")}
    failures = states["failed"] + states["dead_lettered"]
    ended = failures + states["completed"] + states["cancelled"]
    return QueueStats(
        **states,
        avg_wait_seconds=_average_seconds(counters, "wait"),
        p95_wait_seconds=_percentile_seconds(counters, "wait"),
        avg_execution_seconds=_average_seconds(counters, "execution"),
        p95_execution_seconds=_percentile_seconds(counters, "execution"),
        failure_rate=failures / ended if ended else None,
        jobs_failed=failures,
        jobs_flaky=counters.get("flaky", 0),
        job_failure_rate=failures / ended if ended else None,
        attempts_ended=(attempts := counters.get("attempts", 0)),
        attempts_failed=(failed := counters.get("attempts_failed", 0)),
        attempt_failure_rate=failed / attempts if attempts else None,
    )


def day_stats(day: str, counters: Mapping[str, int]) -> DayStats:
    """The statistics of one day from its summed counters."""
    created, completed, failed = (counters.get(name, 0) for name in ("created", "completed", "failed"))
    return DayStats(day=day, created=created, completed=completed, failed=failed, hours=hours_of(day, counters))


def day_of(milliseconds: int) -> str:
    """The day of a time (ms), in UTC: ``YYYY-MM-DD``."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date().isoformat()


def day_end(day: str) -> int:
    """When a day ends, in seconds since the epoch."""
    return int((datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)).timestamp())


def _newly_claimed_and_finished(job: Job, previous: QueueStatus) -> tuple[int, int]:
    """How many attempts this write most likely shows claimed, and finished, for the first time."""
    now, last = job.queue_status, job.attempts[-1] if job.attempts else None
    if previous in _ACTIVE:
        return (0, 0) if now in _ACTIVE else (0, 1)
    if previous is not QueueStatus.QUEUED:
        return (0, 0)
    if now in _ACTIVE:
        return (1, 0)
    if now is QueueStatus.CANCELLED and (last is None or last.outcome is not Outcome.CANCELLED):
        return (0, 0)
    return (1, 1)


def _claimed(job: Job) -> list[Attempt]:
    return [attempt for attempt in job.attempts if attempt.claimed_at is not None]


def _finished(job: Job) -> list[Attempt]:
    return [attempt for attempt in job.attempts if attempt.finished_at is not None]


def _wait_ms(attempt: Attempt) -> int | None:
    return None if attempt.claimed_at is None else attempt.claimed_at - attempt.queued_at


def _execution_ms(attempt: Attempt) -> int | None:
    begin = attempt.started_at if attempt.started_at is not None else attempt.claimed_at
    return None if begin is None or attempt.finished_at is None else attempt.finished_at - begin


def _sample(counters: Counter[str], kind: str, milliseconds: int | None) -> None:
    if milliseconds is None:
        return
    counters[f"{kind}_ms"] += max(0, milliseconds)  # two machines' clocks can differ
    counters[_bucket_name(kind, bucket_of(milliseconds))] += 1


def _count(days: dict[str, Counter[str]], at: int, event: str) -> None:
    counters = days.setdefault(day_of(at), Counter())
    counters[event] += 1
    counters[hour_counter(at, event)] += 1


def _count_wait(days: dict[str, Counter[str]], at: int, job: Job) -> None:
    wait = _wait_ms(job.attempts[-1]) if job.attempts else None
    if wait is not None:
        days[day_of(at)][wait_counter(at, wait)] += 1


def _count_open(days: dict[str, Counter[str]], before: Footprint | None, job: Job) -> None:
    """A new job opens its hour's count; what ends closes one, and what is redriven opens one again."""
    if before is None:
        days.setdefault(day_of(job.created_at), Counter())[hour_counter(job.created_at, "opened")] += 1
    was, now = before is None or before.queue_status in _OPEN, job.queue_status in _OPEN
    if was == now:
        return
    at = max(job.created_at, job.queued_at or 0) if now else _ended_at(job)
    days.setdefault(day_of(at), Counter())[hour_counter(at, "opened")] += 1 if now else -1


def _bucket_name(kind: str, bucket: int) -> str:
    return f"{kind}_b{bucket:02d}"


def _end_event(before: QueueStatus | None, now: QueueStatus) -> str | None:
    if now is QueueStatus.COMPLETED and before is not QueueStatus.COMPLETED:
        return _COMPLETED
    if now in _FAILURES and before not in _FAILURES:
        return "failed"
    return None


def _ended_at(job: Job) -> int:
    if job.completed_at is not None:
        return job.completed_at
    ends = [attempt.finished_at for attempt in job.attempts if attempt.finished_at is not None]
    return max(ends, default=job.created_at)


def _histogram(counters: Mapping[str, int], kind: str) -> list[int]:
    return [counters.get(_bucket_name(kind, bucket), 0) for bucket in range(len(BUCKET_EDGES_MS))]


def _average_seconds(counters: Mapping[str, int], kind: str) -> float | None:
    samples = sum(_histogram(counters, kind))
    return counters.get(f"{kind}_ms", 0) / samples / 1000 if samples else None


def _percentile_seconds(counters: Mapping[str, int], kind: str) -> float | None:
    return percentile_seconds(_histogram(counters, kind), _PERCENTILE)
