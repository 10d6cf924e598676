"""Contexts: files for their owner only, and which API counts."""

import json
import threading
from pathlib import Path

import pytest

from api.cli.client.connection import USAGE, CliError, find_connection
from api.cli.client.contexts import Contexts, SavedApi, UnusableContexts, forget, put, use
from api.cli.client.http import ApiClient

PROD, TEST = SavedApi("prod", "https://ci.example.com", "key:ann"), SavedApi("test", "https://test.example.com")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "hybridci"


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path), **more}


def test_a_context_and_its_key_are_for_their_owner_only(folder: Path) -> None:
    put(PROD, "secret")
    put(TEST, "other")
    found = Contexts.read()
    assert (found.used, found.current) == ("test", TEST)
    assert dict(found.known) == {"prod": PROD, "test": TEST}
    assert "secret" not in (folder / "contexts.json").read_text()
    assert {path.stat().st_mode & 0o777 for path in (folder, folder / "keys")} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}
    use("prod")
    forget("test")
    assert Contexts.read().used == "prod"
    assert [path.name for path in (folder / "keys").iterdir()] == ["prod"]
    forget("prod")
    assert Contexts.read() == Contexts(folder, {})


def test_what_counts(tmp_path: Path) -> None:
    put(TEST, "t")
    put(PROD, "p")
    local = tmp_path / ".hybridci"
    local.mkdir(mode=0o700)
    for name, content in (("endpoint.json", json.dumps({"url": "http://127.0.0.1:8000"})), ("admin.key", "local\n")):
        (local / name).write_text(content)
        (local / name).chmod(0o600)
    remote = {"HYBRIDCI_URL": "https://env.example", "HYBRIDCI_API_KEY": "e"}

    def key(*data_dir: Path, **more: str) -> str:
        return find_connection(*data_dir, environ=environ(tmp_path, **more), cwd=tmp_path).key

    assert key() == "p", "the context in use, before what is in the folder"
    assert key(HYBRIDCI_DATA_DIR=str(local)) == "local"
    assert key(**remote) == "e"
    assert key(**remote, HYBRIDCI_CONTEXT="test") == "t"
    assert key(local, **remote, HYBRIDCI_CONTEXT="test") == "local"
    assert key(HYBRIDCI_API_KEY="e") == "p", "a context's URL gets its own key only"
    use(None)
    assert key() == "local"
    assert key(HYBRIDCI_CONTEXT="prod") == "p"


def test_suggestions_name_a_context_that_was_named(tmp_path: Path) -> None:
    put(PROD, "p")
    used = ApiClient(find_connection(environ=environ(tmp_path), cwd=tmp_path))
    named = ApiClient(find_connection(environ=environ(tmp_path, HYBRIDCI_CONTEXT="prod"), cwd=tmp_path))
    assert used.command("job list") == "hybridci job list"
    assert named.command("job list") == "hybridci --context prod job list"
    assert named.reachable("Do `hybridci job list`.") == "Do `hybridci --context prod job list`."


def test_what_is_lacking_is_said(folder: Path, tmp_path: Path) -> None:
    put(PROD, "p")
    (folder / "keys" / "prod").unlink()
    for more, words in (
        ({}, "Sign in anew: `hybridci login https://ci.example.com --name prod`"),
        ({"HYBRIDCI_CONTEXT": "pord"}, "There is no context 'pord'; there are prod."),
    ):
        with pytest.raises(CliError) as caught:
            find_connection(environ=environ(tmp_path, **more), cwd=tmp_path)
        assert words in caught.value.message
        assert caught.value.exit_code == USAGE
    (folder / "contexts.json").write_text("{")
    with pytest.raises(UnusableContexts, match="it is no JSON"):
        Contexts.read()
    (folder / "contexts.json").write_text('{"use": 7, "contexts": {"a": 1, "../b": {"url": "u"}, "c": {"url": "u"}}}')
    assert dict(Contexts.read().known) == {"c": SavedApi("c", "u")}
    assert Contexts.read({}).current is None, "a process without a home has none"


def test_two_at_once_lose_nothing() -> None:
    names = [f"n{number}" for number in range(12)]
    threads = [threading.Thread(target=put, args=(SavedApi(name, "https://x.example"), name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Contexts.read().known) == sorted(names)
