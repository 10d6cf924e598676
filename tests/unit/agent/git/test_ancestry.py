"""Whether a commit is on a branch, in real repositories: as the server has the branch now, whatever else is there."""

from pathlib import Path

import pytest

from agent.git.checkout import Checkout, CheckoutError
from tests.unit.repositories import Into, Repository, cache_of
from workflows.contracts.workspace.checkout import AS_USUAL, CheckoutOptions


class Bench:
    """One repository, an agent's checkout, and the question."""

    def __init__(self, folder: Path) -> None:
        self.repository = Repository(folder / "repository")
        self.checkout = Checkout(folder / "cache")
        self.into = Into(folder)
        self.folder = folder

    async def look(
        self, sha: str, ref: str = "main", *, repo: str | None = None, options: CheckoutOptions = AS_USUAL
    ) -> str | None:
        """None when it is there; else why not."""
        url = repo or self.repository.url
        workspace = await self.into(self.checkout, url, sha, options=options)
        fields = {"repo": url, "sha": sha, "ref": ref, "cookie": "c"}
        write = self.into.log.extend
        try:
            await self.checkout.on_ref(workspace, **fields, timeout_seconds=60, write=write, options=options)
        except CheckoutError as error:
            return error.message if (error.cause, error.retryable) == ("commit_not_on_ref", False) else repr(error)
        return None


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_the_head_of_a_branch_and_its_ancestors_are_on_it(bench: Bench) -> None:
    first, second = bench.repository.commit(a="1"), bench.repository.commit(a="2")
    assert await bench.look(second) is None
    assert await bench.look(first) is None
    assert f"{first} is on main, whose head is {second}".encode() in bench.into.log
    assert await bench.look(first, "refs/heads/main") is None


async def test_a_commit_of_another_branch_is_on_it_once_it_is_merged(bench: Bench) -> None:
    bench.repository.commit(a="1")
    bench.repository.git("checkout", "-q", "-b", "feature")
    sha = bench.repository.commit(b="1")
    bench.repository.git("checkout", "-q", "main")
    head = bench.repository.commit(c="1")
    said = await bench.look(sha)
    assert said is not None
    assert f"it is not on main, whose head is {head[:12]}" in said
    bench.repository.git("merge", "-q", "--no-edit", "feature")
    assert await bench.look(sha) is None, "the branch is asked for each time"
    bench.repository.git("reset", "-q", "--hard", head)
    assert "it is not on main" in str(await bench.look(sha)), "and taken back"


async def test_a_branch_that_is_not_there_is_named(bench: Bench) -> None:
    said = await bench.look(bench.repository.commit(a="1"), "release")
    assert said is not None
    assert "has no branch release" in said


async def test_a_tag_of_the_branchs_name_does_not_stand_for_it(bench: Bench) -> None:
    """Who may push tags and not to `main` could name any commit so: git asks for tags first."""
    bench.repository.commit(a="1")
    bench.repository.git("checkout", "-q", "-b", "feature")
    sha = bench.repository.commit(b="1")
    bench.repository.git("tag", "main", sha)
    assert "it is not on main" in str(await bench.look(sha))
    bench.repository.git("tag", "release", sha)
    said = await bench.look(sha, "release")
    assert said is not None
    assert "has no branch release" in said


async def test_what_a_job_has_written_into_the_copy_makes_no_ancestor(bench: Bench) -> None:
    head = bench.repository.commit(a="1")
    bench.repository.git("checkout", "-q", "--orphan", "feature")
    sha = bench.repository.commit(b="1")
    assert "it is not on main" in str(await bench.look(sha))
    copy = cache_of(bench.folder)
    grafts, naive = copy / "info" / "grafts", ("-C", str(copy), "merge-base", "--is-ancestor", sha, head)
    grafts.parent.mkdir(exist_ok=True)
    grafts.write_text(f"{head} {sha}\n")
    bench.repository.git(*naive)  # git alone is taken in
    assert "it is not on main" in str(await bench.look(sha))
    grafts.unlink()
    said = bench.repository.git("cat-file", "commit", head).replace("\nauthor", f"\nparent {sha}\nauthor", 1)
    forged = bench.repository.git("-C", str(copy), "hash-object", "-t", "commit", "-w", "--stdin", stdin=f"{said}\n")
    bench.repository.git("-C", str(copy), "update-ref", f"refs/replace/{head}", forged)
    bench.repository.git(*naive)
    assert "it is not on main" in str(await bench.look(sha))


async def test_a_shallow_repository_knows_what_it_has(bench: Bench) -> None:
    first, second = bench.repository.commit(a="1"), bench.repository.commit(a="2")
    bench.repository.git("clone", "-q", "--depth", "1", bench.repository.url, str(bench.folder / "shallow"))
    shallow = f"file://{bench.folder}/shallow"
    assert await bench.look(second, repo=shallow) is None
    bench.repository.commit(a="3")
    bench.repository.git("-C", str(bench.folder / "shallow"), "fetch", "-q", "--depth", "1", "origin", "main")
    bench.repository.git("-C", str(bench.folder / "shallow"), "reset", "-q", "--hard", "FETCH_HEAD")
    assert "it is not on main" in str(await bench.look(second, repo=shallow)), (
        "the history that would tell is not there"
    )
    assert first != second


@pytest.mark.parametrize("options", [CheckoutOptions(depth=1), CheckoutOptions(filter="tree:0")])
async def test_a_checkout_without_its_history_is_judged_by_the_whole(bench: Bench, options: CheckoutOptions) -> None:
    """A deployment with `depth` or `filter` failed: the workspace does not have the branch's head."""
    bench.repository.commit(a="0")
    first, second = bench.repository.commit(a="1"), bench.repository.commit(a="2")
    assert await bench.look(first, options=options) is None
    assert await bench.look(second, options=options) is None
    bench.repository.git("checkout", "-q", "-b", "feature")
    other = bench.repository.commit(b="1")
    assert "it is not on main" in str(await bench.look(other, options=options))
    assert not list((bench.folder / "cache").glob("history-*"))


@pytest.mark.parametrize("ref", ["-x", "a..b", "--upload-pack=x", "a b", "a:b"])
async def test_what_git_could_read_otherwise_is_no_ref(bench: Bench, ref: str) -> None:
    sha = bench.repository.commit(a="1")
    workspace = await bench.into(bench.checkout, bench.repository.url, sha)
    with pytest.raises(CheckoutError, match="is not a git reference"):
        await bench.checkout.on_ref(
            workspace, repo=bench.repository.url, sha=sha, ref=ref, timeout_seconds=60, write=print, cookie="c"
        )
