"""`hybridci deploy watch`: how it ends, what it prints, an API that restarts. Real HTTP, with fakes behind it."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from api.cli.client.connection import ApiConnection
from api.cli.client.http import ApiClient, Unreachable
from api.cli.commands.deployments.watch import PlainView, follow
from tests import servers
from tests.api.cli_bench import ADMIN_KEY, Line, Served, environment, served, start
from tests.api.cli_deploys import LIVE, WAITING, call, change, done, production, started
from workflows.contracts.deployments.deployment import (
    DeploymentStatus,
    StageStatus,
)


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


@contextmanager
def watching(url: str, deployment_id: str) -> Generator[subprocess.Popen[bytes]]:
    """`hybridci deploy watch` as a process of its own, which does not outlive the test."""
    with start(url, "deploy", "watch", deployment_id) as process:
        try:
            yield process
        finally:
            process.kill()


class TestWatch:
    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (DeploymentStatus.LIVE, 0),
            (DeploymentStatus.ROLLED_BACK, 1),
        ],
    )
    def test_ends_as_the_deployment_did(self, api: Served, status: DeploymentStatus, code: int) -> None:
        deployment_id = started(api, f"watch-{status.value.replace('_', '-')}", **WAITING)
        with watching(api.url, deployment_id) as process:
            assert process.stdout is not None
            seen = [process.stdout.readline().decode() for _ in range(5)]
            assert seen[0].endswith("staged, now at production (waiting)\n")
            assert seen[-1] == "waits for: 1.0 waits for approval of production. `hybridci deploy approve this`\n"
            rolling = production(StageStatus.DEPLOYING, percent=10)
            change(api, deployment_id, status=DeploymentStatus.PRODUCTION, waits_for=None, stages=rolling)
            assert process.stdout.readline().endswith(b"production (deploying 10 %)\n")
            over = production(StageStatus.DEPLOYED, percent=100)
            change(api, deployment_id, status=status, stages=over, closed=True)
            out, err = process.communicate(timeout=60)
        assert process.returncode == code, err.decode()
        assert f"hybridci deploy show {deployment_id[:8]}" in err.decode()
        assert b"Traceback" not in err
        assert out.decode().count("production: deployed 100 %") == 1

    def test_one_that_has_ended_is_told_at_once(self, api: Served) -> None:
        superseded = started(api, "watch-over", status=DeploymentStatus.SUPERSEDED, closed=True)
        assert "was superseded" in done(api, "deploy", "watch", superseded).stderr
        failed = started(api, "watch-over", "1.1", status=DeploymentStatus.FAILED, error_message="No.", closed=True)
        result = call(api, "deploy", "watch", failed)
        assert result.exit_code == 1
        assert "watch-over 1.1 failed: No." in result.stderr

    def test_json_keeps_stdout_for_the_record(self, api: Served) -> None:
        deployment_id = started(api, "watch-json", **LIVE)
        result = call(api, "deploy", "watch", deployment_id, "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["deployment_id"] == deployment_id
        assert "watch-json 1.0: live in production" in result.stderr

    def test_an_api_that_restarts_is_waited_for(self, api: Served) -> None:
        deployment_id = started(api, "watch-away", **WAITING)
        line = Line(api.port, [])
        try:
            with watching(line.url, deployment_id) as process:
                assert process.stdout is not None
                assert process.stdout.readline().startswith(b"watch-away 1.0: staged")
                connections = line.connections
                line.break_off()
                servers.wait_until(lambda: line.connections > connections + 2, seconds=60, what="three more tries")
                change(api, deployment_id, **{**LIVE, "waits_for": None})
                line.down = False
                _, err = process.communicate(timeout=60)
        finally:
            line.close()
        assert process.returncode == 0, err.decode()
        assert err.decode().count("does not answer: waiting for it") == 1

    def test_an_api_that_stays_away_is_given_up(self) -> None:
        url = f"http://127.0.0.1:{servers.free_port()}"
        with ApiClient(ApiConnection(url, ADMIN_KEY)) as client, pytest.raises(Unreachable):
            follow(client, "00000000-0000-0000-0000-000000000000", PlainView(client), give_up_seconds=0.1)

    def test_interrupt_detaches(self, api: Served) -> None:
        deployment_id = started(api, "watch-int", **WAITING)
        with watching(api.url, deployment_id) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"watch-int 1.0: staged")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert f"hybridci deploy watch {deployment_id[:8]}" in err.decode()
        assert b"Traceback" not in err

    def test_a_picture_on_a_terminal(self, api: Served) -> None:
        deployment_id = started(api, "watch-tty", **WAITING)
        leader, follower = pty.openpty()
        env = {**environment(api.url), "TERM": "xterm", "COLUMNS": "160", "LINES": "40"}
        command = [sys.executable, "-m", "api.cli.main", "deploy", "watch", deployment_id]
        with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=env) as process:
            os.close(follower)
            try:
                drawn = _read_until(leader, b"Waits for")
                assert b"APPROVALS" in drawn
                assert b"0 of 1" in drawn
                change(api, deployment_id, **{**LIVE, "waits_for": None}, stages=production(StageStatus.DEPLOYED))
                drawn += _read_until(leader, b"More: ")
                assert process.wait(30) == 0
            finally:
                process.kill()
                os.close(leader)
        assert b"\x1b[" in drawn  # it moved the cursor to draw in place
        assert b"watch-tty 1.0 is live in production" in drawn


def _read_until(descriptor: int, text: bytes) -> bytes:
    """What a terminal shows until ``text``."""
    seen = b""
    while text not in seen:
        readable, _, _ = select.select([descriptor], [], [], 20)
        assert readable, seen
        seen += os.read(descriptor, 65_536)
    return seen
