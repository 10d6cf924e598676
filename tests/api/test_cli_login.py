"""`hybridci login`, `whoami`, `context` and `logout`, against the real API application over a real socket."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from api.cli.main import app
from tests.api.cli_bench import ADMIN_KEY, Served, served
from tests.api.test_cli_status import answering


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


class Home:
    """Somebody's configuration folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def call(self, *words: str, text: str | None = None, **environ: str) -> Result:
        none = dict.fromkeys(("HYBRIDCI_URL", "HYBRIDCI_API_KEY", "HYBRIDCI_DATA_DIR", "HYBRIDCI_CONTEXT"))
        env: dict[str, str | None] = {**none, "XDG_CONFIG_HOME": str(self.folder), **environ}
        return CliRunner().invoke(app, list(words), env=env, input=text)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path / "config")


def test_signing_in_working_and_signing_out(api: Served, home: Home) -> None:
    signed = home.call("login", api.url, "--name", "ours", "--key-file", "-", text=f"{ADMIN_KEY}\n")
    assert signed.exit_code == 0, signed.output
    assert "admin (key)" in signed.stdout
    assert ADMIN_KEY not in signed.output
    assert home.call("job", "list", "--json").exit_code == 0
    who = json.loads(home.call("whoami", "--json").stdout)
    assert (who["subject"], who["context"], who["url"]) == ("admin", "ours", api.url)
    assert "context ours" in home.call("whoami").stdout
    listed = home.call("context", "list").stdout
    assert listed.splitlines()[1].split() == ["*", "ours", api.url, "admin"]
    assert ADMIN_KEY not in home.call("context", "show", "--json").output
    assert home.call("context", "use", "--none").exit_code == 0
    assert home.call("job", "list").exit_code == 2
    assert home.call("--context", "ours", "job", "list").exit_code == 0
    assert home.call("job", "list", HYBRIDCI_CONTEXT="ours").exit_code == 0
    assert home.call("logout", "--name", "ours").exit_code == 0
    assert [path for path in home.folder.rglob("keys/*")] == []
    assert home.call("logout").exit_code == 1


def test_its_name_is_its_host_and_port(api: Served, home: Home) -> None:
    assert home.call("login", urlsplit(api.url).netloc, "--key-file", "-", text=ADMIN_KEY).exit_code == 0
    [name] = json.loads((home.folder / "hybridci" / "contexts.json").read_text())["contexts"]
    assert name == urlsplit(api.url).netloc


@pytest.mark.parametrize(
    ("words", "text", "says"),
    [
        (("--key-file", "-"), "wrong-key", "does not take this key"),
        (("--key-file", "-"), "two words", "holds no API key"),
        (("--key-file", "nothing"), None, "cannot be read"),
        ((), None, "There is no terminal to ask for the key at"),
        (("--name", "../x", "--key-file", "-"), ADMIN_KEY, "is no name"),
    ],
)
def test_what_is_refused_leaves_nothing(
    api: Served, home: Home, words: tuple[str, ...], text: str | None, says: str
) -> None:
    result = home.call("login", api.url, *words, text=text)
    assert result.exit_code == 2
    assert says in result.stderr
    assert (text or "nothing") not in result.stderr.replace("names nothing", "")
    assert not (home.folder / "hybridci").exists()


def test_a_url_with_a_password_is_not_kept(home: Home) -> None:
    result = home.call("login", "https://ann:hunter2@ci.example.com", "--key-file", "-", text=ADMIN_KEY)
    assert result.exit_code == 2
    assert "hunter2" not in result.output


def test_a_key_that_has_ended_names_the_way_back(api: Served, home: Home) -> None:
    assert home.call("login", api.url, "--name", "ours", "--key-file", "-", text=ADMIN_KEY).exit_code == 0
    (home.folder / "hybridci" / "keys" / "ours").write_text("ended")
    result = home.call("job", "list")
    assert result.exit_code == 2
    assert f"sign in anew with `hybridci login {api.url} --name ours`" in result.stderr


@pytest.mark.parametrize("odd", ["null", "[]", "{}", "5", '"x"', '{"subject": 5}', '{"subject": "ann", "kind": "key"}'])
def test_what_is_no_api_of_ours_is_named(home: Home, odd: str) -> None:
    with answering(odd) as url:
        signed = home.call("login", url, "--key-file", "-", text=ADMIN_KEY)
        who = home.call("whoami", HYBRIDCI_URL=url, HYBRIDCI_API_KEY=ADMIN_KEY)
    for result in (signed, who):
        assert (result.exit_code, "is not the hybridci API" in result.stderr) == (2, True), result.output
    assert not (home.folder / "hybridci").exists()
