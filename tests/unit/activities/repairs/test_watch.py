"""The watch: one event for each failure however many look, an end of it, and nothing while nothing is stuck."""

import itertools
import logging

import pytest
from temporalio.service import RPCError, RPCStatusCode

from activities.repairs.watch import Watch
from activities.stores.interfaces.events import EventStore
from activities.stores.open import open_memory_stores
from tests.api.fake_repairs import stuck_environment, stuck_job
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.errors import Unavailable
from workflows.contracts.repairs import Kind, RepairInput, Standing, Story, StuckWorkflow, Subject

JOB = stuck_job("0f6f1c5e-0000-4000-8000-000000000001", pool="linux")
ENVIRONMENT = stuck_environment("checkout", "production")


class FakeSource:
    """``found`` is what Temporal lists; ``hidden`` are stuck, but visibility is behind."""

    def __init__(self, *found: StuckWorkflow) -> None:
        self.found = list(found)
        self.hidden: set[str] = set()
        self.failure: Exception | None = None
        self.gone = False
        self.stories = 0
        self.odd_answers: dict[str, str] = {}
        self.repairs: list[RepairInput] = []

    async def repair(self, start: RepairInput) -> None:
        self.repairs.append(start)

    async def find(self) -> list[StuckWorkflow]:
        if self.failure is not None:
            raise self.failure
        return list(self.found)

    async def story(self, stuck: StuckWorkflow) -> Story:
        self.stories += 1
        return Story(episode=f"{stuck.run_id}-7", message="[TMPRL1100] does not replay")

    async def standing(self, subject: Subject) -> Standing:
        return Standing(open=True, stuck=True, odd_answer=self.odd_answers.get(subject.workflow_id, ""))

    async def is_stuck(self, subject: Subject) -> bool:
        if self.gone:
            raise RPCError("no such workflow", RPCStatusCode.NOT_FOUND, b"")
        return subject.workflow_id in self.hidden


async def events(store: EventStore) -> list[AuditEvent]:
    return list(reversed((await store.list(EventQuery(limit=100))).items))


def watch_of(source: FakeSource, store: EventStore) -> Watch:
    times = itertools.count(1_000)
    return Watch(source, store, lambda: next(times), source.repair)


async def test_a_stuck_workflow_is_told_once_by_all_that_look() -> None:
    source, store = FakeSource(JOB, ENVIRONMENT), open_memory_stores().events
    for watch in (watch_of(source, store), watch_of(source, store)):
        await watch.tick()
        await watch.tick()
    assert source.stories == 4  # each looks once at each
    told = {event.job_id or event.environment: event for event in await events(store)}
    assert len(await events(store)) == 2
    job, environment = told[JOB.job_id], told["production"]
    assert (job.action, job.by, job.pool, job.at) == ("workflow.stuck", "watch", "linux", 1_000)
    assert job.details["cause"] == "WorkflowTaskFailedCauseNonDeterministicError"
    assert job.details["failure"] == "[TMPRL1100] does not replay"
    assert f"hybridci repair job {JOB.job_id}" in job.message
    assert "hybridci repair environment checkout/production" in environment.message


async def test_its_end_is_told_once_and_a_new_failure_anew() -> None:
    source, store = FakeSource(JOB), open_memory_stores().events
    watch = watch_of(source, store)
    await watch.tick()
    source.found = []
    source.hidden = {JOB.workflow_id}
    await watch.tick()
    assert watch.known.keys() == {JOB.workflow_id}  # visibility was behind
    source.hidden = set()
    await watch.tick()
    await watch.tick()
    assert not watch.known
    source.found = [JOB.model_copy(update={"run_id": "r9"})]
    await watch.tick()
    assert [event.action for event in await events(store)].count("workflow.recovered") == 1
    assert [event.action for event in await events(store)].count("workflow.stuck") == 2


async def test_one_that_was_reset_and_is_stuck_again_is_another_failure() -> None:
    source, store = FakeSource(JOB), open_memory_stores().events
    watch = watch_of(source, store)
    await watch.tick()
    source.found = [JOB.model_copy(update={"run_id": "after-a-reset"})]
    await watch.tick()
    assert [event.details["run_id"] for event in await events(store)] == ["r1", "after-a-reset"]


async def test_a_deleted_one_is_gone() -> None:
    source, store = FakeSource(JOB), open_memory_stores().events
    watch = watch_of(source, store)
    await watch.tick()
    source.found, source.gone = [], True
    await watch.tick()
    assert not watch.known
    assert "gone" in (await events(store))[-1].message


@pytest.mark.parametrize(
    "failure",
    [Unavailable("no"), RPCError("no", RPCStatusCode.UNAVAILABLE, b""), RuntimeError("no connection")],
    ids=["store", "temporal", "connection"],
)
async def test_what_does_not_answer_is_told_once_and_asked_again(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    source, store = FakeSource(JOB), open_memory_stores().events
    watch = watch_of(source, store)
    source.failure = failure
    with caplog.at_level(logging.WARNING, "activities.repairs.watch"):
        await watch.tick()
        await watch.tick()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    source.failure = None
    await watch.tick()
    assert len(await events(store)) == 1


async def test_an_error_of_its_own_is_logged_whole_and_the_worker_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource(JOB)
    source.failure = KeyError("a fault of ours")
    await watch_of(source, open_memory_stores().events).tick()
    (record,) = caplog.records
    assert record.exc_info is not None


async def test_what_an_odd_answer_stops_is_repaired_at_once_and_nothing_else() -> None:
    other = stuck_job("0f6f1c5e-0000-4000-8000-000000000002", pool="linux")
    source, store = FakeSource(JOB, other, ENVIRONMENT), open_memory_stores().events
    source.odd_answers = dict.fromkeys([JOB.workflow_id, ENVIRONMENT.workflow_id], "2 payloads instead of one")
    watch = watch_of(source, store)
    await watch.tick()
    await watch.tick()
    (repair,) = source.repairs
    assert (repair.subject.kind, repair.subject.workflow_id) == (Kind.JOB, JOB.workflow_id)
    assert (repair.command.by, repair.command.end) == ("watch", False)
    assert "2 payloads instead of one" in repair.command.reason
    assert {event.action for event in await events(store)} == {"workflow.stuck"}
