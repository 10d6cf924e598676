"""Who wrote a commit, from real repositories: whatever somebody wrote into it, as git has it."""

import subprocess
from pathlib import Path

import pytest

from agent.git.checkout import Checkout
from tests.unit.repositories import Into, Repository
from workflows.contracts.identity.people import GitPeople, GitPerson


class Bench:
    """One repository, and an agent's checkout."""

    def __init__(self, folder: Path) -> None:
        self.repository = Repository(folder / "repository")
        self.checkout = Checkout(folder / "cache")
        self.into = Into(folder)

    async def people(self, sha: str) -> GitPeople | None:
        workspace = await self.into(self.checkout, self.repository.url, sha)
        return await self.checkout.people(workspace, sha=sha, timeout_seconds=60, cookie="c")

    def commit_saying(self, author: bytes, committer: bytes) -> str:
        """A commit object as somebody makes it by hand."""
        parent = self.repository.commit(a="1")
        tree = self.repository.git("rev-parse", f"{parent}^{{tree}}").encode()
        text = b"tree " + tree + b"\nauthor " + author + b"\ncommitter " + committer + b"\n\nby hand\n"
        command = ["git", "hash-object", "-w", "-t", "commit", "--literally", "--stdin"]
        made = subprocess.run(command, cwd=self.repository.path, input=text, check=True, capture_output=True)
        sha = made.stdout.decode().strip()
        self.repository.git("update-ref", "refs/heads/by-hand", sha)
        return sha


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_author_and_committer_are_those_of_the_commit(bench: Bench) -> None:
    bench.repository.commit(a="1")
    author = ["-c", "user.name=Rita", "commit", "-q", "--allow-empty", "-m", "x"]
    bench.repository.git(*author, "--author=Änn Ode <Ann+work@Example.com>")
    found = await bench.people(bench.repository.git("rev-parse", "HEAD"))
    assert found == GitPeople(
        author=GitPerson(name="Änn Ode", address="Ann+work@Example.com"),
        committer=GitPerson(name="a", address="a@example.com"),
    )


@pytest.mark.parametrize("head", ["main", "merge"])
async def test_it_is_the_commits_own_and_neither_a_parents_nor_a_mailmaps(bench: Bench, head: str) -> None:
    bench.repository.commit(**{".mailmap": "Somebody Else <else@example.com> <a@example.com>\n"})
    bench.repository.git("checkout", "-q", "-b", "feature")
    bench.repository.git("commit", "-q", "--allow-empty", "-m", "x", "--author=Zoe <zoe@example.com>")
    bench.repository.git("checkout", "-q", "-b", "merge", "main")
    bench.repository.git("merge", "-q", "--no-ff", "--no-edit", "feature")
    found = await bench.people(bench.repository.git("rev-parse", head))
    assert found is not None
    assert str(found.author) == "a <a@example.com>"


@pytest.mark.parametrize(
    ("author", "name", "address"),
    [
        (b"Ann\rcommitter Zoe <zoe@example.com> 1 +0000", "Ann committer Zoe", "zoe@example.com"),
        (b"Ann\x01\x1b[2J <ann@example.com> 1 +0000", "Ann  [2J", "ann@example.com"),
        (b"\xff\xfe <ann@example.com> 1 +0000", "\ufffd\ufffd", "ann@example.com"),
        (b" <> 1 +0000", "", ""),
        (b"A" * 5000 + b" <" + b"b" * 5000 + b"@example.com> 1 +0000", "A" * 256, "b" * 256),
        ("\u00e9".encode() * 300 + b" <ann@example.com> 1 +0000", "\u00e9" * 128, "ann@example.com"),
    ],
)
async def test_whatever_is_written_there_is_bounded_and_steers_nothing(
    bench: Bench, author: bytes, name: str, address: str
) -> None:
    found = await bench.people(bench.commit_saying(author, b"Rita <rita@example.com> 1 +0000"))
    assert found is not None
    assert (found.author.name, found.author.address) == (name, address)
    assert str(found.committer) == "Rita <rita@example.com>"


async def test_who_cannot_be_told_is_nobody(bench: Bench) -> None:
    rita = b"Rita <rita@example.com> 1 +0000"
    assert await bench.people(bench.commit_saying(b"A" * 40_000 + b" <ann@example.com> 1 +0000", rita)) is None
    unreadable = await bench.people(bench.commit_saying(b"Ann\0x <ann@example.com> 1 +0000", rita))
    assert unreadable is not None
    assert (unreadable.author.identity, str(unreadable.committer)) == (None, "Rita <rita@example.com>")


async def test_git_is_asked_once_for_a_commit(bench: Bench) -> None:
    sha = bench.repository.commit(a="1")
    first = await bench.people(sha)
    nowhere = Path("/nonexistent")
    assert await bench.checkout.people(nowhere, sha=sha, timeout_seconds=0, cookie="c") == first
