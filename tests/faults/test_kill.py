"""kill -9 of each process in the middle of 20 jobs: all of them end, none is lost, none finishes twice."""

import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.faults.plant import JOBS, Plant
from tests.servers import HOST, wait_until
from workflows.client.answers import record_at_end
from workflows.contracts.ids import job_workflow_id
from workflows.contracts.jobs import Attempt, Job
from workflows.contracts.records import JobPage, JobSummary, QueueStats
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus

SAY_DONE = 'printf "%s %s %s\\n" $HYBRIDCI_JOB_ID $HYBRIDCI_ATTEMPT_NUMBER $(date +%s.%N) >> $LEDGER'
SHORT = f"true; {SAY_DONE}"
SLEEP = f"sleep {{}}; {SAY_DONE}"
FLAKY = f"sleep 1; if [ ! -e $LEDGER.$HYBRIDCI_JOB_ID ]; then touch $LEDGER.$HYBRIDCI_JOB_ID; exit 7; fi; {SAY_DONE}"
DOOMED = "sleep 0.5; exit 3"
BEFORE = [SLEEP.format(6), SLEEP.format(2), DOOMED, FLAKY, *[SHORT] * 3, SLEEP.format(5), FLAKY, SLEEP.format(6),
          SHORT, SLEEP.format(2), SHORT, SLEEP.format(5)]  # fmt: skip
"""The last one is long: however slowly they are taken, one has just begun when all are."""
LONG_ENOUGH = ("sleep 5", "sleep 6")
DURING = [SHORT, FLAKY, SLEEP.format(2), SHORT, SHORT, SHORT]
NOT_SHOWN = {"sequence": 0, "fingerprint": None}
"""The API keeps these to itself."""
GUARDIAN_SECONDS = 5
"""Within this time after an agent's death nothing of its attempts may still run."""


@dataclass(frozen=True)
class Finished:
    """A line of the ledger: this attempt's command came to its end."""

    job_id: str
    attempt: int
    at: float


@pytest.mark.parametrize("victim", ["agent", "worker", "api", "temporal", "aws"])
async def test_kill_9_in_the_middle_of_20_jobs(plant: Plant, victim: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    retry = {"max_attempts": 2, "initial_interval_seconds": 1}

    def submit(number: int, run: str) -> str:
        return plant.submit(run, key=f"{victim}-{number}", env={"LEDGER": str(ledger)}, retry=retry)

    begun = time.monotonic()
    job_ids = [submit(number, run) for number, run in enumerate(BEFORE)]
    busy: list[str] = []

    def in_the_middle() -> bool:
        busy[:] = working(plant) if victim == "agent" else [item.job_id for item in _running(plant)]
        return len(finished(ledger)) >= 2 and bool(busy)

    wait_until(in_the_middle, seconds=60, what="the middle")
    name = busy[0] if victim == "agent" else victim
    pid = plant.stack.children()[name]
    with ThreadPoolExecutor(3) as submitters:
        submitting = [submitters.submit(submit, 100 + number, run) for number, run in enumerate(DURING)]
        os.kill(pid, signal.SIGKILL)
        killed_at = time.time()
    job_ids += [submitted.result() for submitted in submitting]
    taken = time.monotonic() - begun
    jobs = plant.wait_ended(job_ids, seconds=90)
    print(f"{victim}: the last job was taken after {taken:.1f} s, all ended after {time.monotonic() - begun:.1f} s")
    assert f"{name} (pid {pid}) died: SIGKILL" in plant.stack.text()
    wait_until(plant.stack.ready, seconds=60, what="ready again")

    _none_is_lost_or_finished_twice(jobs, finished(ledger))
    if victim == "agent":
        lost = [attempt for job in jobs for attempt in job.attempts if attempt.outcome is Outcome.AGENT_LOST]
        assert lost, "the dead agent's attempts are in the record"
        _dead_attempts_stay_dead(lost, finished(ledger), killed_at)
    await _records_equal_workflows(plant, jobs)
    wait_until(lambda: _recounted(plant) == _counted(plant), seconds=60, what="statistics that equal a recount")


async def test_kill_9_of_the_api_between_a_jobs_start_and_its_record(plant: Plant, tmp_path: Path) -> None:
    """Nobody is told of the job, but it was accepted: it runs, and neither its record nor its log is lost."""
    begun, release = tmp_path / "begun", tmp_path / "release"
    children = plant.stack.children()
    with ThreadPoolExecutor(1) as client:
        os.kill(children["aws"], signal.SIGSTOP)
        run = f"echo one; echo $HYBRIDCI_JOB_ID > {begun}; until [ -e {release} ]; do sleep 0.05; done; echo two"
        asking = client.submit(plant.submit, run)
        wait_until(lambda: begun.exists() and begun.read_text().endswith("\n"), seconds=60, what="the job's start")
        for name in ("api", "aws"):  # in this order: what the API had asked for is lost
            os.kill(children[name], signal.SIGKILL)
        refused = asking.exception()  # None: the job began so late that the API had answered 202 by then
        assert refused is None or "the job was not taken" in str(refused)
    job_id = begun.read_text().strip()
    wait_until(plant.stack.ready, seconds=60, what="ready again")
    wait_until(lambda: plant.find(job_id) is not None, seconds=60, what="the record")
    release.touch()
    jobs = plant.wait_ended([job_id])
    assert [(job.status, len(job.attempts)) for job in jobs] == [(JobStatus.SUCCESS, 1)]
    assert plant.whole_log(job_id).splitlines()[-3:-1] == [b"one", b"two"]
    trail = plant.http.get("/api/events", params={"job_id": job_id}).json()["items"]
    told = [event["action"] for event in trail if event["action"] != "attempt.started"]
    assert told == ["job.succeeded", "job.submitted"], "that it began is told where a write saw it running"
    await _records_equal_workflows(plant, jobs)
    wait_until(lambda: _recounted(plant) == _counted(plant), seconds=60, what="statistics that equal a recount")


def finished(ledger: Path) -> list[Finished]:
    lines = ledger.read_text().splitlines(keepends=True) if ledger.exists() else []
    words = [line.split() for line in lines if line.endswith("\n")]
    return [Finished(job_id, int(attempt), float(at)) for job_id, attempt, at in words]


def working(plant: Plant) -> list[str]:
    """The agents with a job that sleeps for some seconds more, by the name of their process."""
    names = {
        (plant.stack.data / "agents" / number / "agent-id").read_text().strip(): f"agent-{number}" for number in "12"
    }
    found = [plant.job(item.job_id) for item in _running(plant)]
    lately = time.time() * 1000 - 3000
    return [
        names[job.agent_id]
        for job in found
        if job.agent_id in names and job.steps[0].run.startswith(LONG_ENOUGH) and (job.started_at or 0) > lately
    ]


def _running(plant: Plant) -> list[JobSummary]:
    return JobPage.model_validate_json(plant.http.get(f"{JOBS}/running").content).items


def _none_is_lost_or_finished_twice(jobs: Sequence[Job], ledger: Sequence[Finished]) -> None:
    assert len({job.job_id for job in jobs}) == len(jobs) == 20
    assert max(Counter((line.job_id, line.attempt) for line in ledger).values()) == 1, "an attempt runs once"
    for job in jobs:
        outcomes = [attempt.outcome for attempt in job.attempts]
        assert [attempt.number for attempt in job.attempts] == list(range(1, len(outcomes) + 1))
        counted = Counter(outcomes)
        done = {line.attempt for line in ledger if line.job_id == job.job_id}
        if job.steps[0].run == DOOMED:
            assert (job.status, counted[Outcome.FAILED], done) == (JobStatus.DEAD_LETTERED, 2, set())
            continue
        assert (job.status, job.exit_code) == (JobStatus.SUCCESS, 0), job
        assert outcomes[-1] is Outcome.SUCCEEDED
        assert counted[Outcome.SUCCEEDED] == 1
        flaky = 1 if job.steps[0].run == FLAKY else 0
        assert counted[Outcome.FAILED] in {flaky, max(flaky - counted[Outcome.AGENT_LOST], 0)}, (
            "or lost before its report"
        )
        assert counted.total() == counted[Outcome.SUCCEEDED] + counted[Outcome.FAILED] + counted[Outcome.AGENT_LOST]
        assert len(outcomes) in done, "the attempt that is recorded as the successful one did its work"
        repeated = {attempt.number for attempt in job.attempts if attempt.outcome is Outcome.AGENT_LOST}
        assert done <= repeated | {len(outcomes)}, "only a lost attempt may have been done again"


def _dead_attempts_stay_dead(lost: Sequence[Attempt], ledger: Sequence[Finished], killed_at: float) -> None:
    logs = {attempt.log_url for attempt in lost}
    late = [
        line
        for line in ledger
        if f"/api/dashboard/jobs/{line.job_id}/logs?attempt={line.attempt}" in logs
        and line.at > killed_at + GUARDIAN_SECONDS
    ]
    assert not late, "no command of a dead agent went on beside its successor"


async def _records_equal_workflows(plant: Plant, jobs: Sequence[Job]) -> None:
    client = await Client.connect(f"{HOST}:{plant.temporal_port}", data_converter=pydantic_data_converter)
    for job in jobs:
        handle = client.get_workflow_handle(job_workflow_id(job.job_id), result_type=Job)
        workflow: Any = (
            await record_at_end(handle, Job) if job.status.final else await handle.query("state", result_type=Job)
        )
        shown = plant.job(job.job_id)
        attempts = [
            told if said.reported else told.model_copy(update={"log_bytes": said.log_bytes})
            for told, said in zip(shown.attempts, workflow.attempts, strict=True)
        ]  # the log of a lost attempt is as long as what came of it, which nobody reported
        told = shown.model_copy(update={"attempts": attempts})
        assert told.model_dump() == workflow.model_copy(update=NOT_SHOWN).model_dump()


def _counted(plant: Plant) -> dict[str, int]:
    stats = QueueStats.model_validate_json(plant.http.get("/api/queue/stats").content)
    return stats.model_dump(include={"depth", "running", "completed", "failed", "cancelled", "dead_lettered", "total"})


def _recounted(plant: Plant) -> dict[str, int]:
    """The same numbers, from a list of all jobs."""
    names = {
        QueueStatus.QUEUED: "depth", QueueStatus.CLAIMED: "running", QueueStatus.RUNNING: "running",
        QueueStatus.COMPLETED: "completed", QueueStatus.FAILED: "failed", QueueStatus.CANCELLED: "cancelled",
        QueueStatus.DEAD_LETTERED: "dead_lettered",
    }  # fmt: skip
    jobs = _all_jobs(plant)
    return {**dict.fromkeys(names.values(), 0), **Counter(names[job.queue_status] for job in jobs), "total": len(jobs)}


def _all_jobs(plant: Plant) -> list[JobSummary]:
    jobs: list[JobSummary] = []
    cursor: str | None = None
    while True:
        answer = plant.http.get(JOBS, params={"limit": 100} | ({"cursor": cursor} if cursor else {}))
        page = JobPage.model_validate_json(answer.content)
        jobs += page.items
        cursor = page.next_cursor
        if cursor is None:
            return jobs
