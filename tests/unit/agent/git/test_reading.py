"""What commits say, without a workspace: of the agent's copy first, of the server when a commit is missing."""

import subprocess
from pathlib import Path

import pytest

from agent.git.checkout import Checkout
from agent.git.errors import CheckoutError
from agent.git.reading import Place, Reading

MANY = 1000


class Origin:
    """A repository with commits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.com"]
        done = subprocess.run(["git", *identity, *arguments], cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, **files: str) -> str:
        for name, content in files.items():
            (self.path / name).write_text(content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "next")
        return self.git("rev-parse", "HEAD")

    @property
    def place(self) -> Place:
        return Place(f"file://{self.path}", None, 30)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "shop")


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    return Reading(Checkout(tmp_path / "copies").source, tmp_path / "reading")


async def test_ancestry_is_told_of_what_the_agent_has_never_seen_and_of_what_came_later(
    origin: Origin, reading: Reading
) -> None:
    first, second = origin.commit(a="1"), origin.commit(a="2")
    assert await reading.ancestry(origin.place, first, second) == (True, True)
    assert await reading.ancestry(origin.place, second, first) == (False, True)
    assert await reading.ancestry(origin.place, second, second) == (True, True)
    third = origin.commit(a="3")
    assert await reading.ancestry(origin.place, first, third) == (True, True)


async def test_a_history_that_ends_early_is_told(origin: Origin, reading: Reading, tmp_path: Path) -> None:
    first, second = origin.commit(a="1"), origin.commit(a="2")
    third = origin.commit(a="3")
    shallow = tmp_path / "shallow"
    origin.git("clone", "-q", "--depth", "2", f"file://{origin.path}", str(shallow))
    place = Place(f"file://{shallow}", None, 30)
    assert await reading.ancestry(place, second, third) == (True, False)
    with pytest.raises(CheckoutError) as refused:
        await reading.ancestry(place, first, third)
    assert refused.value.cause == "unknown_commit"


async def test_grafts_and_replacements_in_the_copy_count_for_nothing(
    origin: Origin, reading: Reading, tmp_path: Path
) -> None:
    """A job runs as the agent's user and may have written them there."""
    first = origin.commit(a="1")
    origin.git("checkout", "-q", "--orphan", "other")
    other = origin.commit(b="1")
    origin.git("checkout", "-q", "main")
    assert await reading.ancestry(origin.place, other, first) == (False, True)
    (copy,) = [path for path in (tmp_path / "copies").iterdir() if path.is_dir()]
    (copy / "info").mkdir(exist_ok=True)
    (copy / "info" / "grafts").write_text(f"{first} {other}\n")
    origin.git("-C", str(copy), "replace", "--graft", first, other)
    assert await reading.ancestry(origin.place, other, first) == (False, True)


async def test_commits_between_come_newest_first_with_their_times_and_are_bounded(
    origin: Origin, reading: Reading
) -> None:
    shas = [origin.commit(a=str(number)) for number in range(6)]
    found, more, whole = await reading.commits(origin.place, shas[0], shas[-1], 10)
    assert [sha for sha, _ in found] == shas[:0:-1]
    committed = int(origin.git("log", "-1", "--format=%ct", shas[-1])) * 1000
    assert found[0][1] == committed
    assert (more, whole) == (False, True)
    found, more, _ = await reading.commits(origin.place, shas[0], shas[-1], 2)
    assert ([sha for sha, _ in found], more) == ([shas[5], shas[4]], True)
    assert await reading.commits(origin.place, shas[3], shas[3], 2) == ([], False, True)


async def test_paths_that_differ_are_bounded_in_number_and_bytes(origin: Origin, reading: Reading) -> None:
    first = origin.commit(kept="1", gone="1")
    (origin.path / "gone").unlink()
    second = origin.commit(**{f"new-{number:03}": "1" for number in range(50)})
    names, more = await reading.paths(origin.place, first, second, most=MANY, max_bytes=64 * 1024)
    assert names == [b"gone", *(f"new-{number:03}".encode() for number in range(50))]
    assert not more
    names, more = await reading.paths(origin.place, first, second, most=5, max_bytes=64 * 1024)
    assert (len(names), more) == (5, True)
    names, more = await reading.paths(origin.place, first, second, most=MANY, max_bytes=100)
    assert more
    assert 0 < sum(len(name) + 1 for name in names) <= 100


async def test_a_file_is_what_it_was_at_the_commit_and_only_a_file(origin: Origin, reading: Reading) -> None:
    first = origin.commit(**{"service.yaml": "one\n", "big": "x" * 2000, ":(glob)*": "odd"})
    (origin.path / "link").symlink_to("service.yaml")
    (origin.path / "folder").mkdir()
    (origin.path / "folder" / "inner").write_text("deep")
    second = origin.commit(**{"service.yaml": "two\n"})
    assert await reading.file(origin.place, first, "service.yaml", MANY) == b"one\n"
    assert await reading.file(origin.place, second, "service.yaml", MANY) == b"two\n"
    assert await reading.file(origin.place, second, "folder/inner", MANY) == b"deep"
    assert await reading.file(origin.place, second, ":(glob)*", MANY) == b"odd", "no pattern is one"
    for none in ("folder", "link", "nothing", "*.yaml"):
        assert await reading.file(origin.place, second, none, MANY) is None
    with pytest.raises(CheckoutError) as refused:
        await reading.file(origin.place, second, "big", MANY)
    assert refused.value.cause == "file_too_large"


async def test_a_head_is_the_servers_and_of_that_very_name(origin: Origin, reading: Reading) -> None:
    first = origin.commit(a="1")
    origin.git("tag", "main-tag")
    origin.git("update-ref", "refs/heads/x/refs/heads/main2", first)
    assert await reading.head(origin.place, "main") == first
    second = origin.commit(a="2")
    assert await reading.head(origin.place, "main") == second
    assert await reading.head(origin.place, "refs/tags/main-tag") == first
    assert await reading.head(origin.place, "main-tag") is None, "a bare name is a branch's"
    assert await reading.head(origin.place, "main2") is None, "the end of a longer name"


async def test_what_cannot_be_told_says_why(origin: Origin, reading: Reading, tmp_path: Path) -> None:
    first = origin.commit(a="1")
    unknown = first[:-1] + ("0" if first[-1] != "0" else "1")
    for cause, ask in {
        "unknown_commit": reading.ancestry(origin.place, first, unknown),
        "repository_not_found": reading.head(Place(f"file://{tmp_path}/nowhere", None, 30), "main"),
        "repository_invalid": reading.head(Place("ext::sh -c id", None, 30), "main"),
    }.items():
        with pytest.raises(CheckoutError) as refused:
            await ask
        assert refused.value.cause == cause
    with pytest.raises(CheckoutError, match="different hash functions"):
        await reading.ancestry(origin.place, first, "a" * 64)


async def test_nothing_is_left_behind(origin: Origin, reading: Reading, tmp_path: Path) -> None:
    first = origin.commit(a="1")
    await reading.file(origin.place, first, "a", MANY)
    await reading.head(origin.place, "main")
    with pytest.raises(CheckoutError):
        await reading.ancestry(origin.place, first, "f" * 40)
    assert list((tmp_path / "reading").iterdir()) == []
