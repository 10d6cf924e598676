"""Checking out from real repositories: exact, fast, at once, interrupted, from a damaged cache."""

import asyncio
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.git.checkout import Checkout
from tests.unit.processes import alive, pid_in, until
from tests.unit.repositories import Into, Repository, cache_of, holding, output


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "cache")


@pytest.fixture
def into(tmp_path: Path) -> Into:
    return Into(tmp_path)


async def test_exactly_the_commit_is_checked_out(repository: Repository, checkout: Checkout, into: Into) -> None:
    first = repository.commit(a="1", b="x")
    (repository.path / "b").unlink()
    second = repository.commit(a="2")
    one, two = await into(checkout, repository.url, first, "main"), await into(checkout, repository.url, second)
    assert ((one / "a").read_text(), (one / "b").read_text()) == ("1", "x")
    assert ((two / "a").read_text(), (two / "b").exists()) == ("2", False)
    assert output("git", "status", "--short", folder=one) == ""
    assert output("git", "remote", "get-url", "origin", folder=one) == repository.url
    assert f"HEAD is now at {second}".encode() in into.log


async def test_every_checkout_of_a_commit_leaves_the_same(
    repository: Repository, checkout: Checkout, into: Into
) -> None:
    (repository.path / "folder").mkdir()
    (repository.path / "folder" / "script").write_text("#!/bin/sh\n")
    (repository.path / "folder" / "script").chmod(0o755)
    (repository.path / "link").symlink_to("a")
    sha = repository.commit(a="1", **{".gitattributes": "crlf text eol=crlf\n", "crlf": "x\n"})
    files, seen = dict[str, object](), list[tuple[object, ...]]()
    for _ in range(3):
        workspace = await into(checkout, repository.url, sha)
        files = {
            str(path.relative_to(workspace)): (path.lstat().st_mode, path.is_symlink() or path.read_bytes())
            for path in workspace.rglob("*")
            if not path.is_relative_to(workspace / ".git") and (path.is_symlink() or path.is_file())
        }
        git = (
            ("status", "--short", "--branch"), ("rev-parse", "HEAD"), ("ls-files", "--stage"), ("log", "--oneline"),
            ("status",), ("branch",), ("reflog",),
        )  # fmt: skip
        seen.append((files, *(output("git", *words, folder=workspace) for words in git)))
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][1:3] == ("## HEAD (no branch)", sha)
    assert set(files) == {"a", ".gitattributes", "crlf", "folder/script", "link"}


async def test_a_known_commit_needs_neither_the_repository_nor_a_second_git(
    repository: Repository, checkout: Checkout, into: Into, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = repository.commit(a="1")
    await into(checkout, repository.url, sha)
    repository.path.rename(tmp_path / "away")
    count = tmp_path / "count"
    shim = tmp_path / "bin" / "git"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\necho "$@" >> {count}\nexec {shutil.which("git")} "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    workspace = await into(checkout, repository.url, sha)
    assert (workspace / "a").read_text() == "1"
    assert len(count.read_text().splitlines()) == 1


async def test_a_sha256_repository(tmp_path: Path, checkout: Checkout, into: Into, repository: Repository) -> None:
    modern = Repository(tmp_path / "modern", object_format="sha256")
    sha = modern.commit(a="1")
    assert len(sha) == 64
    assert ((await into(checkout, modern.url, sha, "main")) / "a").read_text() == "1"
    repository.commit(a="1")
    assert not (await into.error(checkout, repository.url, sha)).retryable


async def test_what_a_job_does_with_git_never_reaches_the_cache(
    repository: Repository, checkout: Checkout, into: Into
) -> None:
    sha = repository.commit(a="1")
    workspace = await into(checkout, repository.url, sha)
    script = (
        "git config gc.auto 1 && git config user.name x && git config user.email x@example.com && echo 2 > a"
        " && git commit -qam two && git fetch -q origin && git gc -q --prune=now && git repack -adq"
        " && rm -rf .git/objects"
    )
    output("bash", "-ec", script, folder=workspace)
    assert ((await into(checkout, repository.url, sha)) / "a").read_text() == "1"


async def test_a_server_that_hands_out_no_bare_commits(
    repository: Repository, checkout: Checkout, into: Into, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[protocol]\n\tversion = 0\n")  # version 2 hands out any object
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    first = repository.commit(a="1")
    repository.git("branch", "feature/x")
    second = repository.commit(a="2")
    repository.commit(a="3")
    assert ((await into(checkout, repository.url, second, "main")) / "a").read_text() == "2"
    assert ((await into(checkout, repository.url, first, "no-such-branch")) / "a").read_text() == "1"
    repository.git("tag", "lonely", repository.git("commit-tree", "HEAD^{tree}", "-m", "on no branch"))
    lonely = repository.git("rev-parse", "lonely")
    assert ((await into(checkout, repository.url, lonely)) / "a").read_text() == "3"
    repository.git("branch", "-m", "feature/x", "feature")  # now `feature` and `feature/x` are in each other's way
    last = repository.git("commit-tree", "HEAD^{tree}", "-m", "last")
    repository.git("update-ref", "refs/heads/feature", last)
    assert ((await into(checkout, repository.url, last)) / "a").read_text() == "3"


async def test_a_shallow_clone_as_the_repository(
    repository: Repository, checkout: Checkout, into: Into, tmp_path: Path
) -> None:
    repository.commit(a="1")
    sha = repository.commit(a="2")
    repository.git("clone", "-q", "--depth", "1", repository.url, str(tmp_path / "shallow"))
    workspace = await into(checkout, f"file://{tmp_path}/shallow", sha)
    assert (workspace / "a").read_text() == "2"
    assert output("git", "log", "--format=%H", folder=workspace) == sha


async def test_an_unknown_commit(repository: Repository, checkout: Checkout, into: Into) -> None:
    repository.commit(a="1")
    error = await into.error(checkout, repository.url, "d" * 40, "main")
    assert (error.cause, error.retryable) == ("unknown_commit", False)
    assert "d" * 40 in error.message


async def test_only_a_commit_will_do(repository: Repository, checkout: Checkout, into: Into) -> None:
    repository.commit(a="1")
    repository.git("tag", "-a", "v1", "-m", "v1")
    assert (await into.error(checkout, repository.url, repository.git("rev-parse", "v1"))).cause == "unknown_commit"
    assert (await into.error(checkout, repository.url, repository.git("rev-parse", "HEAD^{tree}"))).retryable is False


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("url", ["https://127.0.0.1:{}/x.git", "ssh://git@127.0.0.1:{}/x.git", "https://no.invalid/x"])
async def test_an_unreachable_server(url: str, checkout: Checkout, into: Into) -> None:
    error = await into.error(checkout, url.format(closed_port()), "d" * 40)
    assert (error.cause, error.retryable) == ("repository_unreachable", True), error.message


async def test_a_repository_that_is_not_there(tmp_path: Path, checkout: Checkout, into: Into) -> None:
    error = await into.error(checkout, f"file://{tmp_path}/nowhere", "d" * 40)
    assert (error.cause, error.retryable) == ("repository_not_found", False), error.message


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
async def test_a_repository_of_another_user(
    repository: Repository, checkout: Checkout, into: Into, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    sha = repository.commit(a="1")
    for path in (repository.path, *repository.path.rglob("*")):
        os.chown(path, 12345, 12345)
    error = await into.error(checkout, repository.url, sha)
    assert (error.cause, error.retryable) == ("repository_owner", False)
    assert "safe.directory" in error.message


async def test_twenty_checkouts_at_once_by_two_agents(repository: Repository, into: Into, tmp_path: Path) -> None:
    commits = [repository.commit(a=str(number)) for number in range(5)]
    agents = [Checkout(tmp_path / "cache"), Checkout(tmp_path / "cache")]
    workspaces = await asyncio.gather(
        *(into(agents[number % 2], repository.url, commits[number % 5], "main") for number in range(20))
    )
    assert [(path / "a").read_text() for path in workspaces] == [str(number % 5) for number in range(20)]
    output("git", "fsck", "--strict", folder=cache_of(tmp_path))


def _truncate_pack(cache: Path) -> None:
    for pack in cache.rglob("*.pack"):
        pack.chmod(0o600)
        os.truncate(pack, pack.stat().st_size // 2)


def _garble_objects(cache: Path) -> None:
    for file in (cache / "objects").rglob("*"):
        if file.is_file() and file.suffix != ".idx":
            file.chmod(0o600)
            data = bytearray(file.read_bytes())
            data[len(data) // 3 : len(data) // 2] = b"\xa5" * (len(data) // 2 - len(data) // 3)
            file.write_bytes(data)


def _remove_head(cache: Path) -> None:
    (cache / "HEAD").unlink()


def _bad_ref(cache: Path) -> None:
    for ref in (cache / "refs" / "jobs").iterdir():
        ref.write_text("f" * 40 + "\n")


def _stale_locks(cache: Path) -> None:
    for name in ("packed-refs.lock", "config.lock", "HEAD.lock", "shallow.lock", "objects/pack/tmp_pack_x"):
        (cache / name).parent.mkdir(exist_ok=True, parents=True)
        (cache / name).touch()
    for ref in list((cache / "refs" / "jobs").iterdir()):
        ref.with_name(ref.name + ".lock").touch()


@pytest.mark.parametrize("damage", [_truncate_pack, _garble_objects, _remove_head, _bad_ref, _stale_locks])
async def test_a_damaged_cache_is_replaced(
    damage: Callable[[Path], None], repository: Repository, checkout: Checkout, into: Into, tmp_path: Path
) -> None:
    for number in range(60):
        (repository.path / f"file-{number}").write_text(str(number) * 100)
        (repository.path / f"other-{number}").write_text(f"other {number} " * 50)
    first = repository.commit(a="1")
    await into(checkout, repository.url, first, "main")
    assert list(cache_of(tmp_path).rglob("*.pack"))
    damage(cache_of(tmp_path))
    second = repository.commit(a="2")
    for sha, text in ((first, "1"), (second, "2")):
        workspace = await into(checkout, repository.url, sha, "main")
        assert (workspace / "a").read_text() == text
        assert (workspace / "file-59").read_text() == "59" * 100
    if damage is _garble_objects:
        assert b"fetched anew" in into.log


async def test_cancelling_a_fetch_kills_git_and_leaves_the_cache_usable(
    repository: Repository, checkout: Checkout, into: Into, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = repository.commit(a="1")
    started, go_on = tmp_path / "started", tmp_path / "go-on"
    upload_pack = tmp_path / "git-upload-pack"
    upload_pack.write_text(
        f"#!/bin/sh\necho $$ > {started}.new; mv {started}.new {started}\n"
        f'while [ ! -e {go_on} ]; do sleep 0.05; done\nexec git upload-pack "$@"\n'
    )
    upload_pack.chmod(0o755)
    config = tmp_path / "gitconfig"
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\nfor last; do :; done\nexec sh -c "{upload_pack} ${{last#git-upload-pack }}"\n')
    ssh.chmod(0o755)
    config.write_text(f"[core]\n\tsshCommand = {ssh}\n[ssh]\n\tvariant = ssh\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    url = f"ssh://git@host{repository.path}"
    running = asyncio.create_task(into(checkout, url, sha))
    await until(started.exists)
    pid = pid_in(started)
    waiting = asyncio.create_task(into(checkout, url, sha))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not alive(pid)
    go_on.touch()
    assert ((await waiting) / "a").read_text() == "1"


async def test_a_checkout_takes_no_longer_than_it_may(repository: Repository, checkout: Checkout, into: Into) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and says nothing
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/x.git"
        first = asyncio.create_task(into.error(checkout, url, "d" * 40, None, 1.0))
        second = asyncio.create_task(into.error(checkout, url, "d" * 40, None, 0.5))  # waits for the first one's lock
        began = time.monotonic()
        errors = await asyncio.gather(first, second)
    assert [(error.cause, error.retryable) for error in errors] == [("checkout_timeout", True)] * 2
    assert time.monotonic() - began < 30


async def test_an_agent_waits_for_the_git_of_a_killed_agent(
    repository: Repository, checkout: Checkout, into: Into, tmp_path: Path
) -> None:
    """The lock is the open file's, which git inherits: it ends with the last git, not with the agent."""
    sha = repository.commit(a="1")
    await into(checkout, repository.url, sha)
    newer = repository.commit(a="2")
    lock = cache_of(tmp_path).with_name(cache_of(tmp_path).name + ".lock")
    with holding(lock):
        waiting = asyncio.create_task(into(checkout, repository.url, newer))
        assert ((await into(checkout, repository.url, sha)) / "a").read_text() == "1"  # readers take no lock
        assert not waiting.done()
    assert ((await waiting) / "a").read_text() == "2"
