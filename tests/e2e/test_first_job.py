"""A new user's first hour: `hybridci up` in the folder of a repository, then nothing but the command line.

The case that takes a whole lease (the agent is killed in the middle of a job) begins with the module and ends with it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Stack, repository
from tests.servers import HOST, free_port, wait_until

HYBRIDCI = str(Path(sys.executable).with_name("hybridci"))
LIVE_SECONDS = 1.0


class Shop:
    """The user's repository, with the stack's state inside it, and a terminal in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = Stack(folder)
        self.sha = repository(folder / "shop")
        self.stack.data = folder / "shop" / ".hybridci"

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HYBRIDCI, *arguments], cwd=self.folder / "shop", env=self._env(environment), capture_output=True,
            text=True, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def open(self, *arguments: str, err: Path) -> subprocess.Popen[str]:
        with err.open("w") as stderr:
            return subprocess.Popen(
                [HYBRIDCI, *arguments], cwd=self.folder / "shop", env=self._env({}), stdout=subprocess.PIPE,
                stderr=stderr, text=True, bufsize=1,
            )  # fmt: skip

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def submit(self, command: str, *options: str) -> str:
        done = self.run("job", "submit", "--repo", ".", "--run", command, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def status(self, job_id: str) -> str:
        return str(self.json("job", "show", job_id)["status"])

    def wait(self, job_id: str, status: str) -> None:
        self.stack.wait_for_status(job_id, status)
        assert self.status(job_id) == status

    @staticmethod
    def _env(more: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("HYBRIDCI_")} | more


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("new-user"))
    shop.stack.start()
    try:
        shop.stack.wait_ready()
        yield shop
    finally:
        shop.stack.kill_everything()


@pytest.fixture(scope="module", autouse=True)
def watcher(shop: Shop) -> Iterator[subprocess.Popen[str]]:
    """Somebody who watches a job whose agent is killed."""
    marker = shop.folder / "begun"
    command = f"echo attempt $HYBRIDCI_ATTEMPT_NUMBER; [ -e {marker} ] || {{ touch {marker}; sleep 600; }}; echo done"
    watching = shop.open("job", "submit", "--run", command, "--wait", err=shop.folder / "watcher.err")
    wait_until(marker.exists, seconds=60, what="the job's start")
    said = shop.folder / "watcher.err"
    wait_until(lambda: "Job " in said.read_text(), seconds=60, what="its id")
    job_id = said.read_text().split("Job ")[1].split()[0]
    wait_until(lambda: "attempt 1\n" in shop.run("job", "logs", job_id).stdout, seconds=60, what="its first line")
    os.kill(shop.stack.children()["agent-1"], signal.SIGKILL)
    yield watching
    if watching.poll() is None:
        watching.kill()
    watching.wait(10)
    assert watching.stdout is not None
    watching.stdout.close()


def test_waiting_follows_the_log_live_and_ends_with_the_jobs_code(shop: Shop, tmp_path: Path) -> None:
    command = "cat hello.txt; for i in $(seq 20); do date +%s.%N; sleep 0.1; done; exit 7"
    waiting = shop.open("job", "submit", "--repo", ".", "--run", command, "--retries", "0", "--wait",
                        err=tmp_path / "err")  # fmt: skip
    with waiting:
        assert waiting.stdout is not None
        lines = [(line, time.time()) for line in waiting.stdout]
    said = (tmp_path / "err").read_text()
    assert waiting.returncode == 7, said
    assert "hello\n" in [line for line, _ in lines]
    delays = sorted(at - float(line) for line, at in lines if line[:1].isdigit())
    print(f"live log: {delays[len(delays) // 2]:.2f} s behind (median), {delays[-1]:.2f} s (worst)")
    assert len(delays) == 20
    assert delays[10] < LIVE_SECONDS
    assert "hybridci job show" in said, "what to do next"


def test_list_show_and_logs(shop: Shop) -> None:
    job_id = shop.submit("echo first; echo second >&2", "--type", "greeting", "--label", "team=web")
    shop.wait(job_id, "success")
    listed = shop.json("job", "list", "--type", "greeting")
    assert [job["job_id"] for job in listed["items"]] == [job_id]
    assert job_id[:8] in shop.run("job", "list", "--status", "success").stdout
    record = shop.json("job", "show", job_id[:8])
    assert (record["git_commit_sha"], record["git_author"]) == (shop.sha, "ann@example.com")
    assert (record["exit_code"], record["labels"], len(record["attempts"])) == (0, {"team": "web"}, 1)
    shown = shop.run("job", "show", job_id)
    assert shown.returncode == 0
    assert "success" in shown.stdout
    wait_until(lambda: "second\n" in shop.run("job", "logs", job_id).stdout, seconds=60, what="the whole log")
    for options in ([], ["-f"], ["--attempt", "1"]):
        logs = shop.run("job", "logs", job_id, *options)
        assert logs.returncode == 0
        assert "first\nsecond\n" in logs.stdout
    assert shop.json("queue", "stats")["completed"] >= 1


def test_cancel_ends_the_job_and_its_watcher(shop: Shop, tmp_path: Path) -> None:
    begun, err = tmp_path / "begun", tmp_path / "err"
    watching = shop.open("job", "submit", "--run", f"touch {begun}; sleep 600", "--json", "--wait", err=err)
    with watching:
        wait_until(begun.exists, seconds=60, what="the job's start")
        wait_until(lambda: "Job " in err.read_text(), seconds=60, what="its id")
        job_id = err.read_text().split("Job ")[1].split()[0]
        cancelled = shop.run("job", "cancel", job_id, "--reason", "wrong branch")
        assert cancelled.returncode == 0, cancelled.stderr
        output, _ = watching.communicate(timeout=60)
    assert watching.returncode == 130
    record = json.loads(output)
    assert record["status"] == "cancelled"
    assert "wrong branch" in record["error_message"]
    assert shop.run("job", "cancel", job_id).returncode == 0, "it is cancelled: asking again is no mistake"


def test_what_has_ended_cannot_be_cancelled(shop: Shop) -> None:
    job_id = shop.submit("true")
    shop.wait(job_id, "success")
    refused = shop.run("job", "cancel", job_id)
    assert refused.returncode == 1
    assert "success" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert shop.status(job_id) == "success"


def test_retry_runs_the_same_again_as_a_new_job(shop: Shop) -> None:
    job_id = shop.submit("echo again", "--tag", "nightly")
    shop.wait(job_id, "success")
    done = shop.run("job", "retry", job_id, "--wait")
    assert done.returncode == 0, done.stderr
    assert "again\n" in done.stdout
    (newest, *_) = shop.json("job", "list", "--limit", "5")["items"]
    assert newest["job_id"] != job_id
    assert newest["tags"] == ["nightly"]
    assert shop.json("job", "show", newest["job_id"])["retry_of"] == job_id


def test_dead_letters_are_edited_and_redriven_or_discarded(shop: Shop) -> None:
    options = ["--retries", "0", "--type", "publish"]
    broken, hopeless = (shop.submit('echo to ${TARGET:-nowhere}; [ "$TARGET" = prod ]', *options) for _ in range(2))
    for job_id in (broken, hopeless):
        shop.wait(job_id, "dead_lettered")
    listed = shop.json("dlq", "list", "--type", "publish")
    assert {job["job_id"] for job in listed["items"]} == {broken, hopeless}
    assert broken[:8] in shop.run("dlq", "list").stdout
    assert "exit code 1" in shop.run("dlq", "show", broken).stdout

    edited = shop.run("dlq", "edit", broken, "--env", "TARGET=prod", "--timeout", "2m")
    assert edited.returncode == 0, edited.stderr
    assert shop.status(broken) == "dead_lettered"
    redriven = shop.run("dlq", "redrive", broken, "--wait")
    assert redriven.returncode == 0, redriven.stderr
    assert "to prod\n" in redriven.stdout
    assert "to nowhere" not in redriven.stdout
    record = shop.json("job", "show", broken)
    assert (record["status"], record["timeout_seconds"]) == ("success", 120)
    assert [attempt["exit_code"] for attempt in record["attempts"]] == [1, 0]

    discarded = shop.run("dlq", "discard", hopeless, "--reason", "obsolete")
    assert discarded.returncode == 0, discarded.stderr
    assert shop.status(hopeless) == "failed"
    assert shop.json("dlq", "list", "--type", "publish")["items"] == []


def test_artifacts_are_listed_and_downloaded(shop: Shop, tmp_path: Path) -> None:
    job_id = shop.submit("mkdir dist; printf 'a\\0b' > dist/shop.bin; echo not this > secret", "--artifact", "dist/*")
    shop.wait(job_id, "success")
    assert [item["path"] for item in shop.json("job", "artifacts", job_id)["items"]] == ["dist/shop.bin"]
    assert "dist/shop.bin" in shop.run("job", "artifacts", job_id).stdout
    target = tmp_path / "shop.bin"
    assert shop.run("job", "download", job_id, "dist/shop.bin", "-o", str(target)).returncode == 0
    assert target.read_bytes() == b"a\0b"
    assert shop.run("job", "download", job_id, "secret", "-o", str(target)).returncode == 1
    assert target.read_bytes() == b"a\0b"


@pytest.mark.parametrize(
    ("environment", "part"),
    [
        ({"HYBRIDCI_API_KEY": "wrong"}, "key"),
        ({"HYBRIDCI_URL": "here"}, "HYBRIDCI_API_KEY"),
        ({"HYBRIDCI_URL": "elsewhere", "HYBRIDCI_API_KEY": "any"}, "No answer from"),
        ({"HYBRIDCI_DATA_DIR": "/nowhere"}, "/nowhere"),
    ],
)
def test_what_is_wrong_with_the_connection_is_one_sentence(shop: Shop, environment: dict[str, str], part: str) -> None:
    urls = {"here": shop.stack.url, "elsewhere": f"http://{HOST}:{free_port()}"}
    done = shop.run("job", "list", **{name: urls.get(value, value) for name, value in environment.items()})
    assert done.returncode == 2
    assert part in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_who_watches_a_job_sees_it_finish_after_its_agent_was_killed(
    shop: Shop, watcher: subprocess.Popen[str]
) -> None:
    output, _ = watcher.communicate(timeout=90)
    said = (shop.folder / "watcher.err").read_text()
    assert watcher.returncode == 0, said
    assert "attempt 1\n" in output
    assert "attempt 2\ndone\n" in output
    record = shop.json("job", "show", said.split("Job ")[1].split()[0])
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["agent_lost", "succeeded"]
