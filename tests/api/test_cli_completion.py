"""What a shell completes, by the protocol that typer's own scripts for shells speak."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
import typer

from api.cli import completing
from api.cli.commands.deployments import deploy, freeze
from api.cli.completing import environments
from tests import servers
from tests.api.cli_bench import ADMIN_KEY, Served, served
from tests.api.cli_deploys import register, started


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


PATIENT = "from api.cli import completing; completing._SECONDS = 30; "
"""A busy machine's API answers too: half a second is for people."""


def completed(url: str, words: str, *, shell: str = "bash", patience: str = PATIENT) -> tuple[list[str], str]:
    """The values for the last word, and what was said on stderr."""
    asked = {
        "_HYBRIDCI_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    ours = {"HYBRIDCI_URL": url, "HYBRIDCI_API_KEY": ADMIN_KEY}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HYBRIDCI_")}
    script = f"{patience}from api.cli.main import app; app(prog_name='hybridci')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**environ, **ours, **asked}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if line], done.stderr


def test_ids_are_completed_short_and_whole(api: Served) -> None:
    job_id = api.submit()
    assert completed(api.url, "hybridci job show ") == ([job_id[:8]], "")
    assert completed(api.url, f"hybridci jobs logs {job_id[:4]}")[0] == [job_id[:8]]
    assert completed(api.url, f"hybridci logs {job_id[:10]}")[0] == [job_id]
    assert completed(api.url, "hybridci job show x")[0] == []
    assert completed(api.url, "hybridci job show ", shell="fish")[0][0] == f"{job_id[:8]}\ttest queued"
    assert f'"{job_id[:8]}"' in "".join(completed(api.url, "hybridci job show ", shell="zsh")[0])


def test_commands_and_options_are_completed(api: Served) -> None:
    assert completed(api.url, "hybridci jo")[0] == ["job"]
    assert completed(api.url, "hybridci job list --sta")[0] == ["--status"]
    assert "dead_lettered" in completed(api.url, "hybridci job list --status ")[0]


def test_what_is_rolled_back_is_completed(api: Served) -> None:
    """Its argument is a service, or one deployment as service@version or id."""
    deployment_id = started(api, "roll-a", "1.4")
    started(api, "roll-a", "1.5")
    register(api, "roll-b")
    assert completed(api.url, "hybridci deploy rollback ro") == (["roll-a", "roll-b"], "")
    assert {"roll-a", "roll-b"} <= set(completed(api.url, "hybridci deploy rollback ")[0])
    versions = ["roll-a@1.5", "roll-a@1.4"]
    shown = [
        line.partition("\t")[0] for line in completed(api.url, "hybridci deploy rollback roll-a@", shell="fish")[0]
    ]
    assert shown == versions
    assert completed(api.url, "hybridci deploy show roll-a@1.4")[0] == ["roll-a@1.4"]
    assert completed(api.url, f"hybridci deploy rollback {deployment_id[:7]}")[0] == [deployment_id[:8]]


def test_environments_are_those_of_the_service_that_is_named(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for in this process, where it may take its time."""
    register(api, "with-some")
    register(api, "with-another", environments=[{"name": "elsewhere", "external": True}])
    monkeypatch.setattr(completing, "_SECONDS", 60.0)
    monkeypatch.setenv("HYBRIDCI_URL", api.url)
    monkeypatch.setenv("HYBRIDCI_API_KEY", ADMIN_KEY)

    def told(group: typer.Typer, command: str, *words: str) -> list[str]:
        own: Any = typer.main.get_group(group).commands[command]
        return [value for value, _ in environments(own.make_context(command, list(words), resilient_parsing=True), "")]

    assert told(deploy.app, "hold", "with-another", "-e") == ["elsewhere"]
    assert told(deploy.app, "hold", "-e") == ["elsewhere", "production", "staging"]
    assert told(deploy.app, "hold", "--reason", "fair", "with-some", "-e") == ["production", "staging"]
    assert told(freeze.app, "add", "--all", "--environment") == ["elsewhere", "production", "staging"]


def test_interrupted_it_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked = {"_HYBRIDCI_COMPLETE": "complete_bash", "COMP_WORDS": "hybridci job show ", "COMP_CWORD": "3"}
        ours = {"HYBRIDCI_URL": f"http://127.0.0.1:{silent.getsockname()[1]}", "HYBRIDCI_API_KEY": ADMIN_KEY}
        environ = {name: value for name, value in os.environ.items() if not name.startswith("HYBRIDCI_")}
        script = f"{PATIENT}import sys; sys.argv = ['hybridci']; from hybridci_command import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            env={**environ, **ours, **asked}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:  # it has asked, and waits
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60) == (b"", b"")
        assert process.returncode == -signal.SIGINT


def test_without_an_api_nothing_is_said(api: Served) -> None:
    away = f"http://127.0.0.1:{servers.free_port()}"
    assert completed(away, "hybridci job show ") == ([], "")
    assert completed("no url", "hybridci job show ") == ([], "")


def test_the_key_goes_nowhere_but_to_the_api() -> None:
    """urllib follows redirects with all headers, to other hosts too."""
    asked: list[tuple[str, str | None]] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{port}/stolen")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    port = servers.free_port()
    with HTTPServer(("127.0.0.1", port), Elsewhere) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        assert completed(f"http://127.0.0.1:{port}", "hybridci job show ") == ([], "")
        server.shutdown()
    assert [path.partition("?")[0] for path, _ in asked] == ["/api/dashboard/jobs"]


def test_a_slow_api_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        assert completed(url, "hybridci job show ", patience="") == ([], "")
        assert time.monotonic() - began < 20, "it is given up, and does not wait for ever"
