"""The command line against the real API application over a real socket."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli.client.connection import ApiConnection, CliError
from api.cli.client.follow import Follower
from api.cli.client.http import ApiClient, Unreachable
from api.cli.client.progress import lacking, place_in_line
from api.cli.commands import dlq, job, queue
from tests import servers
from tests.api.cli_bench import ADMIN_KEY, AGENT_KEY, Line, Served, environment, served, start
from workflows.contracts.jobs import Attempt, Job, StepResult
from workflows.contracts.statuses import JobStatus, Outcome

APPS = {"job": job.app, "dlq": dlq.app, "queue": queue.app}


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "my shop"
    folder.mkdir()
    for arguments in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)
    return folder


def call(api: Served | str, *arguments: str, key: str = ADMIN_KEY, text: str | None = None) -> Result:
    url = api if isinstance(api, str) else api.url
    env: dict[str, str | None] = {**environment(url, key), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(APPS[arguments[0]], list(arguments[1:]), env=env, input=text)


def told(api: Served, *arguments: str) -> Any:
    result = call(api, *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


class Silent:
    """Shows no progress."""

    def update(self, job: Job) -> None: ...
    def begin(self, attempt: Attempt) -> None: ...
    def clear(self) -> None: ...


def follower(api: Served, url: str, job_id: str, **options: Any) -> tuple[ApiClient, BytesIO, Follower]:
    client, sink = ApiClient(ApiConnection(url, ADMIN_KEY)), BytesIO()
    return client, sink, Follower(client, job_id, sink, Silent(), **options)


class TestSubmit:
    def test_submits_the_committed_state_of_a_folder(self, api: Served, repository: Path) -> None:
        (repository / "new").write_text("x")
        result = call(
            api, "job", "submit", "--repo", str(repository), "--run", "pytest -q", "--run", "echo done",
            "--name", "unit", "--env", "A=1=2", "--secret", "DB_URL", "--artifact", "dist/*",
            "--timeout", "15m", "--retries", "0",
            "--label", "team=shop", "--tag", "t", "--priority", "high", "--pool", "linux", "--type", "test", "--json",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        assert "1 change in" in result.stderr
        assert "only committed code runs" in result.stderr
        body = json.loads(result.stdout)
        assert body["git_repo"] == repository.resolve().as_uri()
        assert body["git_ref"] == "main"
        assert (body["git_author"], body["git_commit_message"]) == ("ann@example.com", "first")
        assert [(step["name"], step["run"]) for step in body["steps"]] == [
            ("unit", "pytest -q"),
            ("echo done", "echo done"),
        ]
        assert body["env"] == {"A": "1=2"}
        assert (body["secrets"], body["artifacts"], body["tags"]) == (["DB_URL"], ["dist/*"], ["t"])
        assert (body["timeout_seconds"], body["retry"]["max_attempts"]) == (900, 1)
        assert (body["priority"], body["pool"], body["job_type"]) == ("HIGH", "linux", "test")
        assert body["labels"] == {"team": "shop"}

    def test_the_same_key_returns_the_same_job(self, api: Served, repository: Path) -> None:
        same = ("job", "submit", "--repo", str(repository), "--run", "true", "--idempotency-key", "k1", "--json")
        assert told(api, *same)["job_id"] == told(api, *same)["job_id"]
        other = call(api, *same, "--pool", "other")
        assert other.exit_code == 1
        assert "idempotency" in other.stderr.lower()

    def test_every_bad_field_is_named(self, api: Served, repository: Path) -> None:
        result = call(api, "job", "submit", "--repo", str(repository), "--run", "true", "--pool", "No!", "--env", "1=2")
        assert result.exit_code == 1
        assert "\n  pool: " in result.stderr
        assert "\n  env.1" in result.stderr
        assert "Traceback" not in result.output

    def test_an_argument_that_is_no_text(self, api: Served, repository: Path) -> None:
        result = call(api, "job", "submit", "--repo", str(repository), "--run", "echo \udcff")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "\\udcff' holds bytes that are not UTF-8" in result.stderr

    def test_a_file_on_stdin(self, api: Served) -> None:
        spec = {"git_repo": "https://x.example/r.git", "git_commit_sha": "b" * 40, "git_author": "bob@example.com"}
        text = json.dumps({**spec, "job_type": "lint", "steps": [{"name": "s", "run": "true"}]})
        result = call(api, "job", "submit", "-F", "-", "--json", text=text)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["job_type"] == "lint"

    def test_a_request_whose_answer_is_lost_creates_one_job(self, api: Served, repository: Path) -> None:
        line = Line(api.port, [100])
        try:
            result = call(line.url, "job", "submit", "--repo", str(repository), "--run", "true", "--tag", "once")
        finally:
            line.close()
        assert result.exit_code == 0, result.output
        assert line.connections == 2
        listed = told(api, "job", "list", "--all", "--json")
        assert [item["job_id"] for item in listed if "once" in item["tags"]] == [result.stdout.strip()]


class TestRefusals:
    def test_no_server(self) -> None:
        result = call(f"http://127.0.0.1:{servers.free_port()}", "queue", "stats")
        assert result.exit_code == 2
        assert "hybridci up" in result.stderr
        assert result.stderr.count("\n") == 1

    def test_wrong_key(self, api: Served) -> None:
        result = call(api, "queue", "stats", key="nonsense")
        assert result.exit_code == 2
        assert "API key" in result.stderr

    def test_a_key_without_the_right(self, api: Served) -> None:
        result = call(api, "queue", "stats", key=AGENT_KEY)
        assert result.exit_code == 2
        assert "may not" in result.stderr

    def test_unknown_job(self, api: Served) -> None:
        result = call(api, "job", "show", "00000000-0000-0000-0000-000000000000")
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1

    def test_another_program_on_the_port(self) -> None:
        command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1"]
        port = servers.free_port()
        with subprocess.Popen([*command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
            servers.wait_until(lambda: servers.accepts(port), seconds=10, what="http.server")
            result = call(f"http://127.0.0.1:{port}", "queue", "stats")
            other.kill()
        assert result.exit_code == 2
        assert "not the hybridci API" in result.stderr


class TestReading:
    def test_list_pages_and_filters(self, api: Served) -> None:
        ids = [api.submit(pool="paging") for _ in range(105)]
        assert len(told(api, "job", "list", "--pool", "paging", "--all", "--json")) == 105
        page = told(api, "job", "list", "--pool", "paging", "--limit", "103", "--json")
        assert len(page["items"]) == 103
        assert page["next_cursor"]
        table = call(api, "job", "list", "--pool", "paging", "--limit", "3").stdout.splitlines()
        assert table[0].split() == [
            "JOB",
            "STATUS",
            "TYPE",
            "REPOSITORY",
            "COMMIT",
            "POOL",
            "AGENT",
            "EXIT",
            "TOOK",
            "CREATED",
        ]
        assert len(table) == 4
        assert table[1].split()[:4] == [ids[-1][:8], "queued", "test", "example.com/shop"]

    def test_show_by_prefix_tells_what_to_do_next(self, api: Served) -> None:
        job_id = api.ended(
            JobStatus.DEAD_LETTERED, b"no\n", cause="exit_code", exit_code=3, error_message="The command ended with 3."
        )
        result = call(api, "job", "show", job_id[:13])
        assert result.exit_code == 0, result.output
        assert "Parked as a dead letter: The command ended with 3." in result.stdout
        assert f"hybridci dlq redrive {job_id}" in result.stdout
        assert "agent-7" in result.stdout
        assert told(api, "job", "show", job_id, "--json")["job_id"] == job_id

    def test_control_characters_cannot_reach_the_terminal(self, api: Served) -> None:
        job_id = api.submit(steps=[{"name": "s", "run": "echo \x1b[2J[red]hi[/red]"}])
        shown = call(api, "job", "show", job_id).stdout
        assert "\x1b" not in shown
        assert "[red]hi[/red]" in shown

    def test_stats(self, api: Served) -> None:
        assert told(api, "queue", "stats", "--json")["total"] > 0
        assert "Dead letters" in call(api, "queue", "stats").stdout

    def test_artifacts(self, api: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        data = random.Random(1).randbytes(200_000)
        job_id = api.ended()
        digest = hashlib.sha256(data).hexdigest()
        api.run(api.stores.artifacts.put(job_id, 1, "dist/a b.bin", BytesIO(data), sha256=digest))
        listed = told(api, "job", "artifacts", job_id, "--json")
        assert [(item["path"], item["size"]) for item in listed["items"]] == [("dist/a b.bin", len(data))]
        assert "195.3 KiB" in call(api, "job", "artifacts", job_id).stdout
        monkeypatch.chdir(tmp_path)
        assert call(api, "job", "download", job_id, "dist/a b.bin").exit_code == 0
        assert (tmp_path / "a b.bin").read_bytes() == data
        assert call(api, "job", "download", job_id, "dist/a b.bin", "-o", "-").stdout_bytes == data
        missing = call(api, "job", "download", job_id, "nothing", "-o", "x")
        assert missing.exit_code == 1
        assert [path.name for path in tmp_path.iterdir()] == ["a b.bin"]


class TestChanging:
    def test_cancel_several(self, api: Served) -> None:
        first, second = api.submit(), api.submit()
        answers = told(api, "job", "cancel", first, second, "--reason", "no need", "--json")
        assert [answer["status"] for answer in answers] == ["cancelled", "cancelled"]
        ended = api.ended()
        result = call(api, "job", "cancel", ended, api.submit())
        assert result.exit_code == 1
        assert "1 of 2 were refused" in result.stderr
        assert "cancelled" in result.stdout

    def test_retry_is_a_new_job(self, api: Served) -> None:
        job_id = api.ended(JobStatus.FAILED)
        again = told(api, "job", "retry", job_id, "--json")
        assert again["job_id"] != job_id
        assert again["retry_of"] == job_id

    def test_dead_letters(self, api: Served) -> None:
        job_id = api.ended(JobStatus.DEAD_LETTERED, cause="agent_lost", env={"OLD": "1", "A": "1"})
        listed = told(api, "dlq", "list", "--cause", "agent_lost", "--json")
        assert [item["job_id"] for item in listed["items"]] == [job_id]
        assert job_id[:8] in call(api, "dlq", "list").stdout
        assert call(api, "dlq", "edit", job_id).exit_code == 2
        changed = told(
            api, "dlq", "edit", job_id[:13], "--pool", "big", "--timeout", "2h", "--env", "A=2", "--unset-env", "OLD",
            "--json",
        )  # fmt: skip
        assert (changed["pool"], changed["timeout_seconds"], changed["env"]) == ("big", 7200, {"A": "2"})
        assert told(api, "dlq", "redrive", job_id, "--json")["status"] == "queued"
        other = api.ended(JobStatus.DEAD_LETTERED)
        assert told(api, "dlq", "discard", other, "--reason", "old", "--json")["status"] == "failed"

    def test_bulk_redrive(self, api: Served) -> None:
        assert call(api, "dlq", "redrive").exit_code == 2
        assert call(api, "dlq", "redrive", "--all", "some-id").exit_code == 2
        options = (
            "--pool",
            "p",
            "--type",
            "t",
            "--cause",
            "c",
            "--repo",
            "https://x/y",
            "--canary",
            "2",
            "--limit",
            "9",
        )
        result = call(api, "dlq", "redrive", *options, "--wait")
        assert result.exit_code == 0, result.output
        assert "Finished: 0 of 0 redriven" in result.stdout
        request = list(api.job_client.redrives.values())[-1]
        assert request.filter.model_dump(exclude_none=True) == {
            "pool": "p", "job_type": "t", "cause": "c", "git_repo": "https://x/y",
        }  # fmt: skip
        assert request.canary is not None
        assert (request.canary.count, request.limit) == (2, 9)


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
        servers.wait_until(lambda: sink.getvalue() == b"before ", seconds=30, what="the first piece")
        passed, connections = line.passed, line.connections
        api.stop.append(True)  # its streams end, saying so in the middle of the log's line
        servers.wait_until(lambda: line.passed > passed + 2000, seconds=30, what="an answer that says so")
        line.break_off()
        servers.wait_until(lambda: line.connections > connections + 1, seconds=30, what="two more tries")
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
        out, err = process.communicate(timeout=30)
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
        out, err = process.communicate(timeout=30)
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
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert f"hybridci job logs -f {job_id}" in err.decode()
        assert f"hybridci job cancel {job_id}" in err.decode()
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

    servers.wait_until(there, seconds=20, what="the submission")
    return found[0]


def _finish(api: Served, job_id: str, status: JobStatus, outcome: Outcome) -> None:
    job = api.job(job_id)
    ended = job.attempts[0].model_copy(update={"outcome": outcome, "finished_at": job.created_at + 1, "log_bytes": 7})
    api.change(job_id, status=status, attempts=[ended])


def test_place_in_line(api: Served) -> None:
    waiting = [api.submit(pool="line", priority=priority) for priority in ("NORMAL", "LOW", "NORMAL", "HIGH")]
    with ApiClient(ApiConnection(api.url, ADMIN_KEY)) as client:
        places = [place_in_line(client, client.job(job_id)) for job_id in waiting]
    assert places == [", place 2 of 4", ", place 4 of 4", ", place 3 of 4", ", place 1 of 4"]


def test_the_waiting_line_says_what_a_job_lacks(api: Served) -> None:
    job_id = api.submit(pool="bare", requires=["gpu=*"])
    with ApiClient(ApiConnection(api.url, ADMIN_KEY)) as client:
        assert lacking(client, client.job(job_id)) == (
            "; no agent of pool bare is connected; see `" + client.command("agents list --pool bare") + "`"
        )


def test_the_beginning_of_an_id(api: Served) -> None:
    job_id = api.submit()
    with ApiClient(ApiConnection(api.url, ADMIN_KEY)) as client:
        assert client.find_job_id(job_id[:14].upper()) == job_id
        for text, message in (("zz", "no job id"), ("0123456789", "None of the newest")):
            with pytest.raises(CliError, match=message):
                client.find_job_id(text)


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
