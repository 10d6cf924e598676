"""How a sweep is noted, whose word it is, and where it goes on when it is tried again."""

from dataclasses import replace

from temporalio.testing import ActivityEnvironment

from activities.events.witness import Witness
from activities.retention.activities import RetentionActivities
from activities.retention.sweep import Sweeper, SweepStores
from activities.retention.walk import Bounds
from activities.stores.open import open_memory_stores
from tests.retention.house import NOW, House, days
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.storage.retention import (
    Sweep,
    SweepInput,
    SweepNote,
    SweepPlace,
    SweepResult,
    SweepTask,
    Swept,
    SweptKind,
)

SECRET = b"s" * 32
_ID = "maintenance-sweep"


def activities_of(house: House, bounds: Bounds | None = None) -> RetentionActivities:
    own = house.stores
    stores = SweepStores(own.jobs, own.deployments, own.environments, own.logs, own.artifacts, own.storage)
    sweeper = Sweeper(stores, days(jobs=90, logs=30), lambda: house.now, bounds=bounds)
    return RetentionActivities(sweeper, own.events, Witness(SECRET), lambda: house.now)


def environment(**info: object) -> ActivityEnvironment:
    found = ActivityEnvironment()
    found.info = replace(found.info, workflow_id=_ID, **info)  # pyright: ignore[reportArgumentType]
    return found


async def test_what_went_is_in_the_trail_with_the_policy_by_which_it_went() -> None:
    house = House(open_memory_stores())
    bodies = activities_of(house)
    kinds = [Swept(kind=SweptKind.JOBS, looked_at=3, removed=2, objects=4, size=99), Swept(kind=SweptKind.LOGS)]
    command = Sweep(by="ann", via="cli", role="operator", reason="full").proven(SECRET, _ID, NOW).heard(NOW)
    result = SweepResult(policy=days(jobs=90, logs=30), kinds=kinds)
    note = SweepNote(event_id="swept-1", start=SweepInput(command=command), result=result)
    for _ in range(2):
        await environment().run(bodies.note_sweep, note)
    (event,) = (await house.stores.events.list(EventQuery())).items
    assert (event.action, event.by, event.via, event.reason) == ("storage.swept", "ann", "cli", "full")
    assert event.details == {
        "removed": {"jobs": 2}, "size": 99, "live_versions": 10,
        "ages": {"deployments": None, "jobs": 90 * 86_400, "logs": 30 * 86_400, "artifacts": None, "events": None},
    }  # fmt: skip
    state = await house.stores.storage.sweeps()
    assert (state.last, state.last_at) == (result, NOW)


async def test_nobodys_word_is_told_as_that() -> None:
    house = House(open_memory_stores())
    result = SweepResult(kinds=[Swept(kind=SweptKind.JOBS, removed=1)])
    forged = Sweep(by="ann", via="cli", role="admin").heard(NOW)
    for number, command in enumerate((forged, None)):
        note = SweepNote(event_id=f"swept-{number}", start=SweepInput(command=command), result=result)
        await environment().run(activities_of(house).note_sweep, note)
    events = {each.event_id: each for each in (await house.stores.events.list(EventQuery())).items}
    assert (events["swept-0"].via, events["swept-0"].role) == ("temporal", None)
    assert (events["swept-1"].by, events["swept-1"].via) == ("retention", "workflow")


async def test_a_sweep_that_removed_nothing_tells_nothing() -> None:
    house = House(open_memory_stores())
    place = SweepPlace(front="1", back="0")
    result = SweepResult(kinds=[Swept(kind=SweptKind.JOBS, place=place)])
    note = SweepNote(event_id="swept-1", start=SweepInput(), result=result)
    await environment().run(activities_of(house).note_sweep, note)
    assert (await house.stores.events.list(EventQuery())).items == []
    assert (await house.stores.storage.sweeps()).places == {SweptKind.JOBS: place}


async def test_tried_again_it_goes_on_behind_what_it_had_done() -> None:
    house = House(open_memory_stores())
    jobs = [await house.job(200 - number) for number in range(6)]
    bodies = activities_of(house, Bounds(front=3, again=0))
    beats = list[Swept]()
    first = environment()
    first.on_heartbeat = beats.append
    await first.run(bodies.sweep_records, SweepTask(kind=SweptKind.JOBS))
    assert [await house.is_there(job) for job in jobs] == [False] * 3 + [True] * 3
    again = environment(heartbeat_details=[beats[-1]])
    answer = await again.run(bodies.sweep_records, SweepTask(kind=SweptKind.JOBS))
    assert [(each.looked_at, each.removed) for each in answer.kinds] == [(6, 6)]
    assert [await house.is_there(job) for job in jobs] == [False] * 6
