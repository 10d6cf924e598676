"""`hybridci job submit --wait`: how it ends, what it prints. A real API over HTTP, with fakes behind it."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.api.cli_bench import Served, served, start
from tests.api.cli_jobs import told
from workflows.contracts.statuses import JobStatus, Outcome


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


class TestWaiting:
    @pytest.mark.parametrize(
        ("status", "outcome", "code", "expected"),
        [
            (JobStatus.SUCCESS, Outcome.SUCCEEDED, 0, 0),
            (JobStatus.DEAD_LETTERED, Outcome.FAILED, 7, 7),
            (JobStatus.TIMEOUT, Outcome.TIMED_OUT, None, 124),
        ],
    )
    def test_exits_as_the_job_did(
        self, api: Served, repository: Path, status: JobStatus, outcome: Outcome, code: int | None, expected: int
    ) -> None:
        process = start(
            api.url, "job", "submit", "--repo", str(repository), "--run", "x", "--tag", f"w{expected}", "--wait"
        )
        job_id = _submitted(api, f"w{expected}")
        api.begin(job_id)
        api.log(job_id, 0, b"\xffhello\n", final=True)
        attempt = api.job(job_id).attempts[0].model_copy(update={"outcome": outcome})
        api.change(job_id, attempts=[attempt], exit_code=code)
        _finish(api, job_id, status, outcome)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (expected, b"\xffhello\n"), err.decode()
        assert b"Attempt 1 on agent-7\n" in err

    def test_json_keeps_stdout_for_the_record(self, api: Served, repository: Path) -> None:
        process = start(
            api.url, "job", "submit", "--repo", str(repository), "--run", "x", "--tag", "wj", "--wait", "--json"
        )
        job_id = _submitted(api, "wj")
        api.begin(job_id)
        api.log(job_id, 0, b"hello\n", final=True)
        api.end(job_id, JobStatus.SUCCESS, size=6)
        out, err = process.communicate(timeout=60)
        assert json.loads(out)["status"] == "success"
        assert b"hello\n" in err

    def test_interrupt_detaches_and_the_job_goes_on(self, api: Served, repository: Path) -> None:
        process = start(api.url, "job", "submit", "--repo", str(repository), "--run", "x", "--tag", "wi", "--wait")
        job_id = _submitted(api, "wi")
        api.begin(job_id)
        api.log(job_id, 0, b"hello\n")
        assert process.stdout is not None
        assert process.stdout.readline() == b"hello\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert f"hybridci job logs -f {job_id[:8]}" in err.decode()
        assert f"hybridci job cancel {job_id[:8]}" in err.decode()
        assert b"Traceback" not in err
        assert api.job(job_id).status is JobStatus.RUNNING

    def test_a_reader_that_goes_away_is_no_error_message(self, api: Served) -> None:
        job_id = api.ended(log=b"line\n" * 200_000)
        process = start(api.url, "job", "logs", job_id)
        assert process.stdout is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(30) == 141


def _submitted(api: Served, tag: str) -> str:
    found: list[str] = []

    def there() -> bool:
        page = told(api, "job", "list", "--json", "--limit", "10")
        found[:] = [item["job_id"] for item in page["items"] if tag in item["tags"]]
        return bool(found)

    servers.wait_until(there, seconds=60, what="the submission")
    return found[0]


def _finish(api: Served, job_id: str, status: JobStatus, outcome: Outcome) -> None:
    job = api.job(job_id)
    ended = job.attempts[0].model_copy(update={"outcome": outcome, "finished_at": job.created_at + 1, "log_bytes": 7})
    api.change(job_id, status=status, attempts=[ended])
