"""Submodules, tags, depth and LFS of real repositories; what nobody asked for is said."""

import shutil
from pathlib import Path

import pytest

from agent.git.checkout import Checkout
from agent.git.errors import CheckoutError
from agent.git.submodules import require_own_place, resolved
from tests.unit.repositories import Into, Repository, found, output
from workflows.contracts.workspace.checkout import CheckoutOptions

ALL = CheckoutOptions(submodules=True, tags=True)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def library(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "library")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "cache")


@pytest.fixture
def into(tmp_path: Path) -> Into:
    return Into(tmp_path)


def link(repository: Repository, sha: str, path: str, url: str, name: str | None = None) -> str:
    """A commit with one more submodule."""
    with (repository.path / ".gitmodules").open("a") as file:
        quoted = (name or path).replace('"', '\\"')
        file.write(f'[submodule "{quoted}"]\n\tpath = {path}\n\turl = {url}\n')
    (repository.path / path).mkdir(parents=True)
    repository.git("add", ".gitmodules")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{sha},{path}")
    repository.git("commit", "-q", "-m", "a submodule")
    return repository.git("rev-parse", "HEAD")


async def test_submodules_and_theirs(
    repository: Repository, library: Repository, tmp_path: Path, checkout: Checkout, into: Into
) -> None:
    inner = Repository(tmp_path / "inner")
    link(library, inner.commit(deep="d"), "vendor/inner", "../inner")
    library_sha = library.commit(b="2")
    repository.commit(a="1")
    sha = link(repository, library_sha, "libs/library", "../library", 'a "name"')
    workspace = await into(checkout, repository.url, sha, options=ALL)
    assert (workspace / "libs/library/b").read_text() == "2"
    assert (workspace / "libs/library/vendor/inner/deep").read_text() == "d"
    status = output("git", "submodule", "status", "--recursive", folder=workspace)
    assert [line.strip().split(" ")[:2] for line in status.splitlines()] == [
        [library_sha, "libs/library"],
        [inner.git("rev-parse", "HEAD"), "libs/library/vendor/inner"],
    ]
    assert output("git", "status", "--short", folder=workspace) == ""
    assert b"submodules: true" not in into.log
    for each in (library, inner):  # the copies have it all
        each.git("update-ref", "-d", "HEAD")
    again = await into(checkout, repository.url, sha, options=ALL.model_copy(update={"tags": False}))
    assert (again / "libs/library/vendor/inner/deep").read_text() == "d"
    checkout.leave(again)
    checkout.leave(workspace)


async def test_what_nobody_asked_for_is_said(
    repository: Repository, library: Repository, checkout: Checkout, into: Into
) -> None:
    (repository.path / ".gitattributes").write_text("# filter=lfs\n*.bin filter=lfs diff=lfs -text\n")
    repository.commit(**{"a.bin": "version https://git-lfs.github.com/spec/v1\n"})
    sha = link(repository, library.commit(b="2"), "library", "../library")
    await into(checkout, repository.url, sha)
    log = into.log.decode()
    assert "a submodule, whose folder is empty: `checkout: {submodules: true}`" in log
    assert "only pointers: `checkout: {lfs: true}`" in log
    into.log.clear()
    plain = repository.commit(**{".gitattributes": "*.txt text\n# *.bin filter=lfs\n"})
    repository.git("rm", "-q", "--cached", "library", ".gitmodules")
    repository.git("commit", "-q", "-m", "none")
    await into(checkout, repository.url, repository.git("rev-parse", "HEAD"))
    assert b"[hybridci]" not in into.log, plain


@pytest.mark.parametrize(
    ("path", "url", "cause"),
    [
        ("lib", "https://127.0.0.1:9/x.git", "repository_unreachable"),
        ("lib", "ext::touch pwned", "repository_invalid"),
        ("lib", "--upload-pack=touch pwned", "repository_invalid"),
        ("lib", "../not-there", "repository_not_found"),
    ],
)
async def test_a_submodule_that_cannot_be_had_is_named(
    path: str, url: str, cause: str, repository: Repository, checkout: Checkout, into: Into, tmp_path: Path
) -> None:
    repository.commit(a="1")
    sha = link(repository, "d" * 40, path, url)
    error = await into.error(checkout, repository.url, sha, options=ALL)
    assert error.cause == cause, error.message
    assert error.message.startswith("Submodule 'lib': ")
    assert not found(tmp_path, "pwned")


async def test_a_commit_that_its_library_does_not_have_and_a_link_without_a_url(
    repository: Repository, library: Repository, checkout: Checkout, into: Into
) -> None:
    library.commit(b="2")
    sha = link(repository, "d" * 40, "lib", "../library")
    error = await into.error(checkout, repository.url, sha, options=ALL)
    assert (error.cause, error.retryable) == ("unknown_commit", False)
    (repository.path / ".gitmodules").write_text('[submodule "x"]\n\tpath = other\n\turl = ../library\n')
    repository.git("commit", "-qam", "no url")
    error = await into.error(checkout, repository.url, repository.git("rev-parse", "HEAD"), options=ALL)
    assert (error.cause, error.retryable) == ("submodule_invalid", False)


@pytest.mark.parametrize(
    ("repo", "url", "whole"),
    [
        ("https://host/a/b.git", "../c.git", "https://host/a/c.git"),
        ("https://host/a/b", "../../c", "https://host/c"),
        ("https://host/a/b", "../../../../c", "https://host/c"),
        ("git@host:a/b.git", "../c.git", "git@host:a/c.git"),
        ("ssh://git@host:22/a/b", "./c", "ssh://git@host:22/a/b/c"),
        ("file:///srv/a/b", "../c", "file:///srv/a/c"),
        ("https://host/a/b", "https://other/c", "https://other/c"),
        ("https://host/a/b", "/etc/c", "file:///etc/c"),
    ],
)
def test_addresses_of_submodules(repo: str, url: str, whole: str) -> None:
    assert resolved(repo, url) == whole


async def test_a_repository_without_tags_has_none_with_a_depth_too(
    repository: Repository, checkout: Checkout, into: Into
) -> None:
    sha = repository.commit()
    workspace = await into(checkout, repository.url, sha, options=CheckoutOptions(tags=True, depth=1))
    assert output("git", "tag", folder=workspace) == ""
    assert output("git", "rev-parse", "HEAD", folder=workspace) == sha


async def test_tags_are_as_the_server_has_them_now(repository: Repository, checkout: Checkout, into: Into) -> None:
    repository.commit(a="1")
    repository.git("tag", "-a", "v1.0", "-m", "v1.0")
    repository.git("tag", "old")
    sha = repository.commit(a="2")
    plain = await into(checkout, repository.url, sha)
    assert output("git", "tag", folder=plain) == ""
    workspace = await into(checkout, repository.url, sha, options=CheckoutOptions(tags=True))
    assert output("git", "describe", "--tags", folder=workspace).startswith("v1.0-1-g")
    repository.git("tag", "-d", "old")
    repository.git("tag", "-f", "v1.0", "HEAD")
    workspace = await into(checkout, repository.url, sha, options=CheckoutOptions(tags=True))
    assert output("git", "tag", folder=workspace) == "v1.0"
    assert output("git", "describe", "--tags", folder=workspace) == "v1.0"


async def test_depth(repository: Repository, checkout: Checkout, into: Into) -> None:
    commits = [repository.commit(a=str(number)) for number in range(6)]
    shallow = CheckoutOptions(depth=2)
    for sha, text in ((commits[3], "3"), (commits[5], "5"), (commits[3], "3")):
        workspace = await into(checkout, repository.url, sha, "main", options=shallow)
        assert (workspace / "a").read_text() == text
        assert output("git", "rev-list", "--count", "HEAD", folder=workspace) == "2"
        assert output("git", "status", "--short", folder=workspace) == ""
    whole = await into(checkout, repository.url, commits[5], "main")
    assert output("git", "rev-list", "--count", "HEAD", folder=whole) == "6"


async def test_depth_from_a_server_that_hands_out_no_bare_commits(
    repository: Repository, checkout: Checkout, into: Into, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[protocol]\n\tversion = 0\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    commits = [repository.commit(a=str(number)) for number in range(6)]
    workspace = await into(checkout, repository.url, commits[1], "main", options=CheckoutOptions(depth=2))
    assert (workspace / "a").read_text() == "1"


async def test_a_host_without_git_lfs_says_so(
    repository: Repository, checkout: Checkout, into: Into, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = repository.commit(a="1")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").symlink_to(shutil.which("git") or "")
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin" if shutil.which("git-lfs") is None else str(folder))
    error = await into.error(checkout, repository.url, sha, options=CheckoutOptions(lfs=True))
    assert (error.cause, error.retryable) == ("lfs_missing", False)
    assert "git-lfs" in error.message


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed here")
async def test_large_files_are_fetched_once_for_a_host(repository: Repository, checkout: Checkout, into: Into) -> None:
    repository.git("lfs", "install", "--local")
    repository.git("lfs", "track", "*.bin")
    sha = repository.commit(**{"a.bin": "large" * 1000})
    options = CheckoutOptions(lfs=True)
    first = await into(checkout, repository.url, sha, options=options)
    (repository.path / ".git" / "lfs").rename(repository.path / "away")
    second = await into(checkout, repository.url, sha, options=options)
    for workspace in (first, second):
        assert (workspace / "a.bin").read_text() == "large" * 1000
        assert output("git", "status", "--short", folder=workspace) == ""
        assert "lfs.storage" not in (workspace / ".git" / "config").read_text()
    assert b"pointers" not in into.log


def test_a_submodule_is_not_put_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "link").symlink_to(tmp_path)
    require_own_place(tmp_path, "lib/other/deep")
    for path in ("lib/link", "lib/link/deep"):
        with pytest.raises(CheckoutError, match="a link on the way there"):
            require_own_place(tmp_path, path)
