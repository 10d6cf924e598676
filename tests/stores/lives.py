"""Jobs, the writes a workflow makes in their lives, and what the statistics must be when the records are counted."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from activities.stores.statistics import BUCKET_EDGES_MS
from workflows.contracts.ids import new_job_id
from workflows.contracts.jobs import Attempt, Job, JobSpec, Step, new_job
from workflows.contracts.records import JobWrite, QueueStats
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus

NOON = 1_763_726_400_000  # 2025-11-21T12:00:00Z
SHA = "9f1c" * 10
_ENDS = {
    JobStatus.SUCCESS: QueueStatus.COMPLETED,
    JobStatus.FAILED: QueueStatus.FAILED,
    JobStatus.TIMEOUT: QueueStatus.FAILED,
    JobStatus.CANCELLED: QueueStatus.CANCELLED,
    JobStatus.DEAD_LETTERED: QueueStatus.DEAD_LETTERED,
}
_OUTCOMES: dict[JobStatus | None, Outcome] = {
    JobStatus.SUCCESS: Outcome.SUCCEEDED,
    JobStatus.CANCELLED: Outcome.CANCELLED,
}


def make_job(*, created_at: int = NOON, job_id: str | None = None, **changes: Any) -> Job:
    spec = JobSpec(
        job_type="test",
        git_repo="https://example.com/shop.git",
        git_commit_sha=SHA,
        git_author="ann@example.com",
        steps=[Step(name="unit", run="pytest -q")],
    )
    job = new_job(spec, job_id=job_id or new_job_id(), now=created_at)
    fields = {"status": JobStatus.QUEUED, "queued_at": created_at, "sequence": 1, **changes}
    return job.model_copy(update=fields)


class Life:
    """One job and its writes, made as JobWorkflow makes them."""

    def __init__(self, chance: random.Random, created_at: int = NOON) -> None:
        self._chance, self._now = chance, created_at
        self.job = make_job(created_at=created_at)
        self.writes = [JobWrite(job=self.job)]

    @property
    def over(self) -> bool:
        return self.job.status.final

    def announce(self, phase: QueueStatus = QueueStatus.RUNNING) -> None:
        """An agent announces its start, or that its checkout is done."""
        if self.job.queue_status is QueueStatus.QUEUED:
            self._begin()
        begun = self.job.attempts[-1]
        started_at = self._later() if phase is QueueStatus.RUNNING else None
        self._attempts(begun.model_copy(update={"started_at": started_at}))
        self._write(status=JobStatus.RUNNING, queue_status=phase, agent_id=begun.agent_id)

    def end(self, status: JobStatus | None) -> None:
        """The attempt ends, announced or not, and the job with it; None: it is tried again."""
        if self.job.queue_status is QueueStatus.QUEUED:
            self._begin()
        outcome = _OUTCOMES.get(status, Outcome.FAILED)
        self._attempts(self.job.attempts[-1].model_copy(update={"finished_at": self._later(), "outcome": outcome}))
        self.job = self.job.model_copy(update={"agent_id": self.job.attempts[-1].agent_id})
        self._requeue() if status is None else self.stop(status)

    def stop(self, status: JobStatus) -> None:
        """The job ends without an attempt's end: cancelled in the queue, discarded, completed from outside."""
        self._write(status=status, queue_status=_ENDS[status], completed_at=self._later())

    def redrive(self) -> None:
        self._requeue(agent_id=None)

    def amend(self) -> None:
        self._write(pool=self._chance.choice(["default", "gpu"]))

    def step(self) -> None:
        """Something that can happen now, by chance."""
        state, choose = self.job.queue_status, self._chance.choice
        if state is QueueStatus.DEAD_LETTERED:
            choose([self.redrive, self.amend, lambda: self.stop(JobStatus.FAILED)])()
        elif state is QueueStatus.CLAIMED:
            choose([self.announce, lambda: self.end(choose([*_ENDS, None]))])()
        elif state is QueueStatus.RUNNING:
            self.end(choose([*_ENDS, None]))
        else:
            self._step_from_queue()

    def _step_from_queue(self) -> None:
        choose = self._chance.choice
        choose([
            self.announce,
            lambda: self.announce(QueueStatus.CLAIMED),
            lambda: self.end(choose([*_ENDS, None])),
            lambda: self.stop(choose([JobStatus.CANCELLED, JobStatus.SUCCESS])),
            self.amend,
        ])()  # fmt: skip

    def _begin(self) -> None:
        queued_at = self.job.queued_at or 0
        agent = f"agent-{self._chance.randrange(3)}"
        number = len(self.job.attempts) + 1
        self._attempts(Attempt(number=number, agent_id=agent, queued_at=queued_at, claimed_at=self._later()))

    def _attempts(self, attempt: Attempt) -> None:
        kept = [other for other in self.job.attempts if other.number != attempt.number]
        self.job = self.job.model_copy(update={"attempts": [*kept, attempt]})

    def _requeue(self, **changes: Any) -> None:
        self._write(status=JobStatus.QUEUED, queue_status=QueueStatus.QUEUED, queued_at=self._later(), **changes)

    def _write(self, **changes: Any) -> None:
        previous = self.writes[-1].job.queue_status
        self.job = self.job.model_copy(update={**changes, "sequence": self.job.sequence + 1})
        self.writes.append(JobWrite(job=self.job, previous=previous))

    def _later(self) -> int:
        self._now += self._chance.choice([0, 1, 9, 10, 11, 250, 60_000, 90_000_000])
        return self._now


def lives(seed: int, count: int, steps: int) -> list[Life]:
    chance = random.Random(seed)
    made = [Life(chance, NOON + number * 1000) for number in range(count)]
    for life in made:
        for _ in range(chance.randrange(steps + 1)):
            if not life.over:
                life.step()
    return made


def counted(jobs: Iterable[Job]) -> QueueStats:
    """The statistics by counting all records, with code that shares nothing with the store's."""
    records = list(jobs)
    states = Counter(job.queue_status for job in records)
    attempts = [attempt for job in records for attempt in job.attempts]
    waits = [attempt.claimed_at - attempt.queued_at for attempt in attempts if attempt.claimed_at is not None]
    executions = [
        attempt.finished_at - (attempt.started_at if attempt.started_at is not None else attempt.claimed_at)
        for attempt in attempts
        if attempt.finished_at is not None and attempt.claimed_at is not None
    ]
    outcomes = [attempt.outcome for attempt in attempts if attempt.finished_at is not None]
    failures = states[QueueStatus.FAILED] + states[QueueStatus.DEAD_LETTERED]
    ended = failures + states[QueueStatus.COMPLETED] + states[QueueStatus.CANCELLED]
    return QueueStats(
        depth=states[QueueStatus.QUEUED],
        running=states[QueueStatus.CLAIMED] + states[QueueStatus.RUNNING],
        completed=states[QueueStatus.COMPLETED],
        failed=states[QueueStatus.FAILED],
        cancelled=states[QueueStatus.CANCELLED],
        dead_lettered=states[QueueStatus.DEAD_LETTERED],
        total=len(records),
        avg_wait_seconds=sum(waits) / len(waits) / 1000 if waits else None,
        p95_wait_seconds=_p95(waits),
        avg_execution_seconds=sum(executions) / len(executions) / 1000 if executions else None,
        p95_execution_seconds=_p95(executions),
        failure_rate=failures / ended if ended else None,
        jobs_failed=failures,
        jobs_flaky=sum(job.flaky for job in records if job.queue_status is QueueStatus.COMPLETED),
        job_failure_rate=failures / ended if ended else None,
        attempts_ended=len(outcomes),
        attempts_failed=(
            failed := sum(outcome not in {None, Outcome.SUCCEEDED, Outcome.CANCELLED} for outcome in outcomes)
        ),
        attempt_failure_rate=failed / len(outcomes) if outcomes else None,
    )


def _p95(samples: Sequence[int]) -> float | None:
    if not samples:
        return None
    rank = -(-95 * len(samples) // 100)  # the nearest-rank definition
    value = sorted(samples)[rank - 1]
    return next(edge for edge in BUCKET_EDGES_MS if value <= edge) / 1000
