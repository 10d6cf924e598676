"""`hybridci status` and `hybridci doctor` against the real API application over a real socket."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.cli.client.connection import ApiConnection
from api.cli.client.http import ApiClient
from api.cli.commands.overview.api_checks import processes_found
from api.cli.main import app
from tests import servers
from tests.api.cli_bench import ADMIN_KEY, AGENT_KEY, Served, served
from workflows.contracts.statuses import JobStatus


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def call(url: str, *words: str, key: str = ADMIN_KEY) -> Result:
    none = dict.fromkeys(("HYBRIDCI_DATA_DIR", "HYBRIDCI_CONTEXT", "TEMPORAL_ADDRESS"))
    env: dict[str, str | None] = {**none, "HYBRIDCI_URL": url, "HYBRIDCI_API_KEY": key}
    return CliRunner().invoke(app, list(words), env=env)


def test_status_begins_empty_and_names_what_needs_somebody(api: Served) -> None:
    before = call(api.url, "status", "--exit-code")
    assert before.exit_code == 0, before.output
    assert "Nothing waits for you, nothing broke." in before.stdout
    job_id = api.ended(JobStatus.DEAD_LETTERED, cause="agent_lost", error_message="its agent is gone")
    result = call(api.url, "status", "--exit-code")
    assert result.exit_code == 1
    assert "dead letters, agent lost" in result.stdout
    assert "    hybridci dlq list --cause agent_lost\n" in result.stdout
    assert call(api.url, "status").exit_code == 0
    told: Any = json.loads(call(api.url, "status", "--json").stdout)
    assert (told["subject"], told["needs_somebody"], told["untold"]) == ("admin", True, {})
    assert [each["kind"] for each in told["waits"]] == ["dead_letters"]
    assert job_id[:8] in result.stdout or not told["broke"]


def test_what_a_key_may_not_see_is_named(api: Served) -> None:
    result = call(api.url, "status", key=AGENT_KEY)
    assert result.exit_code == 0, result.output
    assert "Not told:" in result.stderr


def test_status_and_doctor_without_an_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    away = f"http://127.0.0.1:{servers.free_port()}"
    assert call(away, "status").exit_code == 2
    result = call(away, "doctor")
    assert result.exit_code == 2
    assert result.stdout.startswith("BAD   API: No answer from")
    assert "ok    git:" in result.stdout


def test_doctor_looks_at_each_part(api: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    result = call(api.url, "doctor", "--json")
    told: Any = json.loads(result.stdout)
    parts = {each["part"]: each for each in told["findings"]}
    assert {"API", "clock", "key", "workflows", "seals", "agents", "hybridci", "git", "bash"} <= set(parts)
    assert parts["API"]["grade"] == "ok"
    assert (parts["agents"]["grade"], "no job can run" in parts["agents"]["words"]) == ("bad", True)
    assert (told["grade"], result.exit_code) == ("bad", 2)
    quiet = call(api.url, "doctor", "--quiet").stdout
    assert "ok    " not in quiet.splitlines()[0]


@pytest.mark.parametrize(
    ("others", "grade", "said"),
    [
        ([], "ok", "1 control worker and 2 gateways of the API's version, 1.5"),
        ([{"kind": "worker", "identity": "7@host-a", "version": "1.4"}], "warn", "is of version 1.4, the API of 1.5"),
    ],
)
def test_doctor_tells_of_processes_of_another_version(others: list[Any], grade: str, said: str) -> None:
    seen = [{"kind": kind, "identity": "x", "version": "1.5"} for kind in ("worker", "gateway", "gateway")]
    found = list(processes_found({"version": "1.5", "processes": [*others, *seen]}))
    assert [(each.grade, each.words) for each in found] == [(grade, said)]
    assert list(processes_found({"version": "1.5"})) == [], "an older API says nothing of them"


ODD = (
    "{}", "[]", "1", "null", '"x"', '{"grants": 1}', '{"grants": [{}], "items": {}, "errors": [1]}',
    '{"grants": [], "subject": "a", "expires_at": "soon", "items": [{}], "errors": [{}], "stuck": []}',
    '{"grants": [], "subject": "a", "expires_at": 1e308, "items": [], "errors": [], "sealed_at": 1e308}',
)  # fmt: skip


@contextmanager
def answering(always: str, **others: str) -> Generator[str]:
    """A server that answers everything with this, but what ``others`` names by the end of its path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = others.get(self.path.partition("?")[0].rpartition("/")[2], always).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Not on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.mark.parametrize("odd", ODD)
def test_doctor_says_which_answer_it_cannot_read(odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for others in ({}, {"info": '{"version": "1", "environment": "test"}'}):
        with answering(odd, **others) as url:
            result = call(url, "doctor", "--json")
        assert (result.exit_code, type(result.exception)) == (2, SystemExit), result.exception
        found: list[Any] = json.loads(result.stdout)["findings"]
        assert {"hybridci", "git"} <= {each["part"] for each in found}
        if others:
            bad = {each["part"] for each in found if each["grade"] == "bad"}
            assert {"key", "agents", "pools"} & bad, found
            assert {"API", "versions"} <= {each["part"] for each in found}


def test_doctor_names_the_field_that_it_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with answering("{}") as url:
        found: list[Any] = json.loads(call(url, "doctor", "--json").stdout)["findings"]
    [key] = [each for each in found if each["part"] == "key"]
    assert (key["grade"], key["words"]) == ("bad", "says what this command cannot read (KeyError: 'grants')")


def test_doctor_finds_a_data_folder_that_others_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "admin.key").write_text(ADMIN_KEY)
    (folder / "endpoint.json").write_text(json.dumps({"url": f"http://127.0.0.1:{servers.free_port()}", "pid": 1}))
    result = call("", "doctor", "--data-dir", str(folder))
    shown = " ".join(result.stdout.split())
    assert result.exit_code == 2
    assert f"`chmod 700 {folder}`" in shown.replace(" -> ", " ")
    assert "no `hybridci up` runs on it" in shown


def test_a_key_for_one_service_is_told_what_it_may_not_see(api: Served) -> None:
    body = {"name": "dev", "grants": [{"role": "developer", "services": ["other"]}]}
    with ApiClient(ApiConnection(api.url, ADMIN_KEY)) as admin:
        secret = str(admin.request("POST", "/api/access/keys", body=body)["key"])
    seen = call(api.url, "status", "--exit-code", key=secret)
    assert seen.exit_code == 0, seen.output
    assert "Of what your key may see: 0 jobs running" in seen.stdout
    assert "Not told: summary (your key may not see it)" in seen.stderr
    parts = {
        each["part"]: each for each in json.loads(call(api.url, "doctor", "--json", key=secret).stdout)["findings"]
    }
    assert parts["agents"]["grade"] == "ok"
    assert parts["requests"]["words"] == "not told: your key may not see it"
