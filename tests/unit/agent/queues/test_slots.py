"""The agent's capacity over several queues: permits for polls and for tasks."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, cast

from temporalio.worker import SlotMarkUsedContext, SlotPermit, SlotReleaseContext, SlotReserveContext

from agent.queues.slots import TURN_SECONDS, Line, Slots

NO_CONTEXT = cast(SlotReserveContext, None)


@dataclass(frozen=True)
class Used:
    """What the SDK says when a poll has brought a task."""

    permit: SlotPermit
    slot_info: Any = None


def permit_for(line: Line) -> asyncio.Task[SlotPermit]:
    return asyncio.create_task(line.reserve_slot(NO_CONTEXT))


async def soon(permit: asyncio.Task[SlotPermit]) -> SlotPermit:
    return await asyncio.wait_for(asyncio.shield(permit), 60)


async def still_waits(permit: asyncio.Task[SlotPermit]) -> bool:
    done, _ = await asyncio.wait({permit}, timeout=0.02)
    return not done


def task_came(line: Line, permit: SlotPermit) -> None:
    line.mark_slot_used(cast(SlotMarkUsedContext, Used(permit)))


def ended(line: Line, permit: SlotPermit) -> None:
    line.release_slot(SlotReleaseContext(slot_info=None, permit=permit))


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_queue_never_has_more_permits_than_the_capacity() -> None:
    slots = Slots(2)
    line = slots.line(polls=5)
    first, second = await soon(permit_for(line)), await soon(permit_for(line))
    third = permit_for(line)
    assert await still_waits(third)
    task_came(line, first)
    assert await still_waits(third), "a poll has become a task: nothing is free"
    assert slots.used == 1
    ended(line, second)
    await soon(third)
    assert line.try_reserve_slot(NO_CONTEXT) is None


async def test_a_permit_comes_back_from_a_thread_of_the_sdk() -> None:
    slots = Slots(1)
    line = slots.line(polls=1)
    permit = await soon(permit_for(line))
    waiting = permit_for(line)
    await asyncio.to_thread(task_came, line, permit)
    assert await still_waits(waiting)
    await asyncio.to_thread(ended, line, permit)
    await soon(waiting)


async def test_every_queue_has_a_poll_while_anything_is_free() -> None:
    slots = Slots(1)
    lines = [slots.line(polls=1) for _ in range(3)]
    permits = await asyncio.gather(*(soon(permit_for(line)) for line in lines))
    task_came(lines[2], permits[2])
    again = permit_for(lines[2])
    ended(lines[0], permits[0])
    idle = permit_for(lines[0])
    assert await still_waits(again)
    assert await still_waits(idle), "polls do not take what a task has"
    ended(lines[2], permits[2])
    await asyncio.gather(soon(again), soon(idle))


async def test_of_two_queues_with_work_only_one_fetches_it_and_they_take_turns() -> None:
    slots = Slots(1)
    lines = [slots.line(polls=1) for _ in range(2)]
    waiting = [permit_for(line) for line in lines]
    served: list[int] = []
    for _ in range(6):
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=2)
        assert [permit.done() for permit in waiting].count(True) == 1, "the other one would be declined"
        number = 0 if waiting[0].done() else 1
        permit = waiting[number].result()
        task_came(lines[number], permit)
        waiting[number] = permit_for(lines[number])
        await asyncio.sleep(0)
        ended(lines[number], permit)
        served.append(number)
    assert served == [0, 1, 0, 1, 0, 1]
    await cancel(*waiting)


async def test_an_idle_queue_gives_way_to_the_next_after_its_turn() -> None:
    slots = Slots(1)
    lines = [slots.line(polls=1) for _ in range(2)]
    loop = asyncio.get_running_loop()
    first, second = permit_for(lines[0]), permit_for(lines[1])
    await soon(first)
    began = loop.time()
    await soon(second)
    assert loop.time() - began > TURN_SECONDS / 2


async def test_a_queue_of_a_demand_takes_one_permit_and_leaves_the_others() -> None:
    slots = Slots(4)
    main, demand = slots.line(polls=4), slots.line(polls=1)
    await soon(permit_for(demand))
    one_more = permit_for(demand)
    assert await still_waits(one_more), "the SDK asks for one more than it polls with"
    for _ in range(3):
        await soon(permit_for(main))
    beyond = permit_for(main)
    assert await still_waits(beyond)
    await cancel(one_more, beyond)


async def test_what_a_worker_took_with_it_is_free_again() -> None:
    slots = Slots(1)
    gone, staying = slots.line(polls=1), slots.line(polls=1)
    task_came(gone, await soon(permit_for(gone)))
    waiting = permit_for(staying)
    assert await still_waits(waiting)
    gone.close()
    await soon(waiting)
    assert slots.used == 0


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    slots = Slots(1)
    line = slots.line(polls=1)
    permit = await soon(permit_for(line))
    waits: list[Coroutine[Any, Any, None]] = [cancel(permit_for(line)) for _ in range(3)]
    await asyncio.gather(*waits)
    assert line.waiting == 0
    ended(line, permit)
    await soon(permit_for(line))
