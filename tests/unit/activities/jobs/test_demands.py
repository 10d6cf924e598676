"""What jobs demand of agents is kept before they wait, as long as they wait, and costs nothing for jobs that do not."""

from collections.abc import Sequence

import pytest

from activities.chaining.chains import run_chain
from activities.jobs.chains import build_job_creation_chain
from activities.jobs.links import REFRESH_MILLIS
from activities.jobs.readers import JobReader
from activities.jobs.reconcile import Reconciler
from activities.jobs.writers import JobWriter
from activities.stores.demands import KEPT_SECONDS
from activities.stores.interfaces.writes import WriteOutcome
from activities.stores.memory.agents import MemoryAgentStore
from activities.stores.memory.events import MemoryEventStore
from tests.stores.agents import StoppedClock
from tests.stores.releases import make_event
from tests.unit.activities.jobs.test_reconcile import FakeWorkflows
from tests.unit.fakes import FakeJobStore, make_job
from workflows.contracts.errors import Unavailable
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus

NOW = 1_790_000_000_000


class CountingAgentStore(MemoryAgentStore):
    """Counts what is written of demands; ``down`` refuses it."""

    def __init__(self, clock: StoppedClock) -> None:
        super().__init__(MemoryEventStore(), clock)
        self.noted: list[tuple[str, ...]] = []
        self.down = False

    async def demand(self, pool: str, requires: Sequence[str], at: int) -> None:
        if self.down:
            raise Unavailable("down")
        self.noted.append((pool, *requires))
        await super().demand(pool, requires, at)


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(NOW)


@pytest.fixture
def agents(clock: StoppedClock) -> CountingAgentStore:
    return CountingAgentStore(clock)


def in_line(job_id: str = "a", requires: Sequence[str] = ("gpu=*",), **changes: object) -> Job:
    return make_job(job_id, **{"requires": [*requires], "status": JobStatus.QUEUED, "sequence": 3, **changes})


async def test_a_new_jobs_demand_and_events_are_kept(agents: CountingAgentStore, clock: StoppedClock) -> None:
    jobs, event = FakeJobStore(), make_event("created")
    chain = build_job_creation_chain(jobs, agents, clock=clock)
    requests = [in_line("a"), in_line("b", ["os=linux", "!spot"], pool="gpu"), in_line("c", []), in_line("d")]
    for request in requests:
        await run_chain(chain, {"request": request, "events": [event]}, result="outcome", kind=WriteOutcome)
    assert agents.noted == [("default", "gpu=*"), ("gpu", "!spot", "os=linux")]
    assert [write.events for write in jobs.writes] == [[event]] * 4
    clock.now += REFRESH_MILLIS
    await run_chain(chain, {"request": in_line("e")}, result="outcome", kind=WriteOutcome)
    assert [each.last_used_at for each in await agents.demands("default")] == [clock.now]


@pytest.mark.parametrize(
    ("before", "after", "notes"),
    [
        (QueueStatus.QUEUED, QueueStatus.QUEUED, True),  # moved
        (QueueStatus.DEAD_LETTERED, QueueStatus.QUEUED, True),  # redriven
        (QueueStatus.RUNNING, QueueStatus.QUEUED, True),  # tried again
        (QueueStatus.QUEUED, QueueStatus.CLAIMED, False),
        (QueueStatus.RUNNING, QueueStatus.RUNNING, False),
    ],
)
async def test_a_job_that_waits_again_demands_again(
    agents: CountingAgentStore, clock: StoppedClock, before: QueueStatus, after: QueueStatus, notes: bool
) -> None:
    jobs = FakeJobStore()
    status = JobStatus.RUNNING if after is QueueStatus.RUNNING else JobStatus.QUEUED
    write = JobWrite(job=in_line(queue_status=after, status=status), previous=before)
    await JobWriter(jobs, agents, clock=clock).write(write)
    assert agents.noted == ([("default", "gpu=*")] if notes else [])
    plain = in_line("b", [], queue_status=after, status=status)
    await JobWriter(jobs, agents, clock=clock).write(JobWrite(job=plain, previous=before))
    assert len(agents.noted) == notes


async def test_no_job_waits_whose_demand_is_not_known(agents: CountingAgentStore, clock: StoppedClock) -> None:
    jobs, agents.down = FakeJobStore(), True
    writer = JobWriter(jobs, agents, clock=clock)
    for job in (in_line(), in_line()):
        with pytest.raises(Unavailable):
            await writer.write(JobWrite(job=job, previous=QueueStatus.QUEUED))
    assert jobs.writes == []
    agents.down = False
    await writer.write(JobWrite(job=in_line(), previous=QueueStatus.QUEUED))
    assert agents.noted == [("default", "gpu=*")]


async def test_a_demand_is_kept_as_long_as_a_job_waits(agents: CountingAgentStore, clock: StoppedClock) -> None:
    waiting = [in_line("a"), in_line("b"), in_line("c", ["os=linux"], status=JobStatus.PENDING), in_line("d", [])]
    running = in_line("e", ["arch=arm"], status=JobStatus.RUNNING, queue_status=QueueStatus.RUNNING)
    jobs = FakeJobStore(*waiting, running)
    await agents.demand("default", ["gpu=*"], NOW)
    clock.now = NOW + KEPT_SECONDS * 1000 + 1
    assert await agents.demands("default") == []
    workflows = FakeWorkflows({}, set(jobs.jobs))
    await Reconciler(JobReader(jobs), JobWriter(jobs, agents, clock=clock), workflows, clock).run(lambda checked: None)
    assert [each.requires for each in await agents.demands("default")] == [["os=linux"], ["gpu=*"]]
    assert sorted(agents.noted[1:]) == [("default", "gpu=*"), ("default", "os=linux")]
