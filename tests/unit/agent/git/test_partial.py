"""Partial clones: what a filter leaves out, that a commit is whole all the same, and where the rest is found."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.git.cache import GitCache, WantedCommit
from agent.git.checkout import Checkout
from agent.git.loopback import readable
from tests.unit.agent.git.test_loopback import PROTOCOLS, WORD, Step
from tests.unit.private_git import PASSWORD, PrivateGit, knows_password, private_git
from tests.unit.repositories import Into, Repository
from workflows.contracts.workspace.checkout import CheckoutOptions

OLD, OTHER, NEW, LARGE = "old " * 500, "other " * 500, "new " * 500, "large " * 4000


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "served").mkdir()
    made = Repository(tmp_path / "served" / "shop")
    (made.path / "deep" / "er").mkdir(parents=True)
    return made


@pytest.fixture
def private(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateGit]:
    with private_git(repository.path.parent) as server:
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(knows_password(tmp_path / "agents.gitconfig", server.url)))
        yield server


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "cache", allowed_protocols=PROTOCOLS)


def found(copy: Path, name: str) -> bool:
    env = {"PATH": os.environ["PATH"], "GIT_DIR": str(copy), "GIT_ALLOW_PROTOCOL": "none"}
    return subprocess.run(["git", "cat-file", "-e", name], env=env, capture_output=True, check=False).returncode == 0


def copy_of(tmp_path: Path, url: str, sha: str, filter: str) -> Path:
    return GitCache(tmp_path / "cache", PROTOCOLS).path(WantedCommit(url, sha, "main", None, filter))


@pytest.mark.parametrize("filter", ["blob:none", "tree:0", "blob:limit=1k"])
async def test_a_commit_is_whole_and_its_past_is_not_here(
    filter: str, private: PrivateGit, repository: Repository, tmp_path: Path, checkout: Checkout
) -> None:
    into = Into(tmp_path)
    repository.commit(**{"a": OLD, "deep/er/b": OTHER})
    sha = repository.commit(**{"a": NEW, "deep/er/c": LARGE})
    url, options = f"{private.url}/shop/.git", CheckoutOptions(filter=filter)
    workspace = await into(checkout, url, sha, "main", options=options)
    assert [(workspace / name).read_text() for name in ("a", "deep/er/b", "deep/er/c")] == [NEW, OTHER, LARGE]
    assert b"objects that the filter had left out" in into.log
    copy = copy_of(tmp_path, url, sha, filter)
    assert found(copy, f"{sha}:a")
    assert not found(copy, f"{sha}~1:a"), "the file as it was is left out"
    settings = "".join(file.read_text(errors="replace") for file in (copy / "config", workspace / ".git" / "config"))
    assert PASSWORD not in settings

    asked = len(private.asked)
    again = await into(checkout, url, sha, "main", options=options)
    assert (again / "a").read_text() == NEW
    assert len(private.asked) == asked, "a second checkout asks nobody"
    newer = repository.commit(a="newest")
    assert ((await into(checkout, url, newer, "main", options=options)) / "a").read_text() == "newest"


async def test_a_step_finds_what_was_left_out_where_it_may_read(
    private: PrivateGit, repository: Repository, tmp_path: Path, checkout: Checkout
) -> None:
    repository.commit(a=OLD)
    sha = repository.commit(a=NEW)
    url = f"{private.url}/shop/.git"
    workspace = await Into(tmp_path)(checkout, url, sha, "main", options=CheckoutOptions(filter="blob:none"))
    own = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    code, said = await Step(workspace, own).run("git", "show", "HEAD~1:a")
    assert (code, "could not read Username" in said) == (128, True)
    async with readable([url], word=WORD, protocols=PROTOCOLS, cookie="job-1-git", env=own) as more:
        assert (await Step(workspace, {**own, **more}).git("show", "HEAD~1:a")).startswith(OLD.strip())


async def test_with_depth_tags_and_a_copy_that_lost_files(
    private: PrivateGit, repository: Repository, tmp_path: Path, checkout: Checkout
) -> None:
    sha = [repository.commit(a=f"{number} " * 500) for number in range(4)][-1]
    repository.git("tag", "v1")
    url, into = f"{private.url}/shop/.git", Into(tmp_path)
    options = CheckoutOptions(filter="blob:none", depth=2, tags=True)
    workspace = await into(checkout, url, sha, "main", options=options)
    assert (workspace / "a").read_text() == "3 " * 500
    assert (workspace / ".git" / "packed-refs").read_text().endswith(" refs/tags/v1\n")
    copy = GitCache(tmp_path / "cache", PROTOCOLS).path(WantedCommit(url, sha, "main", 2, "blob:none"))
    shutil.rmtree(copy / "objects" / "pack")
    assert ((await into(checkout, url, sha, "main", options=options)) / "a").read_text() == "3 " * 500


async def test_a_server_that_knows_no_filters_sends_all(
    repository: Repository, tmp_path: Path, checkout: Checkout
) -> None:
    repository.commit(a=OLD)
    sha = repository.commit(a=NEW)
    options = CheckoutOptions(filter="blob:none")
    workspace = await Into(tmp_path)(checkout, repository.url, sha, "main", options=options)
    assert (workspace / "a").read_text() == NEW
    assert found(copy_of(tmp_path, repository.url, sha, "blob:none"), f"{sha}~1:a")


@pytest.mark.parametrize(
    "filter", ["sparse:oid=main:x", "combine:blob:none", "blob:limit=-1", "tree:", "blob:none --x", ""]
)
def test_only_filters_that_name_nothing_of_the_repository(filter: str) -> None:
    with pytest.raises(ValidationError, match="filter"):
        CheckoutOptions(filter=filter)


def test_left_out_it_is_not_in_what_agents_get() -> None:
    assert "filter" not in CheckoutOptions(tags=True).model_dump()
