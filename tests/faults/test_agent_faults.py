"""What an agent promises when it dies, is told to go, or is cut off from Temporal or from the API.

The two cases that take a whole lease begin with the module and end with it; the others run meanwhile.
"""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.logs.spool import LOST_MARKER
from tests.agent.agent_process import LAST_POLL_SECONDS
from tests.faults.plant import Plant, alive, numbers
from tests.faults.proxy import Proxy, proxy_to
from tests.servers import wait_until
from workflows.contracts.ids import LEASE_SECONDS
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus

STUBBORN = "trap '' INT TERM; echo $$ >> $BEATS.pid; while :; do date +%s.%N >> $BEATS; sleep 0.1; done"
FIRST_BEATS = f"if [ $HYBRIDCI_ATTEMPT_NUMBER = 1 ]; then {STUBBORN}; else date +%s.%N > $BEATS.next; fi"
"""The first attempt runs until it is killed and says when it was alive; the second one says when it began."""
DEAD_SECONDS = 5
CUT_SECONDS = 12


@dataclass(frozen=True)
class Beating:
    """A job of FIRST_BEATS, and when its agent was harmed (epoch seconds)."""

    job_id: str
    beats: Path
    harmed_at: float

    @property
    def pids(self) -> list[int]:
        return [int(number) for number in numbers(self.beats.with_name(f"{self.beats.name}.pid"))]

    @property
    def successor_began_at(self) -> float:
        return numbers(self.beats.with_name(f"{self.beats.name}.next"))[0]

    def still(self) -> bool:
        return not any(alive(pid) for pid in self.pids)


@pytest.fixture(scope="module", autouse=True)
def casualty(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Beating:
    """An agent is killed (its guardian is not) in the middle of a job; another one is in the pool."""
    first = plant.agent("casualty-1", "casualty")
    job_id, beats = beating_job(plant, "casualty", tmp_path_factory.mktemp("casualty") / "beats")
    plant.agent("casualty-2", "casualty")
    harmed_at = time.time()
    first.end(signal.SIGKILL)
    return Beating(job_id, beats, harmed_at)


@dataclass(frozen=True)
class Partition:
    """Two jobs on an agent that lost the network to Temporal, of which nobody was told."""

    stopping: Beating
    going_on: Beating
    network: Proxy


@pytest.fixture(scope="module", autouse=True)
def partition(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Partition]:
    folder = tmp_path_factory.mktemp("partition")
    with proxy_to(plant.temporal_port) as network:
        cut_off = plant.agent("partition-1", "partition", temporal_port=network.port, HYBRIDCI_AGENT_CAPACITY="2")
        stopping = beating_job(plant, "partition", folder / "stop")
        going_on = beating_job(plant, "partition", folder / "continue", on_partition="continue")
        plant.agent("partition-2", "partition")
        network.swallow()
        now = time.time()
        yield Partition(Beating(*stopping, now), Beating(*going_on, now), network)
        cut_off.ensure_dead()


def test_commands_of_a_killed_agent_are_dead_within_seconds(casualty: Beating) -> None:
    wait_until(casualty.still, seconds=DEAD_SECONDS, what="the end of the dead agent's command")
    last = numbers(casualty.beats)[-1]
    print(f"killed agent: its command was alive for {max(0.0, last - casualty.harmed_at):.2f} s more")
    assert last < casualty.harmed_at + DEAD_SECONDS


def test_sigterm_finishes_what_runs_and_takes_nothing_new(plant: Plant) -> None:
    leaving = plant.agent("leaving", "drain", HYBRIDCI_AGENT_CAPACITY="2")
    running = plant.submit("echo begun; sleep 5; echo ended", pool="drain")
    plant.wait_running(running)
    leaving.send(signal.SIGTERM)
    leaving.wait_for_log("Draining")
    late = plant.submit("true", pool="drain")
    assert leaving.running.wait(LAST_POLL_SECONDS) == 0
    (finished,) = plant.wait_ended([running], seconds=20)
    assert (finished.status, len(finished.attempts)) == (JobStatus.SUCCESS, 1)
    assert b"begun\nended\n" in plant.whole_log(running)
    assert plant.job(late).queue_status is QueueStatus.QUEUED
    plant.agent("coming", "drain")
    assert plant.wait_ended([late], seconds=20)[0].status is JobStatus.SUCCESS


def test_the_api_may_be_away_while_a_job_prints(plant: Plant, tmp_path: Path) -> None:
    over = tmp_path / "over"
    with proxy_to(plant.api_port) as network:
        agent = plant.agent("api-away", "api-away", api_port=network.port)
        lines = f"for i in $(seq {(CUT_SECONDS + 3) * 20}); do echo line $i; sleep 0.05; done"
        printing = plant.submit(f"{lines}; until [ -e {over} ]; do sleep 0.1; done", pool="api-away")
        plant.wait_running(printing)
        wait_until(lambda: b"line 20\n" in plant.log(printing), seconds=60, what="the first lines")
        network.cut()
        cut_at = time.monotonic()
        short = plant.submit("echo short", pool="api-away")
        (ended,) = plant.wait_ended([short], seconds=30)
        assert ended.status is JobStatus.SUCCESS, "its result goes to Temporal, not to the API"
        seen = plant.log(printing)
        wait_until(
            lambda: time.monotonic() > cut_at + CUT_SECONDS, seconds=CUT_SECONDS + 1, what="the end of the outage"
        )
        assert plant.job(printing).queue_status is QueueStatus.RUNNING
        assert len(plant.log(printing)) <= len(seen) + 100, "nothing came through"
        over.touch()
        network.mend()
        (printed,) = plant.wait_ended([printing], seconds=30)
        assert (printed.status, len(printed.attempts)) == (JobStatus.SUCCESS, 1)
        printed_lines = [line for line in plant.whole_log(printing).splitlines() if line.startswith(b"line ")]
        assert printed_lines == [b"line %d" % number for number in range(1, (CUT_SECONDS + 3) * 20 + 1)]
        assert b"short\n" in plant.whole_log(short)
        assert agent.running.poll() is None


def test_an_outage_of_temporal_inside_the_lease_changes_nothing(plant: Plant, tmp_path: Path) -> None:
    out, over = tmp_path / "out", tmp_path / "over"
    with proxy_to(plant.temporal_port) as network:
        plant.agent("outage", "outage", temporal_port=network.port)
        over_it, inside_it = (
            plant.submit(f"echo begun; until [ -e {end} ]; do sleep 0.1; done; echo ended", pool="outage")
            for end in (over, out)
        )
        for job_id in (over_it, inside_it):
            plant.wait_running(job_id)
        network.cut()
        cut_at = time.monotonic()
        out.touch()
        wait_until(lambda: b"ended\n" in plant.log(inside_it), seconds=60, what="the end of the short job's command")
        wait_until(
            lambda: time.monotonic() > cut_at + CUT_SECONDS, seconds=CUT_SECONDS + 1, what="the end of the outage"
        )
        assert {plant.job(job_id).status for job_id in (over_it, inside_it)} == {JobStatus.RUNNING}
        mended_at = time.time()
        network.mend()
        over.touch()
        jobs = plant.wait_ended([over_it, inside_it], seconds=30)
        assert [(job.status, len(job.attempts)) for job in jobs] == [(JobStatus.SUCCESS, 1)] * 2
        for job in jobs:
            assert b"begun\nended\n" in plant.whole_log(job.job_id)
        finished = [(job.attempts[0].finished_at or 0) / 1000 for job in jobs]
        assert finished[1] < mended_at < finished[0], "when each ended, not when it could be told"


def test_a_killed_agents_job_finishes_on_another_one(plant: Plant, casualty: Beating) -> None:
    (job,) = plant.wait_ended([casualty.job_id], seconds=60)
    _went_on_elsewhere(job)
    _took_about_a_lease(casualty)
    assert numbers(casualty.beats)[-1] < casualty.successor_began_at
    assert plant.log(job.job_id, 1).endswith((b"step\n", LOST_MARKER.encode() + b"\n"))


def test_a_cut_off_agent_ends_its_job_before_a_successor_starts(plant: Plant, partition: Partition) -> None:
    jobs = plant.wait_ended([partition.stopping.job_id, partition.going_on.job_id], seconds=60)
    for job in jobs:
        _went_on_elsewhere(job)
    stopping, going_on = partition.stopping, partition.going_on
    _took_about_a_lease(stopping)
    last = numbers(stopping.beats)[-1]
    print(f"cut-off agent: last sign of life {last - stopping.harmed_at:.1f} s after the cut, "
          f"successor after {stopping.successor_began_at - stopping.harmed_at:.1f} s")  # fmt: skip
    assert last > stopping.harmed_at + LEASE_SECONDS - 6, "inside the lease nothing changes"
    assert last < stopping.successor_began_at
    assert stopping.still()

    assert not going_on.still(), "its job chose to go on"
    assert numbers(going_on.beats)[-1] > going_on.successor_began_at
    partition.network.mend()
    wait_until(going_on.still, seconds=60, what="the end of the attempt that is not wanted any more")
    later = plant.job(going_on.job_id)
    assert _but_for_the_log(later) == _but_for_the_log(jobs[1])
    assert later.attempts[0].log_bytes, "what is stored of the lost attempt's log"


def _but_for_the_log(job: Job) -> Job:
    """The rest of a lost attempt's log comes when its agent is heard again."""
    return job.model_copy(update={"attempts": [each.model_copy(update={"log_bytes": None}) for each in job.attempts]})


def beating_job(plant: Plant, pool: str, beats: Path, **fields: Any) -> tuple[str, Path]:
    job_id = plant.submit(FIRST_BEATS, pool=pool, env={"BEATS": str(beats)}, **fields)
    plant.wait_running(job_id)
    wait_until(lambda: bool(numbers(beats)), seconds=60, what="the first sign of life")
    return job_id, beats


def _went_on_elsewhere(job: Job) -> None:
    assert (job.status, job.exit_code) == (JobStatus.SUCCESS, 0)
    assert [attempt.outcome for attempt in job.attempts] == [Outcome.AGENT_LOST, Outcome.SUCCEEDED]
    assert job.attempts[0].agent_id != job.attempts[1].agent_id
    assert job.attempts[0].cause == "agent_lost"


def _took_about_a_lease(beating: Beating) -> None:
    waited = beating.successor_began_at - beating.harmed_at
    print(f"lost agent: its job began elsewhere after {waited:.1f} s")
    assert LEASE_SECONDS - 2 < waited < LEASE_SECONDS + 10
