"""The contract of JobStore: records. Lists are in test_lists, statistics in test_counters."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.stores.documents import dump_job, load_job
from activities.stores.dynamo.items import RecordWrite
from activities.stores.dynamo.table import JobTables
from activities.stores.interfaces.jobs import JobStore
from activities.stores.interfaces.writes import WriteOutcome
from tests.stores.conftest import JobStores
from tests.stores.lives import NOON, make_job
from tests.stores.releases import make_event
from tests.stores.trails import trail
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.errors import ValidationFailed
from workflows.contracts.jobs import Attempt, Job, Step
from workflows.contracts.records import JobQuery, JobWrite
from workflows.contracts.statuses import JobStatus, Outcome, QueueStatus

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["", "a", "$decimal", "ü"]), inner),
    max_leaves=12,
)
CORNERS: dict[str, Any] = {
    "": "", "none": None, "zero": 0, "false": False, "big": 2**200, "negative": -(2**64), "float": 0.1, "minus": -0.0,
    "decimal": Decimal("1.10"), "tiny": Decimal("1E-400"), "infinite": float("inf"), "unicode": "naïve 🚀 \u2028 \x7f",
    "empty": [[], {}], "tag": {"$decimal": "not a number"}, "nested tag": {"$object": {"$float": [Decimal("0")]}},
}  # fmt: skip


async def test_what_was_written_is_read(jobs: JobStore) -> None:
    attempt = Attempt(
        number=1, queued_at=NOON, claimed_at=NOON, finished_at=NOON, exit_code=0, outcome=Outcome.SUCCEEDED
    )
    job = make_job(
        git_commit_message="", exit_code=0, duration_seconds=0.0, error_message="", agent_id=None, labels={"": ""},
        env={"EMPTY": "", "TEXT": "ü\n\t🚀"}, metadata=CORNERS, attempts=[attempt], tags=["", "ß"],
    )  # fmt: skip
    assert await jobs.write(JobWrite(job=job)) is WriteOutcome.APPLIED
    read = await jobs.get(job.job_id)
    assert read == job
    assert read is not None
    assert repr(read.metadata) == repr(job.metadata)  # equality alone takes 0 for False and 1.10 for 1.1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(metadata=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), JSON, max_size=5))
def test_any_metadata_survives_the_document(metadata: dict[str, Any]) -> None:
    job = make_job(metadata=metadata)
    read = load_job(dump_job(job))
    assert read == job
    assert repr(read.metadata) == repr(job.metadata)


async def test_a_large_record_is_kept(jobs: JobStore) -> None:
    steps = [Step(name=f"step {number}", run="echo ü\n" * 2000) for number in range(40)]
    job = make_job(steps=steps)
    await jobs.write(JobWrite(job=job))
    assert await jobs.get(job.job_id) == job


async def test_an_unknown_job_is_none(jobs: JobStore) -> None:
    assert await jobs.get(make_job().job_id) is None


async def test_an_old_or_repeated_write_changes_nothing(jobs: JobStore) -> None:
    first = make_job()
    third = first.model_copy(update={"sequence": 3, "queue_status": QueueStatus.RUNNING, "status": JobStatus.RUNNING})
    second = first.model_copy(update={"sequence": 2, "pool": "gpu"})
    assert await jobs.write(JobWrite(job=first)) is WriteOutcome.APPLIED
    assert await jobs.write(JobWrite(job=third, previous=QueueStatus.QUEUED)) is WriteOutcome.APPLIED
    for late in (second, third, third.model_copy(update={"pool": "gpu"})):
        assert await jobs.write(JobWrite(job=late, previous=QueueStatus.QUEUED)) is WriteOutcome.STALE
    assert await jobs.write(JobWrite(job=first)) is WriteOutcome.STALE
    assert await jobs.get(first.job_id) == third
    stats = await jobs.queue_stats()
    assert (stats.total, stats.depth, stats.running) == (1, 0, 1)


async def test_events_are_kept_with_their_job_and_only_with_it(job_stores: JobStores) -> None:
    jobs, events, first = job_stores.jobs, job_stores.events, make_job()
    named = [make_event(f"e{number}", at=NOON + number, job_id=first.job_id, service_name="s") for number in range(30)]
    assert await jobs.write(JobWrite(job=first, events=named[:1])) is WriteOutcome.APPLIED
    assert await jobs.write(JobWrite(job=first, events=[make_event("late")])) is WriteOutcome.STALE
    second = first.model_copy(update={"sequence": 2, "pool": "gpu"})
    again = JobWrite(job=second, previous=QueueStatus.QUEUED, events=named)
    outcomes = await asyncio.gather(*(jobs.write(again) for _ in range(3)))
    assert outcomes.count(WriteOutcome.APPLIED) == 1
    third = first.model_copy(update={"sequence": 3, "queue_status": QueueStatus.RUNNING, "status": JobStatus.RUNNING})
    bad = make_event("x" * 257)
    with pytest.raises(ValidationFailed):
        await jobs.write(JobWrite(job=third, previous=QueueStatus.QUEUED, events=[bad]))
    assert await jobs.get(first.job_id) == second
    assert await jobs.write(JobWrite(job=third, previous=QueueStatus.QUEUED)) is WriteOutcome.APPLIED
    assert await trail(events, EventQuery(job_id=first.job_id)) == list(reversed(named))
    assert len(await trail(events)) == len(named)
    assert (await jobs.queue_stats()).running == 1


async def test_the_events_of_a_creation_are_kept_with_whatever_comes_first(job_stores: JobStores) -> None:
    """Another process was to create the record; the next write comes before it, or after, or at the same moment."""
    jobs, events = job_stores.jobs, job_stores.events

    async def in_order(*order: int, at_once: bool = False) -> list[str]:
        first = make_job()
        submitted = make_event(f"submitted-{first.job_id}", at=NOON, job_id=first.job_id)
        claimed = make_event(f"claimed-{first.job_id}", at=NOON + 1, job_id=first.job_id)
        second = first.model_copy(
            update={"sequence": 2, "queue_status": QueueStatus.CLAIMED, "status": JobStatus.RUNNING}
        )
        writes = [
            JobWrite(job=first, events=[submitted]),
            JobWrite(job=second, previous=QueueStatus.QUEUED, events=[claimed], creation=[submitted]),
        ]
        if at_once:
            await asyncio.gather(*(jobs.write(writes[number]) for number in order))
        else:
            for number in order:
                await jobs.write(writes[number])
        assert await jobs.get(first.job_id) == second
        return [event.event_id.partition("-")[0] for event in await trail(events, EventQuery(job_id=first.job_id))]

    assert await in_order(0, 1) == await in_order(1, 0) == await in_order(1) == ["claimed", "submitted"]
    for _ in range(5):
        assert await in_order(0, 1, at_once=True) == ["claimed", "submitted"]
    stats = await jobs.queue_stats()
    assert (stats.total, stats.depth, stats.running) == (8, 0, 8)


async def test_one_of_32_racing_writers_wins(jobs: JobStore) -> None:
    created = make_job()
    await jobs.write(JobWrite(job=created))
    racing = [created.model_copy(update={"sequence": 2, "pool": f"pool-{number}"}) for number in range(32)]
    outcomes = await asyncio.gather(*(jobs.write(JobWrite(job=job, previous=QueueStatus.QUEUED)) for job in racing))
    assert outcomes.count(WriteOutcome.APPLIED) == 1
    assert await jobs.get(created.job_id) == racing[outcomes.index(WriteOutcome.APPLIED)]


async def test_one_of_32_racing_creators_wins(jobs: JobStore) -> None:
    job = make_job()
    outcomes = await asyncio.gather(*(jobs.write(JobWrite(job=job)) for _ in range(32)))
    assert outcomes.count(WriteOutcome.APPLIED) == 1
    assert (await jobs.queue_stats()).total == 1
    assert [item.job_id for item in (await jobs.list(JobQuery())).items] == [job.job_id]


async def test_a_document_that_is_there_is_kept_as_it_is(jobs: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(metadata=CORNERS, exit_code=0)
    document = dump_job(job)
    with monkeypatch.context() as patched:
        patched.setattr(Job, "model_dump_json", None)
        assert await jobs.write(JobWrite(job=job), document) is WriteOutcome.APPLIED
    read = await jobs.get(job.job_id)
    assert read == job
    assert read is not None
    assert repr(read.metadata) == repr(job.metadata)


async def test_a_record_that_no_item_can_hold_is_refused_for_good() -> None:
    noise = "".join(chr(0x4E00 + (number * 7919) % 20000) for number in range(400_000))
    job = make_job(error_message=noise)
    with pytest.raises(ValidationFailed) as refused:
        RecordWrite(JobTables("jobs", "lists", "statistics", "events"), job)
    assert refused.value.errors[0].field == "job"
