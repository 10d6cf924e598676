"""`hybridci job logs`: bytes as they are, cut lines, lines and steps. A real API over HTTP, with fakes behind it."""

import random
import threading
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest

from activities.stores.interfaces.logs import LogChunk
from api.cli.client.connection import ApiConnection
from api.cli.client.follow import Follower
from api.cli.client.http import ApiClient, Unreachable
from tests import servers
from tests.api.cli_bench import ADMIN_KEY, Line, Served, served
from tests.api.cli_jobs import call
from workflows.contracts.jobs import Attempt, Job, StepResult
from workflows.contracts.statuses import JobStatus


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


class Silent:
    """Shows no progress."""

    def update(self, job: Job) -> None: ...
    def begin(self, attempt: Attempt, job: Job) -> None: ...
    def clear(self) -> None: ...


def follower(api: Served, url: str, job_id: str, **options: Any) -> tuple[ApiClient, BytesIO, Follower]:
    client, sink = ApiClient(ApiConnection(url, ADMIN_KEY)), BytesIO()
    return client, sink, Follower(client, job_id, sink, Silent(), **options)


class TestLogs:
    def test_bytes_pass_unchanged(self, api: Served) -> None:
        data = random.Random(2).randbytes(100_000)
        job_id = api.ended(log=data)
        assert call(api, "job", "logs", job_id).stdout_bytes == data
        assert call(api, "job", "logs", "-f", job_id).stdout_bytes == data
        assert call(api, "job", "logs", job_id, "--attempt", "7").exit_code == 1
        assert call(api, "job", "logs", job_id, "--attempt", "x").exit_code == 2

    def test_attempts(self, api: Served) -> None:
        job_id = api.submit()
        for number, text in ((1, b"one\n"), (2, b"two")):
            api.begin(job_id, number)
            api.log(job_id, 0, text, attempt=number, final=True)
            status = JobStatus.QUEUED if number == 1 else JobStatus.FAILED
            api.end(job_id, status, attempt=number, size=len(text))
        assert call(api, "job", "logs", job_id).stdout_bytes == b"two"
        assert call(api, "job", "logs", job_id, "--attempt", "1").stdout_bytes == b"one\n"
        assert call(api, "job", "logs", job_id, "--attempt", "all").stdout_bytes == b"one\ntwo"
        assert call(api, "job", "logs", "-f", job_id, "--attempt", "all").stdout_bytes == b"one\ntwo"
        stamped = call(api, "job", "logs", "-f", job_id, "--attempt", "all", "--timestamps").stdout
        assert stamped == "2023-11-14T22:13:20.123Z one\n2023-11-14T22:13:20.123Z two\n"

    @pytest.mark.parametrize("timestamps", [False, True])
    def test_a_cut_line_leaves_no_gap_and_no_duplicate(self, api: Served, timestamps: bool) -> None:
        generator = random.Random(3)
        lines = [generator.randbytes(generator.randrange(200)).replace(b"\n", b"") + b"\n" for _ in range(2000)]
        data = b"".join(lines)
        job_id = api.submit()
        api.begin(job_id)
        cuts = [generator.randrange(600, 60_000) for _ in range(5)]
        line = Line(api.port, cuts)
        client, sink, reader = follower(api, line.url, job_id, timestamps=timestamps)
        thread = threading.Thread(target=reader.follow, daemon=True)
        thread.start()
        for offset in range(0, len(data), 40_000):
            api.log(job_id, offset, data[offset : offset + 40_000])
        api.log(job_id, len(data), b"", final=True)
        api.end(job_id, JobStatus.SUCCESS, size=len(data))
        thread.join(30)
        client.__exit__(None, None, None)
        line.close()
        assert not thread.is_alive()
        assert line.connections > 2
        received = sink.getvalue()
        if timestamps:
            received = (
                b"".join(part.partition(b" ")[2] for part in received.splitlines(keepends=True))
                if False
                else (_without_stamps(received))
            )
        assert received == data

    def test_an_api_that_restarts_is_waited_for(self, api: Served) -> None:
        job_id = api.submit()
        api.begin(job_id)
        api.log(job_id, 0, b"before ")
        line = Line(api.port, [])
        client, sink, reader = follower(api, line.url, job_id)
        thread = threading.Thread(target=reader.follow, daemon=True)
        thread.start()
        servers.wait_until(lambda: sink.getvalue() == b"before ", seconds=60, what="the first piece")
        passed, connections = line.passed, line.connections
        api.stop.append(True)  # its streams end, saying so in the middle of the log's line
        servers.wait_until(lambda: line.passed > passed + 2000, seconds=60, what="an answer that says so")
        line.break_off()
        servers.wait_until(lambda: line.connections > connections + 1, seconds=60, what="two more tries")
        assert sink.getvalue() == b"before "
        api.stop.clear()
        line.down = False
        api.log(job_id, 7, b"after\n", final=True)
        api.end(job_id, JobStatus.SUCCESS, size=13)
        thread.join(40)
        client.__exit__(None, None, None)
        line.close()
        assert sink.getvalue() == b"before after\n"

    def test_an_api_that_stays_away_is_given_up(self, api: Served) -> None:
        url = f"http://127.0.0.1:{servers.free_port()}"
        client, _, reader = follower(api, url, api.submit(), give_up_seconds=0.3)
        with client, pytest.raises(Unreachable):
            reader.follow()

    def test_what_a_lost_agent_did_not_send_is_not_invented(self, api: Served) -> None:
        job_id = api.submit()
        api.begin(job_id)
        api.log(job_id, 0, b"half a li")
        api.end(job_id, JobStatus.ERROR, size=0)
        client, sink, reader = follower(api, api.url, job_id)
        with client:
            assert reader.follow().status is JobStatus.ERROR
        assert sink.getvalue() == b"half a li"


def _without_stamps(stamped: bytes) -> bytes:
    stamp = b"2023-11-14T22:13:20.123Z "
    lines = stamped.split(b"\n")
    assert all(line.startswith(stamp) for line in lines[:-1])
    return b"\n".join(line.removeprefix(stamp) for line in lines)


def test_lines_and_steps_of_a_log(api: Served) -> None:
    text = b"".join(b"line %d\n" % number for number in range(1, 31))
    job_id = api.ended(log=text)
    attempt = api.job(job_id).attempts[0]
    steps = [StepResult(name="one", log_start=0, log_end=14), StepResult(name="two", log_start=14, log_end=21)]
    api.change(job_id, attempts=[attempt.model_copy(update={"steps": steps})])
    for options, expected in (
        (["--lines", "3-4"], "line 3\nline 4\n"),
        (["--lines", "-2"], "line 29\nline 30\n"),
        (["--lines=29-", "-f"], "line 29\nline 30\n"),
        (["--step", "2"], "line 3\n"),
        (["--lines", "2", "--attempt", "1"], "line 2\n"),
    ):
        result = call(api, "job", "logs", job_id, *options)
        assert (result.exit_code, result.stdout) == (0, expected), (options, result.output)
    for options in (["--lines", "1", "--step", "1"], ["--lines", "1", "--attempt", "all"], ["--step", "0"]):
        assert call(api, "job", "logs", job_id, *options).exit_code == 2, options
    for options in (["--lines", "4-3"], ["--lines", "x"], ["--lines", "1", "-f"], ["--step", "3"]):
        refused = call(api, "job", "logs", job_id, *options)
        assert (refused.exit_code, refused.stdout) == (1, ""), options


def test_a_log_that_was_changed_is_told_on_stderr(api: Served) -> None:
    job_id = api.ended(log=b"changed\n")
    attempt = api.job(job_id).attempts[0]
    api.change(job_id, attempts=[attempt.model_copy(update={"log_sha256": "0" * 64, "log_cut_off": "It was cut off."})])
    for options in ([], ["-f"]):
        result = call(api, "job", "logs", job_id, *options)
        assert result.stdout == "changed\n"
        assert "Do not trust it: attempt 1's log is not what its agent sent: the agent sent 8 bytes" in result.stderr
    assert "Log of attempt 1: It was cut off." in call(api, "job", "show", job_id).stdout


class TestParts:
    """`--tail`, `--since`, `--grep` and steps by name."""

    @pytest.fixture
    def job_id(self, api: Served) -> str:
        job_id, offset = api.submit(), 0
        api.begin(job_id)
        for number in range(1, 31):
            data = b"line %d\n" % number
            chunk = LogChunk(offset, data, ((0, 1_700_000_000_000 + 1000 * number),), final=number == 30)
            api.run(api.stores.logs.append(job_id, 1, chunk))
            offset += len(data)
        api.end(job_id, JobStatus.SUCCESS, size=offset)
        return job_id

    @pytest.mark.parametrize(
        ("options", "lines"),
        [
            (("--tail", "2"), [29, 30]),
            (("--tail", "99"), list(range(1, 31))),
            (("--since", "2023-11-14T22:13:48Z"), [28, 29, 30]),
            (("--since", "2023-11-14T22:13:48Z", "--tail", "5"), [28, 29, 30]),
            (("--since", "2023-11-14T22:13:48Z", "--tail", "2"), [29, 30]),
            (("--since", "2023-11-14T22:13:48Z", "-f"), [28, 29, 30]),
            (("--tail", "2", "-f"), [29, 30]),
            (("--since", "1m"), []),
            (("--grep", "line 2"), [2, *range(20, 30)]),
            (("--grep", "line 2", "--tail", "2"), [28, 29]),
            (("--grep", "line 2", "--since", "2023-11-14T22:13:48Z"), [28, 29]),
            (("--grep", "line 2", "-f"), [2, *range(20, 30)]),
            (("--grep", "0", "-f", "--tail", "1"), [20, 30]),
        ],
    )
    def test_only_this(self, api: Served, job_id: str, options: tuple[str, ...], lines: list[int]) -> None:
        result = call(api, "job", "logs", job_id, *options)
        assert result.exit_code == 0, result.output
        assert result.stdout == "".join(f"line {number}\n" for number in lines)

    def test_a_text_that_is_not_there(self, api: Served, job_id: str) -> None:
        assert call(api, "job", "logs", job_id, "--grep", "nothing").exit_code == 1
        assert call(api, "job", "logs", job_id, "--grep", "line 1", "--since", "1m").exit_code == 1

    def test_all_lines_with_a_text_are_printed_however_many(self, api: Served) -> None:
        """More than one request shows."""
        log = b"".join(b"error %d\nfine\n" % number for number in range(2300))
        job_id = api.ended(log=log)
        wanted = [f"error {number}" for number in range(2300)]
        assert call(api, "job", "logs", job_id, "--grep", "error").stdout.splitlines() == wanted
        assert call(api, "job", "logs", job_id, "--grep", "error", "-f").stdout.splitlines() == wanted
        assert call(api, "job", "logs", job_id, "--grep", "error", "--tail", "2").stdout.splitlines() == wanted[-2:]

    def test_a_long_line_is_printed_whole(self, api: Served) -> None:
        """Of which a search shows what is around the text."""
        lines = [b"x" * size + b" error " + b"y" * size for size in (10, 248, 300, 70_000)]
        job_id = api.ended(log=b"fine\n" + b"\nfine\n".join(lines))
        assert call(api, "job", "logs", job_id, "--grep", "error").stdout_bytes == b"\n".join(lines) + b"\n"

    @pytest.mark.parametrize(
        "options",
        [
            ("--tail", "2", "--lines", "3"),
            ("--tail", "2", "--step", "1"),
            ("--tail", "2", "--attempt", "all"),
            ("--since", "1m", "--attempt", "all"),
            ("--grep", "x", "--attempt", "all"),
            ("--grep", "x", "--step", "1"),
            ("--since", "yesterday"),
            ("--since", "9" * 5000 + "d"),
            ("--step", "9" * 5000),
            ("--step", "\u0663"),
            ("--attempt", "9" * 5000),
        ],
    )
    def test_what_does_not_go_together(self, api: Served, job_id: str, options: tuple[str, ...]) -> None:
        result = call(api, "job", "logs", job_id, *options)
        assert result.exit_code == 2
        assert "Traceback" not in result.output

    def test_what_comes_is_followed(self, api: Served) -> None:
        job_id = api.submit()
        api.begin(job_id)
        api.log(job_id, 0, b"error 1\nfine\nerr")
        results: list[Any] = []
        thread = threading.Thread(
            target=lambda: results.append(call(api, "job", "logs", "-f", job_id, "--grep", "error")), daemon=True
        )
        thread.start()
        api.log(job_id, 16, b"or 2\nfine\n")
        api.log(job_id, 26, b"error 3", final=True)
        api.end(job_id, JobStatus.SUCCESS, size=33)
        thread.join(20)
        assert results[0].stdout == "error 1\nerror 2\nerror 3\n"

    def test_a_step_by_its_name(self, api: Served) -> None:
        log = b"--- build\nok\n--- test\nred\n"
        steps = [
            StepResult(name="build", exit_code=0, log_start=0, log_end=13),
            StepResult(name="test", exit_code=1, log_start=13, log_end=len(log)),
        ]
        job_id = api.ended(JobStatus.FAILED, log)
        job = api.job(job_id)
        api.change(job_id, attempts=[job.attempts[0].model_copy(update={"steps": steps})])
        assert call(api, "job", "logs", job_id, "--step", "test").stdout == "--- test\nred\n"
        assert call(api, "job", "logs", job_id, "--step", "bu").stdout == "--- build\nok\n"
        assert call(api, "job", "logs", job_id, "--step", "2").stdout == "--- test\nred\n"
        refused = call(api, "job", "logs", job_id, "--step", "deploy")
        assert refused.exit_code == 2
        assert "has no step 'deploy'; its steps: build, test." in refused.stderr
