"""The command line against the real API application over a real socket."""

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from api.cli.client.connection import ApiConnection, CliError
from api.cli.client.http import ApiClient
from api.cli.client.progress import lacking, place_in_line
from tests import servers
from tests.api.cli_bench import ADMIN_KEY, AGENT_KEY, Line, Served, served
from tests.api.cli_jobs import call, told
from workflows.contracts.records import JobPage, JobQuery
from workflows.contracts.statuses import JobStatus


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


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
            servers.wait_until(lambda: servers.accepts(port), seconds=60, what="http.server")
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

    def test_jobs_are_found_by_what_they_were_made_of(self, api: Served, repository: Path) -> None:
        told(api, "job", "submit", "--repo", str(repository), "--run", "true", "--label", "team=x", "--json")
        sha = "7" * 40
        mine = api.submit(
            git_repo="https://example.com/acme/wiki.git", git_ref="hotfix", git_commit_sha=sha,
            git_author="zoe@example.com", labels={"service": "wiki", "team": "y"}, job_type="scan",
        )  # fmt: skip
        for filters in (
            ("--repo", "git@example.com:acme/wiki.git"),
            ("--branch", "hotfix"),
            ("--commit", sha),
            ("--service", "wiki"),
            ("--author", "Zoe <zoe@example.com>"),
            ("--label", "team=y"),
            ("--type", "scan", "--label", "team=y"),
        ):
            assert [job["job_id"] for job in told(api, "job", "list", *filters, "--json")["items"]] == [mine]
        assert len(told(api, "job", "list", "--repo", str(repository), "--label", "team=x", "--json")["items"]) == 1
        refused = call(api, "job", "list", "--label", "owner=ann")
        assert refused.exit_code == 1
        assert "team, stage" in refused.stderr

    def test_a_list_goes_on_where_it_stopped(self, api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        ids = [api.submit(pool="going-on") for _ in range(5)]
        page = told(api, "job", "list", "--pool", "going-on", "--limit", "2", "--json")
        rest = ("job", "list", "--pool", "going-on", "--cursor", page["next_cursor"], "--json")
        assert [job["job_id"] for job in told(api, *rest)["items"]] == list(reversed(ids[:3]))
        found = api.stores.jobs.list

        async def stops(query: JobQuery) -> JobPage:
            page = await found(query)
            return page.model_copy(update={"items": [], "stopped_early": True, "looked_at": 16_000})

        monkeypatch.setattr(api.stores.jobs, "list", stops)
        monkeypatch.setattr("api.cli.client.http._SEARCHED_PAGES", 2)
        result = call(api, "job", "list", "--pool", "going-on", "--limit", "2")
        assert result.exit_code == 0, result.output
        assert "Looked at 32000 jobs, there can be more that match: go on with --cursor " in result.stderr

    def test_a_short_id_finds_a_job_however_many_have_come_after_it(
        self, api: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("api.cli.client.http.PAGE_SIZE", 1)  # of five pages, which are looked at first
        job_id, *_ = [api.submit() for _ in range(7)]
        assert told(api, "job", "show", job_id[:8], "--json")["job_id"] == job_id
        none = "There is no job whose id begins with 00000000-ffff."
        assert none in call(api, "job", "show", "00000000-ffff").stderr
        none = "There is no dead letter whose id begins with 00000000-ffff."
        assert none in call(api, "dlq", "show", "00000000-ffff").stderr

    def test_an_id_that_was_looked_for_among_the_newest_only_may_be_older(
        self, api: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("api.cli.client.http.PAGE_SIZE", 1)
        for _ in range(6):
            api.submit()

        def cannot(client: ApiClient, path: str, wanted: str) -> tuple[list[str], bool]:
            return [], False  # as an API answers that cannot be asked for the beginning of an id

        monkeypatch.setattr(ApiClient, "_older_jobs", cannot)
        said = call(api, "job", "show", "00000000-ffff").stderr
        assert "None of the newest 5 jobs has an id that begins with 00000000-ffff. Give all of it." in said

    def test_show_by_prefix_tells_what_to_do_next(self, api: Served) -> None:
        job_id = api.ended(
            JobStatus.DEAD_LETTERED, b"no\n", cause="exit_code", exit_code=3, error_message="The command ended with 3."
        )
        result = call(api, "job", "show", job_id[:13])
        assert result.exit_code == 0, result.output
        assert "Parked as a dead letter: The command ended with 3." in result.stdout
        assert f"hybridci dlq redrive {job_id[:8]}" in result.stdout
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

    def test_artifacts_by_a_glob_and_of_the_last_green_job_of_a_branch(
        self, api: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def left(job_id: str, path: str, data: bytes, *, executable: bool = False) -> None:
            digest = hashlib.sha256(data).hexdigest()
            put = api.stores.artifacts.put(job_id, 1, path, BytesIO(data), sha256=digest, executable=executable)
            api.run(put)

        job_id = api.submit(git_ref="green", job_type="build")
        api.begin(job_id)
        api.end(job_id, JobStatus.SUCCESS, size=0)
        red = api.submit(git_ref="green", job_type="build")
        api.begin(red)
        api.end(red, JobStatus.FAILED, size=0)
        left(job_id, "dist/bin/run.sh", b"run", executable=True)
        left(job_id, "dist/a[1].txt", b"a")
        left(job_id, "log/x.txt", b"x")
        left(red, "dist/a[1].txt", b"red")
        monkeypatch.chdir(tmp_path)
        assert call(api, "job", "download", job_id, "{dist,log}/**/*.{txt,sh}", "-o", "kept").exit_code == 0
        found = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*") if path.is_file()}
        assert sorted(found) == ["kept/dist/a[1].txt", "kept/dist/bin/run.sh", "kept/log/x.txt"]
        assert [os.access(found[name], os.X_OK) for name in sorted(found)] == [False, True, False]
        assert call(api, "job", "download", job_id, "dist/a[1].txt", "-o", "one").exit_code == 0
        assert (tmp_path / "one").read_bytes() == b"a"
        newest = call(api, "job", "download", "--branch", "green", "--type", "build", "dist/**", "-o", "green")
        assert newest.exit_code == 0, newest.stderr
        assert (tmp_path / "green/dist/a[1].txt").read_bytes() == b"a"
        for arguments, said in (
            (["--branch", "green", job_id, "x"], "or --branch, and a path or glob"),
            ([job_id], "Give a job"),
            ([job_id, "x", "--type", "build"], "give --branch as well"),
            (["--branch", "no-such", "x"], "No job of branch no-such has succeeded."),
            (["--branch", "green", "--type", "lint", "x"], "No job of type lint of branch green has succeeded."),
            (
                ["--branch", "green", "--type", "build", "--repo", "https://example.com/other.git", "x"],
                "No job of type build of repository https://example.com/other.git of branch green has succeeded.",
            ),
            ([job_id, "*.none"], "None of the job's 3 artifacts"),
            ([job_id, "**", "-o", "-"], "cannot go to stdout"),
        ):
            refused = call(api, "job", "download", *arguments)
            assert refused.exit_code != 0
            assert said in " ".join(refused.stderr.split()), refused.stderr


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
        for text, message in (("zz", "no job id"), ("0123456789", "There is no job whose id begins with 0123456789")):
            with pytest.raises(CliError, match=message):
                client.find_job_id(text)
