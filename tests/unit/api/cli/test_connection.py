"""Where the command line finds the API and its key."""

import json
import subprocess
from pathlib import Path

import httpx
import pytest

from api.cli.client.connection import USAGE, CliError, find_connection, find_keyless_connection
from api.cli.client.http import ApiClient


def data_dir(folder: Path, url: str = "http://127.0.0.1:8000", key: str = "local-key") -> Path:
    folder.mkdir(parents=True, mode=0o700)
    for name, content in (("admin.key", f"{key}\n"), ("endpoint.json", json.dumps({"url": url}))):
        (folder / name).write_text(content)
        (folder / name).chmod(0o600)
    return folder


def in_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the folder that one stands in says where the API is."""
    monkeypatch.chdir(folder)
    for name in ("HYBRIDCI_URL", "HYBRIDCI_DATA_DIR", "HYBRIDCI_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_the_nearest_data_dir_above(tmp_path: Path) -> None:
    data_dir(tmp_path / ".hybridci")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    found = find_connection(environ={}, cwd=below)
    assert (found.url, found.key, found.arguments, found.local) == ("http://127.0.0.1:8000", "local-key", "", True)


def test_a_folder_that_came_with_a_repository_gets_no_key(tmp_path: Path) -> None:
    """A clone held an address and a link to the key of a context: `job list` there sent that key to that address."""
    mine = tmp_path / "keys"
    mine.write_text("of-production\n")
    folder = data_dir(tmp_path / "clone" / ".hybridci", "http://127.0.0.1:8098")
    (folder / "admin.key").unlink()
    (folder / "admin.key").symlink_to(mine)
    with pytest.raises(CliError, match=r"admin\.key is not as `hybridci up` makes it"):
        find_connection(environ={}, cwd=folder.parent)
    (folder / "admin.key").unlink()
    for name, mode in (("endpoint.json", 0o644), ("", 0o755)):
        (folder / name).chmod(mode)
        with pytest.raises(CliError, match="nothing is sent where it says"):
            find_connection(environ={"HYBRIDCI_API_KEY": "of-production"}, cwd=folder.parent)
        (folder / name).chmod(0o700)


@pytest.mark.parametrize("of_its_own", [False, True], ids=["files", "submodule"])
def test_a_folder_of_a_clone_is_sent_nothing_whatever_the_umask_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_its_own: bool
) -> None:
    """With umask 077 a clone's folder was its owner's alone: `job list` sent HYBRIDCI_API_KEY to the address in it."""
    folder = data_dir(tmp_path / "clone" / ".hybridci", "http://ci.attacker.example")

    def git(where: Path, *words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", *who, *words], cwd=where, check=True, capture_output=True)

    if of_its_own:
        git(folder, "init", "-q")
        git(folder, "add", ".")
        git(folder, "commit", "-qm", "one")
    git(folder.parent, "init", "-q")
    git(folder.parent, "add", "-f", ".hybridci")
    with pytest.raises(CliError, match="came with a repository of git, so nothing is sent"):
        find_connection(environ={"HYBRIDCI_API_KEY": "of-production"}, cwd=folder.parent)
    assert find_connection(folder, environ={}).key == "local-key"
    in_folder(folder.parent, tmp_path, monkeypatch)
    with pytest.raises(CliError, match="came with a repository of git, so nothing is sent"):
        find_keyless_connection()


def test_an_id_token_is_not_sent_where_a_clone_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`token exchange` and `login` looked at nothing but the address in the folder."""
    folder = data_dir(tmp_path / "clone" / ".hybridci", "http://ci.attacker.example")
    folder.chmod(0o755)  # as git checks folders out
    in_folder(folder.parent, tmp_path, monkeypatch)
    with pytest.raises(CliError, match="is not as `hybridci up` makes it"):
        find_keyless_connection()
    assert find_keyless_connection(folder).url == "http://ci.attacker.example"


def test_option_beats_environment_beats_folder(tmp_path: Path) -> None:
    data_dir(tmp_path / ".hybridci", key="here")
    named = data_dir(tmp_path / "named dir", key="named")
    variables = {"HYBRIDCI_DATA_DIR": str(data_dir(tmp_path / "variable", key="variable"))}
    remote = {"HYBRIDCI_URL": "https://ci.example/", "HYBRIDCI_API_KEY": "remote"}
    assert find_connection(environ={}, cwd=tmp_path).key == "here"
    assert find_connection(environ=variables, cwd=tmp_path).key == "variable"
    found = find_connection(environ=variables | remote, cwd=tmp_path)
    assert (found.url, found.key, found.local) == ("https://ci.example", "remote", False)
    found = find_connection(named, environ=variables | remote, cwd=tmp_path)
    assert (found.key, found.arguments) == ("named", f" --data-dir '{named}'")


def test_a_key_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    environ = {"HYBRIDCI_URL": "http://ci.example:1", "HYBRIDCI_API_KEY_FILE": str(tmp_path / "key")}
    assert find_connection(environ=environ, cwd=tmp_path).key == "secret"


def test_a_local_key_is_not_sent_to_a_url_from_the_environment(tmp_path: Path) -> None:
    data_dir(tmp_path / ".hybridci")
    with pytest.raises(CliError, match="HYBRIDCI_API_KEY is not") as caught:
        find_connection(environ={"HYBRIDCI_URL": "http://elsewhere.example"}, cwd=tmp_path)
    assert caught.value.exit_code == USAGE


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("endpoint.json", None, "hybridci up --data-dir"),
        ("endpoint.json", "{", "cannot be read"),
        ("endpoint.json", "[]", "names no url"),
        ("endpoint.json", '{"url": "ftp://x"}', "no http:// or https:// URL"),
        ("endpoint.json", '{"url": "http://x:99999"}', "no http:// or https:// URL"),
        ("admin.key", None, "No such file"),
        ("admin.key", "two words", "holds no API key"),
        ("admin.key", "", "holds no API key"),
    ],
)
def test_what_is_wrong_with_a_data_dir(tmp_path: Path, file: str, content: str | None, message: str) -> None:
    folder = data_dir(tmp_path / "d")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(CliError, match=message) as caught:
        find_connection(folder, environ={}, cwd=tmp_path)
    assert caught.value.exit_code == USAGE


def test_nothing_anywhere(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="hybridci up") as caught:
        find_connection(environ={}, cwd=tmp_path)
    assert caught.value.exit_code == USAGE


@pytest.mark.parametrize("url", ["https://ci.example", "HTTPS://ci.example"])
def test_a_servers_certificate_is_checked_however_https_is_written(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    contexts: list[object] = []

    class Client:
        def __init__(self, *, verify: object, **_: object) -> None:
            contexts.append(verify)

    monkeypatch.setattr(httpx, "Client", Client)
    ApiClient(find_connection(environ={"HYBRIDCI_URL": url, "HYBRIDCI_API_KEY": "k"}, cwd=tmp_path))
    ApiClient(find_connection(environ={"HYBRIDCI_URL": "http://ci.example", "HYBRIDCI_API_KEY": "k"}, cwd=tmp_path))
    assert contexts == [True, False]


def test_a_route_beside_a_command_is_for_programs() -> None:
    connection = find_connection(environ={"HYBRIDCI_URL": "https://ci.example", "HYBRIDCI_API_KEY": "k"})
    said = (
        "Again: `hybridci deploy start shop --version 1.4`, POST /api/dashboard/deployments. Or back: "
        "`hybridci deploy rollback shop --reason …`, POST /api/dashboard/services/shop/environments/live/rollback."
    )
    with ApiClient(connection) as api:
        assert api.reachable(said) == (
            "Again: `hybridci deploy start shop --version 1.4`. Or back: `hybridci deploy rollback shop --reason …`."
        )
        alone = "POST /api/queue/maintenance/requeue-expired closes it."
        assert api.reachable(alone) == alone, "there is no command for it"
