"""Seals cover what is new, once, whoever makes them and whenever somebody is killed; old segments go as a whole."""

import asyncio
from typing import Any

import pytest

from activities.evidence.keys import SealKey, is_signed
from activities.evidence.removal import Keeps, Removed, remove_segments
from activities.evidence.sealer import IDLE_MS, Sealer
from tests.evidence.conftest import KEY, MINUTE, Clock, Trail
from tests.stores.lives import NOON
from tests.stores.trails import trail as listed
from workflows.contracts.audit.feed import FeedRow
from workflows.contracts.audit.seals import ChainFault, SealChain, SealKind, SignedSeal
from workflows.contracts.errors import Unavailable


async def chain(trail: Trail) -> list[SignedSeal]:
    """All seals; fails when one is not signed or does not follow on the one before."""
    found, behind = list[SignedSeal](), 0
    while page := await trail.evidence.seals(behind, 3):
        found += page
        behind = page[-1].number
    follow = SealChain.begin(is_signed, {KEY.key_id: KEY.public_key})
    assert [follow.follow(seal)[1] for seal in found] == [[]] * len(found)
    return found


def keeps_nothing(_: FeedRow) -> bool:
    return False


async def remove(
    trail: Trail,
    older_than: int,
    keeps: Keeps = keeps_nothing,
    *,
    budget: int = 1_000,
    start: int = 0,
    dry_run: bool = False,
) -> Removed:
    store, sealer = trail.evidence, trail.sealer()
    return await remove_segments(store, sealer, older_than, keeps, budget, start=start, dry_run=dry_run)


async def test_what_is_new_is_sealed_once_and_when_nothing_is_every_hour(trail: Trail) -> None:
    sealer = trail.sealer()
    first = await sealer.seal_new()
    assert first is not None
    assert first.seal.ranges == []
    assert await sealer.seal_new() is None
    events = await trail.keep(5)
    trail.clock.now += MINUTE
    second = await sealer.seal_new()
    assert second is not None
    assert sum(each.count for each in second.seal.ranges) == len(events)
    assert min(each.oldest for each in second.seal.ranges) == events[0].at
    assert max(each.newest for each in second.seal.ranges) == events[-1].at
    assert second.seal.sealed_heads == await trail.evidence.heads()
    assert await sealer.seal_new() is None
    trail.clock.now += IDLE_MS
    third = await sealer.seal_new()
    assert third is not None
    assert (third.seal.ranges, third.seal.heads) == ([], second.seal.heads)
    assert [seal.number for seal in await chain(trail)] == [1, 2, 3]


async def test_of_two_sealers_at_once_one_wins_and_nothing_is_sealed_twice(trail: Trail) -> None:
    sealers = [trail.sealer() for _ in range(4)]

    async def seal(sealer: Sealer) -> None:
        while True:
            if await sealer.seal_new() is None:
                return

    for turn in range(5):
        await trail.keep(7, prefix=f"turn-{turn}")
        trail.clock.now += MINUTE
        await asyncio.gather(*(seal(sealer) for sealer in sealers))
    seals = await chain(trail)
    assert sum(each.count for seal in seals for each in seal.seal.ranges) == 35
    assert seals[-1].seal.sealed_heads == await trail.evidence.heads()


async def test_a_sealer_continues_behind_what_it_saw_when_the_end_is_cut(
    trail: Trail, caplog: pytest.LogCaptureFixture
) -> None:
    sealer = trail.sealer()
    for turn in range(3):
        await trail.keep(1, prefix=f"turn-{turn}")
        assert await sealer.seal_new() is not None
    trail.intruder.delete_seal(2)
    trail.intruder.delete_seal(3)
    await trail.keep(1, prefix="after")
    made = await sealer.seal_new()
    assert made is not None
    assert made.number == 4
    assert "seals were removed or changed" in caplog.text


async def test_numbers_that_were_set_back_are_sealed_again_and_the_chain_shows_it(
    trail: Trail, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a table was restored from a backup, under a worker that knows more."""
    await trail.keep(6)
    sealer = trail.sealer()
    first = await sealer.seal_new()
    assert first is not None
    (shard,) = first.seal.sealed_heads

    async def heads() -> dict[int, int]:
        return {shard: 4}

    with monkeypatch.context() as restored:
        restored.setattr(trail.evidence, "heads", heads)
        back = await sealer.seal_new()
        assert back is not None
        assert (back.seal.ranges, back.seal.sealed_heads) == ([], {shard: 4})
        assert await sealer.seal_new() is None
    again = await sealer.seal_new()
    assert again is not None
    assert [(each.behind, each.upto) for each in again.seal.ranges] == [(4, 6)]
    follow = SealChain.begin(is_signed, None)
    assert [follow.follow(seal)[1] for seal in (first, back, again)] == [[], [ChainFault.RANGE], []]
    assert caplog.text.count("was set back") == 1


async def test_a_worker_with_a_new_key_goes_on_when_it_knows_the_old_one(trail: Trail) -> None:
    await trail.keep(2)
    await trail.seal()
    await trail.keep(1, prefix="later")
    with pytest.raises(Unavailable, match="signed by no key that this worker knows"):
        await trail.sealer(SealKey(b"n" * 32)).seal_new()
    made = await trail.sealer(SealKey(b"n" * 32, b"k" * 32)).seal_new()
    assert made is not None
    assert made.seal.sealed_heads == await trail.evidence.heads()


async def test_seals_that_somebody_put_there_say_nothing_and_stop_nobody(trail: Trail) -> None:
    """Right behind the last one, and at the end of all numbers, in the way of two more workers."""
    sealer = trail.sealer()
    await trail.keep(2)
    good = await sealer.seal_new()
    assert good is not None
    for number in (2, 3, 10**15 - 1):
        forged = good.seal.model_copy(update={"number": number, "heads": {"0": 999}})
        trail.intruder.put_seal(SignedSeal(number=number, text=forged.model_dump_json(), signature=good.signature))
    for turn, each in enumerate((sealer, trail.sealer(), sealer, trail.sealer())):
        await trail.keep(1, prefix=f"turn-{turn}")
        made = await each.seal_new()
        assert made is not None
        assert made.number == 4 + turn
        assert made.seal.sealed_heads == await trail.evidence.heads()
        assert await each.seal_new() is None
    follow = SealChain.begin(is_signed, {KEY.key_id: KEY.public_key})
    faults = {seal.number: follow.follow(seal)[1] for seal in await trail.evidence.seals(0, 100)}
    assert {number: found for number, found in faults.items() if found} == {
        2: [ChainFault.SIGNATURE],
        3: [ChainFault.SIGNATURE],
        10**15 - 1: [ChainFault.GAP, ChainFault.SIGNATURE],
    }


async def test_what_stands_between_two_seals_is_none(trail: Trail) -> None:
    await trail.keep(2)
    good = await trail.sealer().seal_new()
    assert good is not None
    for place in ("000000000000001x", "0000000000000012", "zz", "\u0660" * 15):
        trail.intruder.put_at_seals(place, good)
    await trail.keep(1, prefix="then")
    made = await trail.sealer().seal_new()
    assert made is not None
    assert [seal.number for seal in await chain(trail)] == [1, 2]
    last = await trail.evidence.last_seal()
    assert last is not None
    assert last.number == 2


async def test_segments_go_with_their_copies_and_the_last_event_of_a_shard_stays(trail: Trail) -> None:
    old = await trail.keep(6, prefix="old")
    trail.clock.now += MINUTE
    await trail.seal()
    trail.clock.now += 10 * MINUTE
    young = await trail.keep(40, prefix="young")
    await trail.seal()
    limit = NOON + 5 * MINUTE
    would = await remove(trail, limit, dry_run=True)
    assert (await trail.events.heads(), len(await trail.rows())) == (await trail.evidence.heads(), 46)
    done = await remove(trail, limit)
    assert (would.events, would.segments, would.record) == (done.events, done.segments, None)
    left = await trail.rows()
    gone = [event for event in old if all(event.event_id not in row.document for row in left)]
    assert (done.events, len(left)) == (len(gone), 46 - len(gone))
    assert gone
    assert {event.event_id for event in await listed(trail.events)} == {
        event.event_id for event in [*old, *young] if event not in gone
    }
    seals = await chain(trail)
    assert (seals[-1].seal.kind, seals[-1].number) == (SealKind.REMOVAL, done.record)
    again = await remove(trail, limit)
    assert (again.events, again.record) == (0, None)
    for row in left:
        assert await trail.events.last_of(row.subject) is not None
    await trail.keep(3, prefix="after")
    assert await trail.seal()


async def test_a_segment_stays_as_long_as_it_holds_one_event_that_must_stay(trail: Trail) -> None:
    await trail.keep(4, prefix="dead")
    await trail.keep(1, prefix="live", deployment_id="live")
    await trail.seal()
    trail.clock.now += 10 * MINUTE
    await trail.keep(40, prefix="young")
    await trail.seal()

    async def keeps(row: FeedRow) -> bool:
        return row.event.deployment_id == "live"

    before = await trail.rows()
    first = await remove(trail, NOON + MINUTE, keeps=keeps)
    assert first.kept == 1
    assert any('"live-0000"' in row.document for row in await trail.rows())
    assert len(await trail.rows()) == len(before) - first.events
    then = await remove(trail, NOON + MINUTE)
    assert all('"live-0000"' not in row.document for row in await trail.rows()) or then.events == 0


async def test_a_budget_bounds_a_call_and_the_next_one_goes_on(trail: Trail) -> None:
    for turn in range(6):
        await trail.keep(3, prefix=f"turn-{turn}")
        await trail.seal()
    trail.clock.now += 10 * MINUTE
    await trail.keep(40, prefix="young")
    calls, start, gone = 0, 0, 0
    while True:
        done = await remove(trail, NOON + MINUTE, budget=4, start=start)
        calls, gone = calls + 1, gone + done.events
        assert done.events <= 4
        if done.next_seal is None:
            break
        start = done.next_seal
    assert calls > 2
    assert len(await trail.rows()) == 58 - gone
    assert (await remove(trail, NOON + MINUTE)).events == 0


class Failing:
    """A store whose n-th call is the last one before its caller is killed: made or not."""

    def __init__(self, store: Any, last: int, *, made: bool) -> None:
        self._store, self._left, self._made = store, last, made

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name in {"copies_of", "copies"}:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left > 0:
                return await method(*args, **kwargs)
            if self._left == 0 and self._made:
                await method(*args, **kwargs)
            raise Killed

        return call


class Killed(Exception):
    """The process is gone."""


@pytest.mark.parametrize("made", [True, False], ids=["after the call", "before the call"])
async def test_a_kill_at_any_call_leaves_a_chain_that_goes_on_and_every_event_sealed_once(
    trail: Trail, made: bool
) -> None:
    for call in range(1, 8):
        await trail.keep(3, prefix=f"call-{call}")
        trail.clock.now += MINUTE
        with pytest.raises(Killed):
            await _seal_all(Failing(trail.evidence, call, made=made), trail.clock)
        await trail.seal()
        seals = await chain(trail)
        assert sum(each.count for seal in seals for each in seal.seal.ranges) == 3 * call


async def _seal_all(store: Any, clock: Clock) -> None:
    sealer = Sealer(store, KEY, clock)
    while True:
        await sealer.seal_new()


@pytest.mark.parametrize("made", [True, False], ids=["after the call", "before the call"])
async def test_a_kill_at_any_call_of_a_removal_is_finished_by_the_next_one(trail: Trail, made: bool) -> None:
    for turn in range(4):
        await trail.keep(5, prefix=f"turn-{turn}")
        await trail.seal()
    trail.clock.now += 10 * MINUTE
    await trail.keep(40, prefix="young")
    await trail.seal()
    killed = 0
    for call in range(1, 200):
        store: Any = Failing(trail.evidence, call, made=made)
        try:
            await remove_segments(store, Sealer(store, KEY, trail.clock), NOON + MINUTE, keeps_nothing, 5)
        except Killed:
            killed += 1
        else:
            break
    assert killed > 5
    while (await remove(trail, NOON + MINUTE)).next_seal is not None:
        pass
    left = await trail.rows()
    assert [row for row in left if "young" not in row.document] == []  # the young ones are behind them in the shard
    assert len(await listed(trail.events)) == len(left)
    said = [name for seal in await chain(trail) for name in seal.seal.removed]
    assert len(said) == len({(name.shard, name.behind) for name in said})
