"""The bounds of the agent's cache of repositories, with real copies in it."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from agent.git.checkout import Checkout
from agent.git.eviction import CacheLimits, evict, keep_within
from tests.unit.processes import until
from tests.unit.repositories import Into, Repository, holding, output

DAY = 24 * 3600
ROOMY = 1 << 40


class Cache:
    """Three repositories' copies, last used 1, 2 and 3 days ago."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder, self.checkout, self.into = tmp_path / "cache", Checkout(tmp_path / "cache"), Into(tmp_path)
        self.repositories = [Repository(tmp_path / f"repository-{days}") for days in (1, 2, 3)]
        self.shas = [repository.commit(a=str(os.urandom(50_000))) for repository in self.repositories]
        self.folder.mkdir()
        self.workspaces: list[Path] = []
        self.copies: list[Path] = []

    async def fill(self) -> "Cache":
        for number, repository in enumerate(self.repositories):
            before = set(self.present())
            self.workspaces.append(await self.into(self.checkout, repository.url, self.shas[number]))
            self.copies += set(self.present()) - before
        return self

    def leave_all(self) -> None:
        for number, workspace in enumerate(self.workspaces):
            self.checkout.leave(workspace)
            self.used(number, days_ago=number + 1)

    def used(self, number: int, *, days_ago: float) -> None:
        then = time.time() - days_ago * DAY
        for path in (self.copies[number], self.copies[number].with_suffix(".use")):
            os.utime(path, (then, then))

    def present(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.is_dir()]

    def size(self, number: int) -> int:
        return sum(file.stat().st_blocks * 512 for file in self.copies[number].rglob("*") if file.is_file())


@pytest.fixture
async def cache(tmp_path: Path) -> Cache:
    return await Cache(tmp_path).fill()


async def test_what_nobody_used_for_days_goes_and_comes_back_when_it_is_wanted(cache: Cache) -> None:
    cache.leave_all()
    assert await evict(cache.folder, CacheLimits(days=4, max_bytes=ROOMY)) == []
    assert await evict(cache.folder, CacheLimits(days=1.5, max_bytes=ROOMY)) == [cache.copies[2], cache.copies[1]]
    assert cache.present() == [cache.copies[0]]
    await cache.into(cache.checkout, cache.repositories[2].url, cache.shas[2])
    assert set(cache.present()) == {cache.copies[0], cache.copies[2]}


async def test_the_least_recently_used_go_until_the_rest_fits(cache: Cache) -> None:
    cache.leave_all()
    room = CacheLimits(days=14, max_bytes=cache.size(0) + cache.size(1))
    assert await evict(cache.folder, room) == [cache.copies[2]]
    assert await evict(cache.folder, room) == []


async def test_a_checkout_marks_its_copy_as_used(cache: Cache) -> None:
    cache.leave_all()
    cache.checkout.leave(await cache.into(cache.checkout, cache.repositories[2].url, cache.shas[2]))
    assert await evict(cache.folder, CacheLimits(days=1.5, max_bytes=ROOMY)) == [cache.copies[1]]


async def test_a_copy_in_use_stays_however_full_the_cache_is(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    cache.used(0, days_ago=30)
    cache.checkout.leave(cache.workspaces[1])
    assert await evict(cache.folder, CacheLimits(days=14, max_bytes=0)) == [cache.copies[1]]
    assert "HYBRIDCI_AGENT_CACHE_BYTES" in caplog.text
    assert output("git", "log", "--format=%H", folder=cache.workspaces[0]) == cache.shas[0]
    cache.checkout.leave(cache.workspaces[0])
    assert await evict(cache.folder, CacheLimits(days=14, max_bytes=0)) == [cache.copies[0]]


@pytest.mark.parametrize("lock", [".lock", ".use"])
async def test_another_agents_locks_count(cache: Cache, lock: str) -> None:
    cache.leave_all()
    with holding(cache.copies[0].with_suffix(lock)):
        assert cache.copies[0] not in await evict(cache.folder, CacheLimits(days=14, max_bytes=0))
    assert cache.present() == [cache.copies[0]]


async def test_checkouts_during_evictions_never_fail(cache: Cache) -> None:
    cache.leave_all()
    working = True

    async def evict_all_the_time() -> int:
        count = 0
        while working:
            count += len(await evict(cache.folder, CacheLimits(days=14, max_bytes=0)))
        return count

    evicting = asyncio.create_task(evict_all_the_time())
    for _ in range(4):
        for number, repository in enumerate(cache.repositories):
            workspace = await cache.into(cache.checkout, repository.url, cache.shas[number])
            assert output("git", "status", "--short", folder=workspace) == ""
            cache.checkout.leave(workspace)
    working = False
    assert await evicting >= 3


async def test_what_is_not_a_copy_is_left_alone_and_what_a_killed_agent_left_is_not(cache: Cache) -> None:
    cache.leave_all()
    (cache.folder / "notes").mkdir()
    (cache.folder / f"{'a' * 64}.trash").mkdir()
    (cache.folder / f"{'b' * 64}.new").mkdir()
    await evict(cache.folder, CacheLimits(days=14, max_bytes=ROOMY))
    assert set(cache.present()) == {cache.folder / "notes", *cache.copies}
    await evict(cache.folder, CacheLimits(days=14, max_bytes=0))
    assert cache.present() == [cache.folder / "notes"]


async def test_it_is_done_at_once_and_an_agent_without_a_cache_is_fine(cache: Cache, tmp_path: Path) -> None:
    assert await evict(tmp_path / "nothing", CacheLimits(days=1, max_bytes=0)) == []
    cache.leave_all()
    keeping = asyncio.create_task(keep_within(cache.folder, CacheLimits(days=14, max_bytes=0)))
    await until(lambda: cache.present() == [], what="the eviction")
    assert not keeping.done()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
