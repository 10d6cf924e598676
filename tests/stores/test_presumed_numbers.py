"""A job's end follows on what another process wrote at its creation, without reading: its number, hash and place."""

from collections.abc import AsyncIterator

import pytest

from activities.clock import epoch_millis
from activities.stores.dynamo.client import AwsClients
from activities.stores.dynamo.creation import create_tables
from activities.stores.dynamo.events import DynamoEventStore
from activities.stores.dynamo.jobs import DynamoJobStore
from activities.stores.dynamo.table import JobTables
from activities.stores.interfaces.writes import WriteOutcome
from tests.stores.conftest import settings_for
from tests.stores.lives import NOON, make_job
from tests.stores.releases import make_event
from tests.stores.test_feed import check_chains, whole_feed
from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.feed import FeedRow
from workflows.contracts.jobs import Job
from workflows.contracts.records import JobWrite
from workflows.contracts.statuses import JobStatus, QueueStatus


class Process:
    """One process's stores; ``requests``: those for events that it has sent."""

    def __init__(self, clients: AwsClients, tables: JobTables) -> None:
        self.clients = clients
        self.jobs, self.events = DynamoJobStore(clients, tables), DynamoEventStore(clients, tables.events)
        self.requests: list[str] = []
        clients.dynamodb.meta.events.register("before-call.dynamodb", self._count)

    def _count(self, model: object, **_others: object) -> None:
        self.requests.append(str(getattr(model, "name", "")))


@pytest.fixture(params=["embedded", "dynamodb-local"])
async def processes(request: pytest.FixtureRequest) -> AsyncIterator[list[Process]]:
    url = request.getfixturevalue("aws_endpoint" if request.param == "embedded" else "dynamodb_local_endpoint")
    settings = settings_for(url)
    tables, clients = JobTables.of(settings), [AwsClients(settings) for _ in range(2)]
    await create_tables(clients[0], tables)
    yield [Process(each, tables) for each in clients]
    for each in clients:
        each.close()


def about(job: Job, what: str, at: int = NOON) -> AuditEvent:
    return make_event(f"{job.job_id}-{what}", at=at, job_id=job.job_id, action=f"job.{what}")


def creation(job: Job) -> JobWrite:
    return JobWrite(job=job, events=[about(job, "submitted"), about(job, "amended")])


def end(job: Job, created: JobWrite) -> JobWrite:
    ended = job.model_copy(
        update={
            "status": JobStatus.SUCCESS,
            "queue_status": QueueStatus.COMPLETED,
            "completed_at": epoch_millis(),
            "sequence": 2,
        }
    )
    return JobWrite(
        job=ended, previous=QueueStatus.QUEUED, creation=created.events, events=[about(job, "succeeded", NOON + 9)]
    )


async def own_rows(process: Process, job: Job) -> list[FeedRow]:
    rows = [row for row in await whole_feed(process.events) if row.event.job_id == job.job_id]
    check_chains(rows)
    return sorted(rows, key=lambda row: row.number)


def told(rows: list[FeedRow]) -> list[str]:
    return [row.event.action.removeprefix("job.") for row in rows]


async def test_a_jobs_end_reads_nothing(processes: list[Process]) -> None:
    api, worker = processes
    for job in (make_job(), make_job(), make_job()):
        created = creation(job)
        assert await api.jobs.write(created) is WriteOutcome.APPLIED
        worker.requests.clear()
        assert await worker.jobs.write(end(job, created)) is WriteOutcome.APPLIED
        rows = await own_rows(api, job)
        assert told(rows) == ["submitted", "amended", "succeeded"]
    assert worker.requests == ["TransactWriteItems"], "but for the first, which asked for a shard's last number"


async def test_what_comes_behind_it_keeps_its_place(processes: list[Process]) -> None:
    api, worker = processes
    job = make_job()
    created = creation(job)
    await api.jobs.write(created)
    await worker.jobs.write(end(job, created))
    await worker.events.append(about(job, "noted", NOON + 10))
    await api.events.append(about(job, "noted-again", NOON + 11))
    rows = await own_rows(worker, job)
    assert told(rows) == ["submitted", "amended", "succeeded", "noted", "noted-again"]


@pytest.mark.parametrize("wrong", ["another event", "another text"])
async def test_a_wrong_presumption_is_found_out(processes: list[Process], wrong: str) -> None:
    api, worker = processes
    job = make_job()
    created = creation(job)
    assert await api.jobs.write(created) is WriteOutcome.APPLIED
    write = end(job, created)
    if wrong == "another event":
        await api.events.append(about(job, "noted"))
    else:  # the worker is of another version, which would write the same event in other words
        first, second = created.events
        write = write.model_copy(update={"creation": [first.model_copy(update={"message": "other words"}), second]})
    assert await worker.jobs.write(write) is WriteOutcome.APPLIED
    rows = await own_rows(api, job)
    between = ["noted"] if wrong == "another event" else []
    assert told(rows) == ["submitted", "amended", *between, "succeeded"]
    assert rows[0].event.message == ""
