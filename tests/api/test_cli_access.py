"""Keys and the audit trail from the command line, against the real API application over a real socket."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.auth.tokens import read_token
from api.cli.commands import audit
from api.cli.commands.access import key
from tests.api.cli_bench import ADMIN_KEY, Served, environment, served

APPS = {"key": key.app, "audit": audit.app}


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def call(api: Served, *arguments: str, secret: str = ADMIN_KEY, text: str | None = None) -> Result:
    env: dict[str, str | None] = {**environment(api.url, secret), "HYBRIDCI_DATA_DIR": None}
    return CliRunner().invoke(APPS[arguments[0]], list(arguments[1:]), env=env, input=text)


def told(api: Served, *arguments: str) -> Any:
    result = call(api, *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_key_is_made_shown_rotated_and_revoked(api: Served, tmp_path: Path) -> None:
    made = call(
        api, "key", "create", "ci of checkout", "--role", "developer", "--service", "checkout", "--expires", "90d"
    )
    assert made.exit_code == 0, made.output
    token = read_token(made.stdout.strip())
    assert token is not None, "stdout is the key and nothing else"
    assert "developer service checkout" in made.stderr
    assert made.stdout.strip() not in made.stderr
    shown = call(api, "key", "show", token.credential_id)
    assert "key:ci of checkout" in shown.stdout
    assert "by admin" in shown.stdout
    refused = call(api, "key", "list", secret=made.stdout.strip())
    assert refused.exit_code == 2
    assert "needs access:manage, which the role admin has" in refused.stderr
    out = tmp_path / "new.key"
    rotated = call(api, "key", "rotate", token.credential_id, "--overlap", "0", "--out", str(out), "--json")
    assert rotated.exit_code == 0, rotated.output
    assert "key" not in json.loads(rotated.stdout)
    assert out.stat().st_mode & 0o777 == 0o600
    assert read_token(out.read_text().strip()) is not None
    assert call(api, "audit", "list", secret=made.stdout.strip()).exit_code == 2, "its overlap is over"
    new_id = json.loads(rotated.stdout)["key_id"]
    revoked = call(api, "key", "revoke", new_id, token.credential_id, "nothing")
    assert revoked.exit_code == 1
    assert f"{new_id} of key:ci of checkout: revoked" in revoked.stdout
    listed = told(api, "key", "list", "--json")["items"]
    assert [item["key_id"] for item in listed] == [new_id, token.credential_id]
    assert "revoked" in call(api, "key", "list").stdout
    assert "No sessions." in call(api, "key", "list", "--kind", "session").stdout


def test_a_key_is_somebodys_and_one_of_before_is_claimed(api: Served) -> None:
    made = call(api, "key", "create", "bob-laptop", "--role", "approver", "--owner", "bob@example.com")
    assert made.exit_code == 0, made.output
    token = read_token(made.stdout.strip())
    assert token is not None
    assert "bob@example.com" in call(api, "key", "show", token.credential_id).stdout
    late = call(api, "key", "claim", token.credential_id, "--owner", "cat@example.com")
    assert (late.exit_code, "it is bob@example.com's" in late.stderr) == (1, True)
    robot = told(api, "key", "create", "robot", "--role", "developer", "--machine", "--json")
    assert "itself, until an admin claims it" in call(api, "key", "show", robot["key_id"]).stdout
    claimed = call(api, "key", "claim", robot["key_id"], "--owner", "ops", "--machine")
    assert claimed.stdout == f"{robot['key_id']} of key:robot: ops (a machine's)\n", claimed.output


def test_a_key_with_several_grants_comes_from_a_file(api: Served) -> None:
    body = "name: two\ngrants:\n- {role: viewer}\n- {role: operator, pools: [linux]}\n"
    made = call(api, "key", "create", "--file", "-", "--json", text=body)
    assert made.exit_code == 0, made.output
    assert [grant["role"] for grant in json.loads(made.stdout)["grants"]] == ["viewer", "operator"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["key", "create", "x"], "needs a NAME and a --role"),
        (["key", "create", "--role", "viewer"], "needs a NAME and a --role"),
        (["key", "create", "x", "--pool", "linux"], "give --role too"),
        (["key", "create", "x", "--role", "viewer", "--expires", "soon"], "is no duration"),
        (["key", "rotate", "x", "--overlap", "soon"], "is no duration"),
        (["audit", "list", "--since", "soon"], "is no time"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_asked(api: Served, arguments: list[str], words: str) -> None:
    result = call(api, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_the_trail_is_listed_and_exported(api: Served, tmp_path: Path) -> None:
    made = told(api, "key", "create", "trail", "--role", "viewer", "--json")
    listed = told(api, "audit", "list", "--action", "access.key_issued", "--by", "admin", "--since", "1h", "--json")
    assert made["key_id"] in [event["details"]["credential_id"] for event in listed["items"]]
    assert {event["via"] for event in listed["items"]} == {"cli"}
    people = call(api, "audit", "list", "--limit", "1")
    assert "access.key_issued" in people.stdout
    assert "There are more" in people.stderr or listed["next_cursor"] is None
    assert call(api, "audit", "list", "--until", "2020-01-01").stdout == "Nothing.\n"
    out = tmp_path / "trail.jsonl"
    assert call(api, "audit", "export", "--action", "access.", "--out", str(out)).exit_code == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == len(told(api, "audit", "list", "--action", "access.", "--all", "--json"))
    assert call(api, "audit", "export", "--action", "access.").stdout == out.read_text()
    nowhere = call(api, "audit", "export", "--out", str(tmp_path / "no" / "where"))
    assert nowhere.exit_code == 1
    assert "choose another file" in nowhere.stderr
