"""Files of other jobs on their way into a workspace: whole, checked, and never through a link."""

import hashlib
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.artifacts.inputs import InputsFailed, fetch_inputs
from agent.control.api import ControlPlane
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.workspace.inputs import InputFile, InputFileList, InputFiles

DATA = b"some bytes\n"


def attempt() -> AttemptInput:
    return AttemptInput(
        job_id="j", attempt=1, job_type="t", pool="default", git_repo="https://x/y", git_commit_sha="a" * 40,
        timeout_seconds=5, inputs=[InputFiles(job="0000", attempt=1)],
    )  # fmt: skip


def file(to: str, **changes: Any) -> InputFile:
    fields = {"index": 0, "path": to, "to": to, "size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest()}
    return InputFile.model_validate({**fields, **changes})


async def fetch(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, *files: InputFile, failures: int = 0, **listed: Any
) -> list[str]:
    left, said = [failures], list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        if left[0]:
            left[0] -= 1
            return httpx.Response(503)
        if request.url.path.endswith("/inputs"):
            return httpx.Response(200, text=InputFileList(items=list(files), **listed).model_dump_json())
        return httpx.Response(200, content=DATA)

    plane = ControlPlane("http://api.invalid", "key", connections=2)
    client = httpx.AsyncClient(base_url="http://api.invalid", transport=httpx.MockTransport(answer))
    monkeypatch.setattr(plane, "_client", client)
    async with client:
        await fetch_inputs(plane, attempt(), workspace, said.append)
    return said


async def test_files_arrive_with_their_folders_and_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = file("in/dist/a"), file("run", executable=True)
    said = await fetch(tmp_path, monkeypatch, *files, failures=2)
    assert (tmp_path / "in" / "dist" / "a").read_bytes() == DATA
    assert os.access(tmp_path / "run", os.X_OK)
    assert not os.access(tmp_path / "in" / "dist" / "a", os.X_OK)
    assert said == ["[hybridci] 2 files of other jobs, 22 bytes."]


@pytest.mark.parametrize("changes", [{"sha256": "0" * 64}, {"size": 5}, {"size": 500}])
async def test_what_is_not_as_recorded_is_not_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    with pytest.raises(InputsFailed, match="not what its record says") as failed:
        await fetch(tmp_path, monkeypatch, file("a", **changes))
    assert (failed.value.cause, failed.value.retryable) == ("inputs_missing", False)
    assert os.listdir(tmp_path) == []


async def test_no_link_of_the_commit_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, outside = tmp_path / "w", tmp_path / "outside"
    workspace.mkdir()
    outside.mkdir()
    (workspace / "in").symlink_to(outside)
    (outside / "target").write_text("kept")
    (workspace / "link").symlink_to(outside / "target")
    with pytest.raises(InputsFailed, match="a file or a link at in"):
        await fetch(workspace, monkeypatch, file("in/a"))
    assert [each.name for each in outside.iterdir()] == ["target"]
    await fetch(workspace, monkeypatch, file("link"))
    assert (outside / "target").read_text() == "kept"
    assert (workspace / "link").read_bytes() == DATA


@pytest.mark.parametrize("to", ["../a", "/etc/a", "a//b", "a/../../b", ""])
async def test_no_path_leads_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    with pytest.raises(InputsFailed, match="no path inside the workspace"):
        await fetch(tmp_path, monkeypatch, file(to))


@pytest.mark.parametrize("to", [".git/hooks/x", "src/.git/config", "src/.GIT/config", "src/.git", "a/.Git/b"])
async def test_git_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    """An operator's hook that ran `git status` in such a folder ran what its config said, as the agent's user."""
    with pytest.raises(InputsFailed, match="of a repository's own folder"):
        await fetch(tmp_path, monkeypatch, file(to))


async def test_what_is_missing_is_for_good_and_a_silent_api_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputsFailed, match="left no file like dist") as missing:
        await fetch(tmp_path, monkeypatch, missing=["input 1: job j left no file like dist/*"])
    assert not missing.value.retryable
    monkeypatch.setattr("agent.artifacts.inputs._FETCH_SECONDS", 0.3)
    with pytest.raises(InputsFailed) as away:
        await fetch(tmp_path, monkeypatch, file("a"), failures=1000)
    assert (away.value.cause, away.value.retryable) == ("inputs_unreachable", True)
