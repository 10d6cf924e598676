"""The data directory: keys, lock, and the record of the children that a killed `up` left running."""

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from activities.evidence.keys import SealKey, load_public_keys
from api.cli.keys.approval_signing import new_approver_key
from api.cli.keys.key_file import put_first
from api.cli.stack.children import Options, process_specs
from api.cli.stack.data_dir import CannotStart, DataDir, opened
from api.cli.stack.leftovers import Register, end_leftovers


def test_only_the_very_process_on_record_is_ended(tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "processes.json"
    ours, reused, other = (subprocess.Popen(["sleep", "600"]) for _ in range(3))
    register = Register(path)
    for name, process in (("worker", ours), ("agent-1", reused), ("api", other)):
        register.add(name, process.pid, ["sleep", "600"])
    content: Any = json.loads(path.read_text())
    content["children"][1]["born"] -= 1000
    content["children"][2]["command"] = ["something", "else"]
    path.write_text(json.dumps(content))
    try:
        end_leftovers(path, told.append)
        assert not psutil.pid_exists(ours.pid)
        assert reused.poll() is None
        assert other.poll() is None
        assert [f"worker (pid {ours.pid})" in line for line in told] == [True]
        assert not path.exists()
    finally:
        for process in (ours, reused, other):
            process.kill()
            process.wait()


@pytest.mark.parametrize("content", ["", "[]", '{"children": 3}', '{"children": [{"pid": "x"}, 7]}'])
def test_a_damaged_record_ends_nothing(tmp_path: Path, content: str) -> None:
    told: list[str] = []
    (tmp_path / "processes.json").write_text(content)
    end_leftovers(tmp_path / "processes.json", told.append)
    assert told == []


def test_keys_are_made_once_private_and_kept(tmp_path: Path) -> None:
    with opened(tmp_path / "new" / "data") as data:
        keys = [data.admin_key.read_text(), data.agent_key.read_text()]
        assert len(set(keys)) == 2
        assert all(len(key.strip()) >= 40 for key in keys)
        data.admin_key.chmod(0o644)
    with opened(tmp_path / "new" / "data") as data:
        assert [data.admin_key.read_text(), data.agent_key.read_text()] == keys
        assert {stat.S_IMODE(path.stat().st_mode) for path in (data.admin_key, data.agent_key)} == {0o600}
        assert stat.S_IMODE(data.root.stat().st_mode) == 0o700


def test_what_came_with_a_repository_is_no_data_directory(tmp_path: Path) -> None:
    """`up` in a clone took over its `.hybridci`: an admin key that its author knows, a Temporal with jobs to run."""
    root = tmp_path / "clone" / ".hybridci"
    with opened(root):
        pass
    (root / "admin.key").write_text("known-to-the-author\n")
    subprocess.run(["git", "init", "-q"], cwd=root.parent, check=True)
    with opened(root):  # a repository that does not keep it is fine
        pass
    subprocess.run(["git", "add", "-f", ".hybridci/admin.key"], cwd=root.parent, check=True)
    with pytest.raises(CannotStart, match="is part of a repository of git"), opened(root):
        raise AssertionError("not reached")
    root.chmod(0o755)
    with pytest.raises(CannotStart, match="open to others, as `hybridci up` leaves no data directory"), opened(root):
        raise AssertionError("not reached")


def test_the_key_of_seals_has_its_public_half_beside_it_and_a_newer_one_gets_its_own(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as data:
        first = SealKey.load(data.seal_key)
        assert first is not None
        assert load_public_keys(data.seal_public_keys) == {first.key_id: first.public_key}
        assert {stat.S_IMODE(path.stat().st_mode) for path in (data.seal_key, data.seal_public_keys)} == {0o600}
    put_first(data.seal_key, new_approver_key()[0])
    with opened(tmp_path / "data") as data:
        second = SealKey.load(data.seal_key)
        assert second is not None
        assert second.key_id != first.key_id
        assert (load_public_keys(data.seal_public_keys) or {}).keys() == {first.key_id, second.key_id}
    data.seal_key.write_text("no key\n")
    with pytest.raises(CannotStart, match=r"seal\.key holds something that is no key"), opened(tmp_path / "data"):
        raise AssertionError("not reached")


def test_the_worker_gets_the_private_key_and_the_api_the_public_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataDir(tmp_path)
    specs = {spec.name: spec.env for spec in process_specs(Options(), data)}
    private, public = "HYBRIDCI_SEAL_KEY_FILE", "HYBRIDCI_SEAL_PUBLIC_KEYS_FILE"
    assert {name for name, env in specs.items() if private in env} == {"worker"}
    assert {name for name, env in specs.items() if public in env} == {"api"}
    assert specs["worker"]["HYBRIDCI_SEALS_FILE"] == str(tmp_path / "seals.jsonl")
    monkeypatch.setenv(private, "/own/seal.key")
    monkeypatch.setenv("HYBRIDCI_SEALS_URL", "https://example.com/seals")
    specs = {spec.name: spec.env for spec in process_specs(Options(), data)}
    assert (specs["worker"][private], public in specs["api"]) == ("/own/seal.key", False)
    assert specs["worker"]["HYBRIDCI_SEALS_URL"] == "https://example.com/seals"


def test_a_data_directory_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with opened(folder), pytest.raises(CannotStart, match="already runs"), opened(folder):
        pass
    with opened(folder) as data:
        assert data == DataDir(folder)
