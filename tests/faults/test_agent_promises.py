"""What people see of a running agent: start, live log, cancel, order, and bounds on memory and logs."""

import hashlib
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.agent.agent_process import AgentProcess
from tests.faults.plant import JOBS, Plant, alive, numbers
from tests.servers import wait_until
from workflows.contracts.attempts import CANCEL_GRACE_SECONDS
from workflows.contracts.ids import LEASE_SECONDS
from workflows.contracts.jobs import Job
from workflows.contracts.statuses import JobStatus, Outcome, Priority, QueueStatus

POOL = "promises"
MIB = 1 << 20
LOUD_BYTES = 200_000_000
LINE = b"0123456789abcdefghijklmnopqrstuvwxyz\n"
LOUD = f"(yes {LINE.decode().strip()} || true) | head -c {{}}"
LOG_CAP = 64 * 1024


@pytest.fixture(scope="module")
def agent(plant: Plant) -> AgentProcess:
    return plant.agent("promising", POOL)


@pytest.fixture(scope="module")
def narrow(plant: Plant) -> AgentProcess:
    """One job at a time, and short logs."""
    return plant.agent("narrow", "narrow", HYBRIDCI_AGENT_CAPACITY="1", HYBRIDCI_AGENT_MAX_LOG_BYTES=str(LOG_CAP))


@pytest.mark.usefixtures("agent")
def test_a_start_is_in_the_record_within_a_second(plant: Plant, tmp_path: Path) -> None:
    delays: list[float] = []
    for number in range(20):  # a busy machine is late now and then
        begun, seen = (tmp_path / f"{what}-{number}" for what in ("begun", "seen"))
        submitted_at = time.time()
        job_id = plant.submit(f"date +%s.%N > {begun}; until [ -e {seen} ]; do sleep 0.05; done", pool=POOL)
        job = _when_started(plant, job_id)
        seen_at = time.time()
        wait_until(lambda begun=begun: bool(numbers(begun)), seconds=60, what="the command's start")
        seen.touch()
        delays.append(seen_at - numbers(begun)[0])
        assert job.status is JobStatus.RUNNING
        assert job.agent_id is not None
        assert job.agent_id.startswith(f"{POOL}-")
        assert [attempt.agent_id for attempt in job.attempts] == [job.agent_id]
        assert job.lease_expires_at is not None
        renewed_at = job.lease_expires_at / 1000 - LEASE_SECONDS
        assert submitted_at < renewed_at < seen_at + 1
        if delays[-1] < 1:
            break
    print(f"start seen in the record after {', '.join(f'{delay:.2f}' for delay in delays)} s")
    assert delays[-1] < 1


@pytest.mark.usefixtures("agent")
def test_a_followed_log_is_less_than_a_second_behind(plant: Plant) -> None:
    job_id = plant.submit("for i in $(seq 30); do date +%s.%N; sleep 0.1; done", pool=POOL)
    with plant.http.stream("GET", f"{JOBS}/{job_id}/logs", params={"follow": True, "attempt": 1}) as stream:
        delays = [time.time() - float(line) for line in stream.iter_lines() if line[:1].isdigit()]
    assert len(delays) == 30
    delays.sort()
    print(f"log seen after {delays[14]:.2f} s (median), {delays[-1]:.2f} s (worst)")
    assert delays[14] < 1


@pytest.mark.usefixtures("agent")
def test_cancel_interrupts_within_two_seconds_and_kills_the_deaf_after_their_grace(
    plant: Plant, tmp_path: Path
) -> None:
    polite_file, deaf_file, listening, beats = (tmp_path / name for name in ("polite", "deaf", "listening", "beats"))
    polite = plant.submit(
        f"trap 'date +%s.%N >> {polite_file}; exit 3' INT; touch {listening}; while :; do sleep 0.05; done", pool=POOL
    )
    deaf = plant.submit(
        f"trap '' INT; echo $$ > {deaf_file}; while :; do date +%s.%N >> {beats}; sleep 0.05; done", pool=POOL
    )
    for job_id in (polite, deaf):
        plant.wait_running(job_id)
    wait_until(lambda: bool(numbers(deaf_file)) and listening.exists(), seconds=60, what="the start of both")
    asked_at: dict[str, float] = {}
    for job_id in (polite, deaf):
        asked_at[job_id] = time.time()
        assert plant.http.post(f"{JOBS}/{job_id}/cancel", json={"reason": "wrong branch"}).status_code == 200
    pid = int(numbers(deaf_file)[0])
    wait_until(lambda: bool(numbers(polite_file)), seconds=60, what="the interrupt")
    heard_after = numbers(polite_file)[0] - asked_at[polite]
    assert alive(pid), "it has its grace"
    wait_until(lambda: not alive(pid), seconds=CANCEL_GRACE_SECONDS + 20, what="the end of the deaf one")
    gone_after, beat_after = time.time() - asked_at[deaf], numbers(beats)[-1] - asked_at[deaf]
    ended, killed = plant.wait_ended([polite, deaf], seconds=20)
    print(f"cancel: heard after {heard_after:.2f} s, deaf process killed after {beat_after:.1f} s")
    assert heard_after < 2
    assert gone_after >= CANCEL_GRACE_SECONDS
    assert beat_after < CANCEL_GRACE_SECONDS + 3
    for job in (ended, killed):
        assert (job.status, job.queue_status) == (JobStatus.CANCELLED, QueueStatus.CANCELLED)
        assert [attempt.outcome for attempt in job.attempts] == [Outcome.CANCELLED]
        assert "wrong branch" in (job.error_message or "")


def test_a_pool_serves_by_priority_and_then_in_order(plant: Plant, narrow: AgentProcess, tmp_path: Path) -> None:
    order, release = tmp_path / "order", tmp_path / "release"
    first = plant.submit(f"until [ -e {release} ]; do sleep 0.05; done", pool=narrow.pool)
    plant.wait_running(first)
    mixed = [Priority.NORMAL, Priority.LOW, Priority.CRITICAL, Priority.HIGH] * 3
    jobs = [plant.submit(f"echo {n} >> {order}", pool=narrow.pool, priority=mixed[n]) for n in range(len(mixed))]
    release.touch()
    plant.wait_ended([first, *jobs], seconds=60)
    assert numbers(order) == sorted(range(len(mixed)), key=lambda n: mixed[n].key)


def test_a_log_ends_at_its_limit_with_a_word(plant: Plant, narrow: AgentProcess) -> None:
    job_id = plant.submit(f"{LOUD.format(LOG_CAP * 4)}; echo unseen", pool=narrow.pool)
    (job,) = plant.wait_ended([job_id])
    assert job.status is JobStatus.SUCCESS
    log = plant.whole_log(job_id)
    assert f"[hybridci] The log reached its limit of {LOG_CAP} bytes: what follows is dropped.\n".encode() in log
    assert log.endswith(b" bytes of output were dropped.\n")
    assert LOG_CAP < len(log) < LOG_CAP + 1024
    assert job.attempts[0].log_bytes == len(log)


def test_200_mb_of_output_in_150_mb_of_memory(plant: Plant, agent: AgentProcess) -> None:
    job_id = plant.submit(f"echo loud; {LOUD.format(LOUD_BYTES)}", pool=POOL)
    begun = time.monotonic()
    with _peak_memory({"agent": agent.running.pid, "api": plant.stack.children()["api"]}) as peak:
        (job,) = plant.wait_ended([job_id], seconds=180)
        ended = time.monotonic()
        wait_until(lambda: _log_is_complete(plant, job_id), seconds=180, what="all of the log")
        stored = time.monotonic()
        head, digest, size = _read_log(plant, job_id)
    read = time.monotonic()
    print(f"200 MB: printed in {ended - begun:.1f} s, stored in {stored - begun:.1f} s, read in {read - stored:.1f} s")
    print(f"peak memory: agent {peak['agent'] / MIB:.0f} MiB, api {peak['api'] / MIB:.0f} MiB")
    assert (job.status, job.attempts[0].log_bytes) == (JobStatus.SUCCESS, len(head) + size)
    assert (size, digest) == (LOUD_BYTES, _digest_of_output())
    assert peak["agent"] < 150_000_000


def _when_started(plant: Plant, job_id: str) -> Job:
    found: list[Job] = []

    def started() -> bool:
        found[:] = [plant.job(job_id)]
        return found[0].queue_status in (QueueStatus.CLAIMED, QueueStatus.RUNNING)

    wait_until(started, seconds=60, what="a start in the record")
    return found[0]


def _log_is_complete(plant: Plant, job_id: str) -> bool:
    with plant.http.stream("GET", f"{JOBS}/{job_id}/logs", params={"start": LOUD_BYTES}) as stream:
        return stream.headers["Log-Complete"] == "true"


def _read_log(plant: Plant, job_id: str) -> tuple[bytes, str, int]:
    """What stands before the output and behind it; digest and size of the output, in memory a piece at a time."""
    first, digest, size, last = b"", hashlib.sha256(), 0, b""
    with plant.http.stream("GET", f"{JOBS}/{job_id}/logs") as stream:
        for piece in stream.iter_bytes():
            if b"loud\n" not in first:
                first += piece
                piece = first.partition(b"loud\n")[2]
            output, behind = piece[: LOUD_BYTES - size], piece[LOUD_BYTES - size :]
            digest.update(output)
            size, last = size + len(output), last + behind
    return first.partition(b"loud\n")[0] + b"loud\n" + last, digest.hexdigest(), size


def _digest_of_output() -> str:
    digest = hashlib.sha256(LINE * (LOUD_BYTES // len(LINE)))
    digest.update(LINE[: LOUD_BYTES % len(LINE)])
    return digest.hexdigest()


@contextmanager
def _peak_memory(pids: dict[str, int]) -> Generator[dict[str, int]]:
    """The largest resident size of each process while the block runs, in bytes."""
    peak = dict.fromkeys(pids, 0)
    over = threading.Event()

    def watch() -> None:
        processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        while not over.wait(0.05):
            for name, process in processes.items():
                peak[name] = max(peak[name], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
