"""Files: checkouts beside plain git in the same run, and artifacts, as the records of jobs say them.

A checkout's time is from the claim to the first step; what artifacts take, from the last step's end to the attempt's.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from api.cli.benchmark.own_stack import OwnStack
from api.cli.benchmark.report import ArtifactFigures, CheckoutFigures, Times
from api.cli.benchmark.wire import Api, BenchmarkFailed
from api.cli.benchmark.work import Repository
from workflows.contracts.statuses import JobStatus

_FILE_BYTES: Final = 64 * 1024
_ROUNDS: Final = 3
_AT_ONCE: Final = 4
_PATIENCE_SECONDS: Final = 1800.0
_MAKE: Final = (
    "mkdir out && cd out && python3 -c 'import os\nfor n in range({}): open(str(n), \"wb\").write(os.urandom(1024))'"
)


def measure_checkouts(stack: OwnStack, folder: Path, mib: int, say: Callable[[str], None]) -> CheckoutFigures:
    """Of a repository of so many MiB that do not compress. Raises BenchmarkFailed."""
    folder.mkdir()
    repository = _make(folder / "repository", mib)
    say(f"checkout: a repository of {mib} MiB is there")
    with stack.api() as api:
        one = _checked_out(api, repository, 1)
        again = Repository(f"{repository.url}/", repository.sha)  # another address: no copy of it is there
        four = _checked_out(api, again, _AT_ONCE)
        plain, ours = list[float](), list[float]()
        mirror = folder / "mirror.git"
        _git(folder, ["clone", "-q", "--mirror", repository.url, str(mirror)])
        for number in range(_ROUNDS):
            _settle()
            plain.append(_worktree(mirror, folder / "worktree", repository.sha))
            ours += _checked_out(api, repository, 1)
            say(f"checkout: round {number + 1} of {_ROUNDS}")
        warm = _checked_out(api, repository, _AT_ONCE)
        plain_at_once = _worktrees_at_once(mirror, folder, repository.sha)
    shutil.rmtree(folder, ignore_errors=True)
    return CheckoutFigures(
        mib=mib, worktree=Times.of(plain), second=Times.of(ours), first_ms=one[0], first_of_four_ms=max(four),
        second_of_four_ms=max(warm), worktree_of_four_ms=max(plain_at_once),
    )  # fmt: skip


def measure_artifacts(
    stack: OwnStack, repository: Repository, counts: Sequence[int], say: Callable[[str], None]
) -> list[ArtifactFigures]:
    """Of jobs that leave so many files of 1 KiB. Raises BenchmarkFailed."""
    found: list[ArtifactFigures] = []
    with stack.api() as api:
        for count in counts:
            body = _job(repository, _MAKE.format(count), artifacts=["out"])
            attempt = _ended(api, api.submit(body))
            taken = float(attempt["finished_at"] - attempt["steps"][-1]["finished_at"])
            found.append(ArtifactFigures(files=count, milliseconds=taken))
            say(f"artifacts: {count:,} files in {taken:.0f} ms")
    return found


def _checked_out(api: Api, repository: Repository, count: int) -> list[float]:
    """Milliseconds of each of so many at once."""
    _settle()
    ids = [api.submit(_job(repository, "true")) for _ in range(count)]
    attempts = [_ended(api, job_id) for job_id in ids]
    return [float(attempt["started_at"] - attempt["claimed_at"]) for attempt in attempts]


def _ended(api: Api, job_id: str) -> dict[str, Any]:
    """Its attempt, asked for seldom: what is measured is in the record."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not JobStatus((job := api.job(job_id))["status"]).ended:
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"Job {job_id} did not end within {_PATIENCE_SECONDS:.0f} s.")
        time.sleep(0.2)
    if job["status"] != JobStatus.SUCCESS:
        raise BenchmarkFailed(f"Job {job_id} ended as {job['status']}: {job['error_message']}")
    attempt: dict[str, Any] = job["attempts"][-1]
    return attempt


def _job(repository: Repository, run: str, *, artifacts: Sequence[str] = ()) -> bytes:
    job = {
        "job_type": "bench", "git_repo": repository.url, "git_commit_sha": repository.sha,
        "git_author": "benchmark@example.com", "steps": [{"name": "run", "run": run}], "artifacts": list(artifacts),
        "timeout_seconds": int(_PATIENCE_SECONDS),
    }  # fmt: skip
    return json.dumps(job).encode()


def _settle() -> None:
    """What was written before is on the disk: else it would slow down what is measured next."""
    os.sync()


def _worktree(mirror: Path, folder: Path, sha: str) -> float:
    began = time.perf_counter()
    _git(mirror, ["worktree", "add", "--quiet", "--detach", str(folder), sha])
    taken = (time.perf_counter() - began) * 1e3
    _git(mirror, ["worktree", "remove", "--force", str(folder)])
    return taken


def _worktrees_at_once(mirror: Path, folder: Path, sha: str) -> list[float]:
    """Each from a clone of its own that borrows its objects: git adds worktrees to one repository in turn."""
    clones = [folder / f"plain-{number}.git" for number in range(_AT_ONCE)]
    for clone in clones:
        _git(folder, ["clone", "-q", "--bare", "--shared", str(mirror), str(clone)])
    _settle()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = [pool.submit(_worktree, clone, clone.with_suffix(".files"), sha) for clone in clones]
        return [each.result() for each in running]


def _make(path: Path, mib: int) -> Repository:
    path.mkdir()
    _git(path, ["init", "-q", "-b", "main"])
    with subprocess.Popen(["git", "fast-import", "--quiet"], cwd=path, stdin=subprocess.PIPE) as process:
        if process.stdin is None:
            raise BenchmarkFailed("git fast-import takes no input.")
        for piece in _history(mib * (1 << 20) // _FILE_BYTES):
            process.stdin.write(piece)
    if process.returncode:
        raise BenchmarkFailed(f"git fast-import ended with {process.returncode}.")
    return Repository(path.as_uri(), _git(path, ["rev-parse", "main"]))


def _history(files: int) -> Iterator[bytes]:
    yield b"commit refs/heads/main\ncommitter Benchmark <benchmark@example.com> 0 +0000\ndata 5\nfirst\n"
    for number in range(files):
        yield f"M 100644 inline {number % 256:02x}/{number}\ndata {_FILE_BYTES}\n".encode()
        yield os.urandom(_FILE_BYTES) + b"\n"


def _git(folder: Path, words: Sequence[str]) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkFailed(f"git {words[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()
