"""Jobs from request to end, in turns with the raw floor, so that both see the same noise of the machine."""

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from api.cli.benchmark.floor import Floor
from api.cli.benchmark.own_stack import OwnStack
from api.cli.benchmark.report import Latency, Throughput, Times
from api.cli.benchmark.usage import CpuMeter
from api.cli.benchmark.wire import Api, BenchmarkFailed
from workflows.contracts.statuses import JobStatus

_WARM_UP: Final = 5
_ROUNDS: Final = 5
_STARTERS: Final = 8
"""Requests under way while many jobs are started: enough to keep every slot busy."""
_LIMIT_SECONDS: Final = 300.0
REST_SECONDS: Final = 0.1
"""After a sample, for what a job leaves to be done (its log, its workspace), so that it does not burden the next."""
# A builtin: a `date` would be another process, and later.
MARK_NOW: Final = 'printf %s "${{EPOCHREALTIME//[!0-9]/}}" >{}'
"""The command that marks its first instruction in a file, which is to be filled in as a shell word."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A real repository with one commit."""

    url: str
    sha: str


def make_repository(path: Path) -> Repository:
    """Make one. Raises BenchmarkFailed."""
    path.mkdir()
    (path / "README.md").write_text("A repository to measure with.\n", encoding="utf-8")
    author = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.com", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], [*author, "commit", "-q", "-m", "first"]):
        _git(path, words)
    return Repository(path.as_uri(), _git(path, ["rev-parse", "HEAD"]))


def measure_latency(
    stack: OwnStack, floor: Floor, repository: Repository, folder: Path, samples: int, say: Callable[[str], None]
) -> tuple[Latency, Latency]:
    """(the floor's, ours), one sample of each in turn."""
    raw: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    warm_up = min(_WARM_UP, samples)
    with stack.api() as api:
        for number in range(-warm_up, samples):
            raw.append(floor.sample())
            time.sleep(REST_SECONDS)
            ours.append(_sample(api, repository, folder / f"mark-{number}"))
            time.sleep(REST_SECONDS)
            if number % 20 == 0:
                say(f"latency: {number} of {samples}")
    return _latency(raw[warm_up:]), _latency(ours[warm_up:])


def measure_throughput(
    stack: OwnStack, floor: Floor, floor_pid: int, repository: Repository, jobs: int, say: Callable[[str], None]
) -> tuple[Throughput, Throughput]:
    """(the floor's, ours), in rounds by turns. Raises BenchmarkFailed unless every job succeeds."""
    sizes = [len(range(number, jobs, _ROUNDS)) for number in range(min(_ROUNDS, jobs))]
    parts = {**stack.processes(), "client": psutil.Process()}
    raw_meter, meter = CpuMeter({**parts, "floor's worker": psutil.Process(floor_pid)}), CpuMeter(parts)
    raw_seconds, seconds, ids = 0.0, 0.0, list[str]()
    with stack.api() as api:
        floor.run_many(_STARTERS, _STARTERS)
        run_many(stack, api, repository, _STARTERS)
        for number, size in enumerate(sizes, start=1):
            time.sleep(REST_SECONDS)
            with raw_meter:
                raw_seconds += floor.run_many(size, _STARTERS)
            with meter:
                ids += (more := run_many(stack, api, repository, size))[1]
                seconds += more[0]
                time.sleep(REST_SECONDS)  # what a job leaves to be done is part of its cost
            say(f"throughput: round {number} of {len(sizes)}")
        _verify(api, ids)
    capacity = stack.options.agent_capacity
    return _throughput(jobs, capacity, raw_seconds, raw_meter), _throughput(jobs, capacity, seconds, meter)


def marked(mark: Path) -> int:
    """Wait for a command's mark; its time in nanoseconds since the epoch. Raises BenchmarkFailed."""
    until(lambda: mark.exists() and mark.stat().st_size > 0, 0.001, f"the command that marks {mark.name}")
    return int(mark.read_text()) * 1000


def until(condition: Callable[[], bool], pause: float, what: str) -> None:
    """Wait for something to happen. Raises BenchmarkFailed."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"Waited {_LIMIT_SECONDS:.0f} s for {what} in vain. Look at the stack's logs.")
        time.sleep(pause)


def _sample(api: Api, repository: Repository, mark: Path) -> tuple[float, float]:
    """One job: milliseconds until its command's first instruction, and until its record says success."""
    body = _job(repository, MARK_NOW.format(shlex.quote(str(mark))))
    wall, began = time.time_ns(), time.perf_counter()
    job_id = api.submit(body)
    # The file first: looking at it costs nothing, while requests would hold up the start.
    first = marked(mark)
    until(lambda: _succeeded(api, job_id), 0.004, f"the end of job {job_id}")
    ended = time.perf_counter()
    return (first - wall) / 1e6, (ended - began) * 1e3


def _succeeded(api: Api, job_id: str) -> bool:
    job = api.job(job_id)
    status = JobStatus(job["status"])
    if status.ended and status is not JobStatus.SUCCESS:
        raise BenchmarkFailed(f"Job {job_id} ended as {status}: {job['error_message']}")
    return status is JobStatus.SUCCESS


def run_many(stack: OwnStack, api: Api, repository: Repository, count: int) -> tuple[float, list[str]]:
    """Seconds from the first request to the end of all, and the ids."""
    body = _job(repository, "true")
    before = _ended(api)
    began = time.perf_counter()
    todo = iter(range(count))

    def start_some() -> list[str]:
        with stack.api() as own:
            return [own.submit(body) for _ in todo]  # one iterator for all: each takes the next when it is free

    with ThreadPoolExecutor(_STARTERS) as threads:
        started = [threads.submit(start_some) for _ in range(_STARTERS)]
        ids = [job_id for each in started for job_id in each.result()]
    _until_ended(api, before + count)
    return time.perf_counter() - began, ids


def _until_ended(api: Api, count: int) -> None:
    """Asks seldom while much is left to do: each question costs as much as a part of a job."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while (left := count - _ended(api)) > 0:
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"{left} jobs had not ended after {_LIMIT_SECONDS:.0f} s. Look at the stack's logs.")
        time.sleep(min(0.5, left * 0.01))


def _ended(api: Api) -> int:
    stats = api.stats()
    return sum(int(stats[name]) for name in ("completed", "failed", "cancelled", "dead_lettered"))


def _verify(api: Api, ids: Sequence[str]) -> None:
    if len(set(ids)) != len(ids):
        raise BenchmarkFailed("Two jobs were given the same id.")
    for job_id in ids:
        if not _succeeded(api, job_id):
            raise BenchmarkFailed(f"Job {job_id} is counted as ended, but its record says otherwise.")


def _job(repository: Repository, command: str) -> bytes:
    job = {
        "job_type": "benchmark",
        "git_repo": repository.url,
        "git_commit_sha": repository.sha,
        "git_author": "benchmark@example.com",
        "steps": [{"name": "run", "run": command}],
        "timeout_seconds": 60,
    }
    return json.dumps(job).encode()


def _latency(samples: Sequence[tuple[float, float]]) -> Latency:
    return Latency(
        dispatch=Times.of([dispatch for dispatch, _ in samples]), end_to_end=Times.of([end for _, end in samples])
    )


def _throughput(jobs: int, capacity: int, seconds: float, meter: CpuMeter) -> Throughput:
    return Throughput(
        jobs=jobs, capacity=capacity, per_second=round(jobs / seconds, 1), cpu_ms_per_job=meter.ms_per(jobs)
    )


def _git(path: Path, words: list[str]) -> str:
    done = subprocess.run(["git", "-C", str(path), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkFailed(f"git {words[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()
