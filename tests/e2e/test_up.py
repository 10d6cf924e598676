"""`hybridci up` on real servers: from nothing to ready, through crashes and kills, and back to nothing."""

import json
import os
import pty
import re
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.stack import Stack, repository, run
from tests.servers import HOST, free_port, wait_until

CHILDREN = ["temporal", "aws", "api", "worker", "gateway", "agent-1"]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    yield stack
    stack.kill_everything()


def test_from_nothing_to_ready_through_crashes_and_back(stack: Stack, tmp_path: Path) -> None:
    stack.start()
    seconds = stack.wait_ready()
    print(f"ready after {seconds} s")
    assert seconds < 60  # 3 to 8 s; a busy machine must not fail the suite
    assert stack.ready()
    _announces_everything(stack)
    _keeps_its_secrets(stack)
    _listens_only_here(stack)
    _answers_its_own_names_only(stack)
    _second_up_is_refused(stack)
    for name in CHILDREN:
        _crash_is_repaired_and_reported(stack, name)
    _running_job_is_drained(stack, tmp_path)
    assert "Traceback" not in stack.text()


def test_state_survives_kill_9_of_up_and_of_the_whole_tree(stack: Stack, tmp_path: Path) -> None:
    stack.start()
    stack.wait_ready()
    key = (stack.data / "admin.key").read_text()
    repository(tmp_path / "repo")
    job_id = _submit(stack, tmp_path / "repo", "cat hello.txt")
    stack.wait_for_status(job_id, "success")

    stack.send(signal.SIGKILL)
    stack.exit_code()
    left = set(stack.children().values())
    assert left <= {process.pid for process in stack.processes()}
    stack.start()
    stack.wait_ready()
    assert "was killed; ending what it left running" in stack.text()
    assert not left & {process.pid for process in psutil.process_iter()}
    assert _job(stack, job_id)["exit_code"] == 0

    stack.kill_everything()
    stack.start()
    stack.wait_ready()
    assert "was killed" not in stack.text(), "nothing was left to end"
    assert _job(stack, job_id)["exit_code"] == 0
    assert (stack.data / "admin.key").read_text() == key
    _second_ctrl_c_does_not_wait_for_running_jobs(stack, tmp_path)


def _second_ctrl_c_does_not_wait_for_running_jobs(stack: Stack, tmp_path: Path) -> None:
    marker = stack.data / "started"
    _submit(stack, tmp_path / "repo", f"touch {marker}; sleep 600")
    wait_until(marker.exists, seconds=60, what="the job's start")
    stack.send(signal.SIGINT)
    wait_until(lambda: "Waiting up to 60 s for agent-1" in stack.text(), seconds=60, what="word of the running job")
    stack.send(signal.SIGINT)
    assert stack.exit_code(seconds=60) == 0
    assert stack.processes() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_while_it_starts_leaves_nothing_behind(stack: Stack, number: signal.Signals) -> None:
    stack.start()
    wait_until(lambda: (stack.data / "processes.json").exists(), seconds=60, what="the first child")
    assert stack.stop(number) == 0
    assert stack.processes() == []


def test_taken_port_is_named_with_its_option(stack: Stack) -> None:
    for option, port in stack.ports.items():
        with socket.socket() as taken:
            taken.bind((HOST, port))
            taken.listen()
            done = run(stack.command()[4:])
        _one_sentence(done.stderr, f"Port {port} on {HOST} is taken", option)
        assert done.returncode == 2
    port = free_port()
    done = run([*stack.command()[4:], "--ui-port", str(port), "--aws-port", str(port)])
    _one_sentence(done.stderr, "--ui-port", "--aws-port", str(port))
    assert done.returncode == 2


def test_all_taken_ports_are_named_at_once_or_free_ones_are_taken(stack: Stack) -> None:
    taken = {option: stack.ports[option] for option in ("--api-port", "--aws-port")}
    with ExitStack() as held:
        for port in taken.values():
            other = held.enter_context(socket.socket())
            other.bind((HOST, port))
            other.listen()
        done = run(stack.command()[4:])
        assert done.returncode == 2
        for option, port in taken.items():
            assert f"Port {port} on {HOST} is taken" in done.stderr
            assert option in done.stderr
        assert "--ports auto" in done.stderr
        stack.start("--ports", "auto")
        stack.wait_ready()
        endpoint = json.loads((stack.data / "endpoint.json").read_text())
        assert endpoint["url"] != stack.url
        assert endpoint["temporal_address"] == f"{HOST}:{stack.ports['--temporal-port']}", "what was free stays"
        assert stack.cli("job", "list").returncode == 0
        stack.stop()


def test_unusable_folder_is_named(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    for folder, why in (("file/data", "cannot be used"), ("mine", "holds other files")):
        stack.data = tmp_path / folder
        done = run(stack.command()[4:])
        _one_sentence(done.stderr, str(stack.data), why, "--data-dir")
        assert done.returncode == 2
    assert os.listdir(tmp_path / "mine") == ["thesis.txt"]


def test_missing_git_is_named(stack: Stack, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    bash = shutil.which("bash")
    assert bash is not None
    (tools / "bash").symlink_to(bash)
    done = run(stack.command()[4:], env={**os.environ, "PATH": str(tools)})
    _one_sentence(done.stderr, "git", "install")
    assert done.returncode == 2


def test_a_child_that_cannot_start_fails_the_start_and_leaves_nothing(stack: Stack) -> None:
    stack.data.mkdir(mode=0o700, parents=True)
    (stack.data / "temporal.db").mkdir()
    (stack.data / "lock").touch()
    stack.start()
    assert stack.exit_code() == 1
    assert "temporal does not start: exit code 1" in stack.text()
    assert str(stack.data / "logs" / "temporal.log") in stack.text()
    assert stack.processes() == []


def _announces_everything(stack: Stack) -> None:
    text = stack.text()
    assert f"{stack.url}/api/docs" in text
    assert f"http://{HOST}:{stack.ports['--ui-port']}" in text
    assert f"{HOST}:{stack.ports['--gateway-port']}" in text
    assert f"hybridci job submit --repo . --run ls --wait --data-dir {stack.data}" in text
    endpoint: Any = json.loads((stack.data / "endpoint.json").read_text())
    assert endpoint == {
        "url": stack.url,
        "temporal_ui": f"http://{HOST}:{stack.ports['--ui-port']}",
        "temporal_address": f"{HOST}:{stack.ports['--temporal-port']}",
        "pid": stack.pid,
    }
    assert list(stack.children()) == CHILDREN


def _keeps_its_secrets(stack: Stack) -> None:
    assert stat.S_IMODE(stack.data.stat().st_mode) == 0o700
    private = ("admin.key", "agent.key", "gateway.key", "signing.key", "gateway-ca.key", "gateway-tls.key")
    for name in (*private, "endpoint.json", "processes.json", "temporal.db", "logs/api.log"):
        assert stat.S_IMODE((stack.data / name).stat().st_mode) == 0o600, name
    agent = psutil.Process(stack.children()["agent-1"]).environ()
    assert not [name for name in agent if name.startswith(("AWS_", "S3_", "DYNAMODB_"))]
    assert str(stack.data / "admin.key") not in agent.values()
    assert (stack.data / "admin.key").read_text().strip() not in agent.values()


def _listens_only_here(stack: Stack) -> None:
    listening = [
        connection.laddr.ip.removeprefix("::ffff:")  # gRPC listens on IPv4 through an IPv6 socket
        for pid in (stack.pid, *stack.children().values())
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= len(stack.ports)
    assert all(address.startswith("127.") for address in listening)


def _answers_its_own_names_only(stack: Stack) -> None:
    """A page whose name was made to lead here gets nothing from anything that listens and speaks HTTP."""
    paths = {"--api-port": "/api/docs", "--ui-port": "/api/v1/namespaces", "--aws-port": "/bucket"}
    for option, path in paths.items():
        port = stack.ports[option]
        found = [_status(port, path, f"{name}:{port}") for name in ("evil.example.org", HOST, "localhost")]
        assert (found[0], 421 in found[1:]) == (421, False), option
    temporal = psutil.Process(stack.children()["temporal"])
    for connection in temporal.net_connections("inet"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.ip == HOST:
            port = connection.laddr.port
            assert _status(port, "/api/v1/namespaces", f"evil.example.org:{port}") in {403, 404, None}, port


def _status(port: int, path: str, host: str) -> int | None:
    """None for what does not speak HTTP."""
    try:
        return httpx.get(f"http://{HOST}:{port}{path}", headers={"Host": host}, timeout=3).status_code
    except httpx.HTTPError:
        return None


def _second_up_is_refused(stack: Stack) -> None:
    done = run(stack.command()[4:])
    assert done.returncode == 2
    _one_sentence(done.stderr, "already runs", str(stack.data), stack.url, str(stack.pid))


def _crash_is_repaired_and_reported(stack: Stack, name: str) -> None:
    old = stack.children()[name]
    os.kill(old, signal.SIGKILL)
    told = f"{name} (pid {old}) died: SIGKILL"
    wait_until(lambda: told in stack.text(), seconds=60, what=f"word of {name}'s death")
    line = next(line for line in stack.text().splitlines() if told in line)
    assert f"restarted as pid {stack.children()[name]}" in line
    wait_until(stack.ready, seconds=60, what=f"ready after the death of {name}")


def _running_job_is_drained(stack: Stack, tmp_path: Path) -> None:
    repository(tmp_path / "repo")
    begun, end, done = (stack.data / name for name in ("begun", "end", "done"))
    wait = f"until [ -e {end} ]; do sleep 0.1; done"
    job_id = _submit(stack, tmp_path / "repo", f"touch {begun}; {wait}; touch {done}")
    wait_until(begun.exists, seconds=60, what="the job's start")
    assert _job(stack, job_id)["status"] in ("queued", "running")
    stack.send(signal.SIGINT)
    wait_until(lambda: "Waiting up to 60 s for agent-1" in stack.text(), seconds=60, what="word of the running job")
    end.touch()
    assert stack.exit_code() == 0
    assert done.exists()
    assert stack.processes() == []


def _submit(stack: Stack, repo: Path, command: str) -> str:
    done = stack.cli("job", "submit", "--repo", str(repo), "--run", command, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["job_id"]


def _job(stack: Stack, job_id: str) -> dict[str, Any]:
    done = stack.cli("job", "show", job_id, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _one_sentence(stderr: str, *parts: str) -> None:
    assert len(stderr.strip().splitlines()) == 1, stderr
    for part in parts:
        assert part in stderr


def test_who_looks_at_a_terminal_gets_a_link_that_signs_in_once(stack: Stack) -> None:
    said = b""
    leader, terminal = pty.openpty()
    with subprocess.Popen(stack.command("--agents", "0"), stdin=subprocess.DEVNULL, stdout=terminal) as process:
        os.close(terminal)
        try:
            while b"Ctrl-C stops everything" not in said:
                said += os.read(leader, 4096)
            found = re.search(r"sign-in#ticket=([\w-]+)", said.decode())
            assert found is not None, said
            with httpx.Client(base_url=stack.url, headers={"Origin": stack.url, "Accept": "text/html"}) as web:
                for status in (303, 401):
                    assert web.post("/sign-in", data={"ticket": found[1]}).status_code == status
                assert web.get("/").status_code in {200, 303}
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            os.close(leader)
    logs = [path for path in stack.data.rglob("*.log*") if path.is_file()]
    assert logs
    assert not [path for path in logs if found[1].encode() in path.read_bytes()]
