"""What a page reads twice is read once; nothing else is."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from codeuchain import Context

from activities.chaining.chains import NamedChain, build_chain
from activities.chaining.once import Once, asking, read_chain
from workflows.contracts.errors import NotFound


class CountReads:
    """``name`` in, how often this was read out; a name of nobody is not found."""

    def __init__(self) -> None:
        self.reads = 0
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def call(self, ctx: Context[Any]) -> Context[Any]:
        self.reads += 1
        reads = self.reads
        self.begun.set()
        await self.go_on.wait()
        if ctx.get("name") == "nobody":
            raise NotFound("There is none.")
        return ctx.insert("reads", reads)


Read = Callable[[str], Any]


@pytest.fixture
def link() -> CountReads:
    return CountReads()


@pytest.fixture
def read(link: CountReads) -> Read:
    chain: NamedChain = build_chain("CountReads", [link])
    return lambda name: read_chain(chain, {"name": name}, result="reads", kind=int)


async def test_the_same_question_is_asked_once_and_another_one_by_itself(read: Read, link: CountReads) -> None:
    with asking(Once(lambda: 0.0)):
        assert await asyncio.gather(read("a"), read("a"), read("b")) == [1, 1, 2]
        assert await read("a") == 1
    assert link.reads == 2


async def test_outside_of_a_page_and_on_the_next_one_it_is_read_anew(read: Read) -> None:
    assert [await read("a"), await read("a")] == [1, 2]
    for expected in (3, 4):
        with asking(Once(lambda: 0.0)):
            assert await read("a") == expected
    with asking(None):
        assert await read("a") == 5


async def test_a_task_that_outlives_its_page_reads_anew(read: Read) -> None:
    now = 10.0
    with asking(Once(lambda: now)):
        assert await read("a") == 1
        now = 10.9
        assert await read("a") == 1
        now = 11.0
        assert await read("a") == 2


async def test_a_refusal_is_told_to_all_who_asked(read: Read, link: CountReads) -> None:
    with asking(Once(lambda: 0.0)):
        for _ in range(2):
            with pytest.raises(NotFound):
                await read("nobody")
    assert link.reads == 1


async def test_who_stops_waiting_ends_it_for_nobody_else(read: Read, link: CountReads) -> None:
    link.go_on.clear()
    with asking(Once(lambda: 0.0)):
        first, second = asyncio.create_task(read("a")), asyncio.create_task(read("a"))
        await link.begun.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        link.go_on.set()
        assert await second == 1
