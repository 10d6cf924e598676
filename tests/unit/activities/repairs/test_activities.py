"""Repairs without a server: where a workflow may be taken back to, how it is waited for, what ending one writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType, PendingActivityState, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import WorkflowHistory
from temporalio.testing import ActivityEnvironment

from activities.events.witness import Witness
from activities.jobs.reconcile import Ending
from activities.repairs.activities import RepairActivities, wait_for_progress
from activities.stores.open import open_memory_stores
from tests.api.fake_repairs import stuck_environment, stuck_job
from tests.unit.fakes import make_job
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.errors import NotFound
from workflows.contracts.jobs import Job
from workflows.contracts.repairs import (
    End,
    Kind,
    Repair,
    RepairInput,
    RepairNote,
    RepairOutcome,
    RepairProgress,
    RepairResult,
    Reset,
    Standing,
    Subject,
)
from workflows.repair.history import failure_message, last_answer, reset_point, unread_signals

BROKEN = Path(__file__).parents[3] / "replay" / "broken"
ATTEMPT, OTHER = "run_attempt", "await_closed"


def events(*kinds: str, **activities: str) -> list[HistoryEvent]:
    """Events in order; ``scheduled:NAME`` schedules an activity, ``started:ID`` starts the one of that event."""
    made: list[HistoryEvent] = []
    for number, text in enumerate(kinds, start=1):
        kind, _, detail = text.partition(":")
        event = HistoryEvent(event_id=number, event_type=EventType.Value(f"EVENT_TYPE_{kind}"))
        if kind == "ACTIVITY_TASK_SCHEDULED":
            event.activity_task_scheduled_event_attributes.activity_type.name = detail
        elif kind == "ACTIVITY_TASK_STARTED":
            event.activity_task_started_event_attributes.scheduled_event_id = int(detail)
        made.append(event)
    return made


def answered(name: str) -> list[HistoryEvent]:
    """An activity that agent-1 answered with one payload."""
    made = events(f"ACTIVITY_TASK_SCHEDULED:{name}", "ACTIVITY_TASK_STARTED:1", "ACTIVITY_TASK_COMPLETED")
    made[1].activity_task_started_event_attributes.identity = "agent-1"
    completed = made[2].activity_task_completed_event_attributes
    completed.scheduled_event_id = 1
    completed.result.payloads.add()
    return made


def pending(name: str, state: PendingActivityState.ValueType) -> PendingActivityInfo:
    info = PendingActivityInfo(state=state)
    info.activity_type.name = name
    return info


def test_it_goes_back_to_the_last_good_task() -> None:
    history = events("WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_COMPLETED", "MARKER_RECORDED", "TIMER_STARTED")
    assert reset_point(history) == (2, "")


def test_an_attempt_that_ended_before_it_is_not_run_again() -> None:
    history = events(
        "WORKFLOW_TASK_COMPLETED", f"ACTIVITY_TASK_SCHEDULED:{ATTEMPT}", "ACTIVITY_TASK_STARTED:2",
        "ACTIVITY_TASK_COMPLETED", "WORKFLOW_TASK_COMPLETED", "MARKER_RECORDED",
    )  # fmt: skip
    assert reset_point(history) == (5, "")


@pytest.mark.parametrize(
    ("history", "pending_activities", "why"),
    [
        (("WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_FAILED"), [], "never finished a task"),
        (
            ("WORKFLOW_TASK_COMPLETED", f"ACTIVITY_TASK_SCHEDULED:{ATTEMPT}", "WORKFLOW_TASK_COMPLETED",
             "ACTIVITY_TASK_STARTED:2", "ACTIVITY_TASK_COMPLETED"),
            [], "its commands would run again",
        ),
        (
            ("WORKFLOW_TASK_COMPLETED", "START_CHILD_WORKFLOW_EXECUTION_INITIATED"), [], "would be started again",
        ),
        (
            ("WORKFLOW_TASK_COMPLETED", f"ACTIVITY_TASK_SCHEDULED:{ATTEMPT}", "WORKFLOW_TASK_COMPLETED"),
            [pending(ATTEMPT, PendingActivityState.PENDING_ACTIVITY_STATE_STARTED)], "beside it",
        ),
    ],
    ids=["no task", "the end of an attempt", "a child", "an attempt that runs"],
)  # fmt: skip
def test_it_does_not_go_back_where_something_would_run_twice(
    history: tuple[str, ...], pending_activities: list[PendingActivityInfo], why: str
) -> None:
    event_id, obstacle = reset_point(events(*history), pending_activities)
    assert event_id is None
    assert why in obstacle


def test_what_runs_no_commands_may_be_done_again() -> None:
    history = events(
        "WORKFLOW_TASK_COMPLETED", f"ACTIVITY_TASK_SCHEDULED:{OTHER}", "WORKFLOW_TASK_COMPLETED",
        "ACTIVITY_TASK_STARTED:2", "ACTIVITY_TASK_COMPLETED", "CHILD_WORKFLOW_EXECUTION_COMPLETED",
    )  # fmt: skip
    waiting = pending(ATTEMPT, PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED)
    watched = pending(OTHER, PendingActivityState.PENDING_ACTIVITY_STATE_STARTED)
    assert reset_point(history, [waiting, watched]) == (3, "")


@pytest.mark.parametrize("path", sorted(BROKEN.glob("*.json")), ids=lambda path: path.stem)
def test_the_broken_histories_are_diagnosed(path: Path) -> None:
    history = WorkflowHistory.from_json("broken", path.read_text()).events
    last = max(each.event_id for each in history if each.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
    assert reset_point(history) == (last, "")
    assert "Nondeterminism" in failure_message(reversed(history))


def test_a_task_that_only_times_out_is_told_in_words() -> None:
    history = events("WORKFLOW_TASK_COMPLETED", "WORKFLOW_TASK_TIMED_OUT")
    assert "none of them finished it in time" in failure_message(reversed(history))


def test_a_reset_is_no_failure() -> None:
    history = events("WORKFLOW_TASK_FAILED")
    attributes = history[0].workflow_task_failed_event_attributes
    attributes.cause = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
    attributes.failure.message = "reset"
    assert failure_message(history) != "reset"


def test_signals_behind_the_last_good_task_are_unread() -> None:
    history = events(
        "WORKFLOW_EXECUTION_SIGNALED", "WORKFLOW_TASK_COMPLETED", "WORKFLOW_EXECUTION_SIGNALED",
        "WORKFLOW_TASK_FAILED", "WORKFLOW_EXECUTION_SIGNALED",
    )  # fmt: skip
    assert [event.event_id for event in unread_signals(history)] == [3, 5]


class FakeTemporal:
    """Implements ``Repairable``."""

    def __init__(self, *progress: RepairProgress) -> None:
        self.steps = list(progress)
        self.free = True
        self.done: list[tuple[str, ...]] = []

    async def standing(self, subject: Subject) -> Standing:
        return Standing(open=True, stuck=True, run_id="r1", reset_to=4)

    async def progress(self, subject: Subject) -> RepairProgress:
        return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]

    async def reset(self, reset: Reset) -> None:
        self.done.append(("reset", reset.run_id))

    async def terminate(self, workflow_id: str, run_id: str, reason: str) -> None:
        self.done.append(("terminate", workflow_id, run_id, reason))

    async def start_environment(self, service_name: str, environment: str, ended_run: str) -> None:
        self.done.append(("start", service_name, environment, ended_run))

    async def resume_job(self, job: Job, ended_run: str, odd_answer: str) -> bool:
        self.done.append(("resume", job.job_id, ended_run, odd_answer))
        return self.free


@pytest.mark.parametrize(
    ("steps", "patience", "outcome"),
    [
        ([RepairProgress.SILENT, RepairProgress.SILENT, RepairProgress.GOES_ON], 5, RepairProgress.GOES_ON),
        ([RepairProgress.SILENT, RepairProgress.STUCK], 5, RepairProgress.STUCK),
        ([RepairProgress.SILENT], 0, RepairProgress.SILENT),
    ],
)
async def test_it_is_waited_for_until_it_goes_on_or_fails(
    steps: list[RepairProgress], patience: float, outcome: RepairProgress
) -> None:
    beats: list[None] = []
    beat: Callable[[], None] = lambda: beats.append(None)  # noqa: E731
    assert await wait_for_progress(FakeTemporal(*steps), JOB, beat, patience=patience, look=0.001) is outcome
    assert len(beats) >= len(steps)


JOB = Subject(kind=Kind.JOB, workflow_id="job-1", job_id="1", pool="linux")
DEPLOYMENT = Subject(kind=Kind.DEPLOYMENT, workflow_id="deploy-shop-1.0-7", deployment_id="7", service_name="shop")
ENVIRONMENT = Subject(kind=Kind.ENVIRONMENT, workflow_id="env-shop-live", service_name="shop", environment="live")


class Bench:
    """The activities over fakes, and what they did."""

    def __init__(self, closing: Exception | None = None) -> None:
        self.temporal, self.stores = FakeTemporal(RepairProgress.GOES_ON), open_memory_stores()
        self.closed: list[tuple[str, str, Ending]] = []
        self.activities = RepairActivities(
            self.temporal,
            self.stores.events,
            self._read_job,
            self._closer("job"),
            self._closer("deployment"),
            lambda: 5,
            Witness(),
        )
        self._closing = closing
        self.job: Job | None = make_job("1")

    async def _read_job(self, job_id: str) -> Job:
        if self.job is None:
            raise NotFound("there is no such job")
        return self.job

    def _closer(self, what: str) -> Any:
        async def close(subject_id: str, ending: Ending) -> bool:
            if self._closing is not None:
                raise self._closing
            self.closed.append((what, subject_id, ending))
            return True

        return close


def end_of(subject: Subject) -> End:
    command = Repair(by="ann", via="cli", reason="an outage", end=True)
    return End(repair=RepairInput(subject=subject, command=command), run_id="r1")


async def test_an_odd_answer_ends_the_attempt_of_a_free_job_and_the_whole_of_a_deployments() -> None:
    for free in (True, False):
        bench = Bench()
        bench.temporal.free = free
        end = end_of(JOB).model_copy(update={"odd_answer": "2 payloads instead of one"})
        await bench.activities.end_workflow(end)
        resumed = ("resume", "1", "r1", "2 payloads instead of one")
        assert bench.temporal.done == [("terminate", "job-1", "r1", "repair by ann: an outage"), resumed]
        assert [(what, job_id, ending.cause) for what, job_id, ending in bench.closed] == (
            [] if free else [("job", "1", "agent_error")]
        )


def test_only_an_answer_behind_the_last_good_task_can_be_what_stops_it() -> None:
    made = answered(ATTEMPT)
    answer = last_answer(made)
    assert answer is not None
    assert (answer.failure, len(answer.payloads)) == (None, 1)
    assert last_answer([*made, *events("WORKFLOW_TASK_COMPLETED")]) is None
    assert last_answer(answered(OTHER)) is None


@pytest.mark.parametrize("how", ["failed", "timed_out", "canceled"])
def test_what_an_agent_says_in_a_failure_is_looked_at_too(how: str) -> None:
    made = events(f"ACTIVITY_TASK_SCHEDULED:{ATTEMPT}", "ACTIVITY_TASK_STARTED:1", f"ACTIVITY_TASK_{how.upper()}")
    said = getattr(made[2], f"activity_task_{how}_event_attributes")
    said.scheduled_event_id = 1
    junk = Payload(data=b"junk")
    if how == "canceled":
        said.details.payloads.append(junk)
    else:
        said.failure.encoded_attributes.CopyFrom(junk)
    answer = last_answer(made)
    assert answer is not None
    assert answer.failure is not None
    assert junk in (answer.failure.encoded_attributes, *answer.failure.canceled_failure_info.details.payloads)
    assert last_answer([*made, *events("WORKFLOW_TASK_COMPLETED")]) is None


@pytest.mark.parametrize(("subject", "what"), [(JOB, ("job", "1")), (DEPLOYMENT, ("deployment", "7"))])
async def test_the_record_of_what_is_ended_is_closed(subject: Subject, what: tuple[str, str]) -> None:
    bench = Bench()
    await bench.activities.end_workflow(end_of(subject))
    assert bench.temporal.done == [("terminate", subject.workflow_id, "r1", "repair by ann: an outage")]
    ((kind, subject_id, ending),) = bench.closed
    assert (kind, subject_id) == what
    assert ending.cause == "repaired"
    assert "ann" in ending.why
    assert "an outage" in ending.why


async def test_a_deployment_that_broke_before_it_had_a_record_is_just_ended() -> None:
    bench = Bench(closing=NotFound("there is no such deployment"))
    await bench.activities.end_workflow(end_of(DEPLOYMENT))
    assert [what for what, *_ in bench.temporal.done] == ["terminate"]


async def test_an_environment_starts_anew() -> None:
    bench = Bench()
    await bench.activities.end_workflow(end_of(ENVIRONMENT))
    assert [what for what, *_ in bench.temporal.done] == ["terminate", "start"]
    assert bench.temporal.done[1] == ("start", "shop", "live", "r1")
    assert bench.closed == []


async def test_a_repair_is_in_the_trail_once() -> None:
    bench = Bench()
    result = RepairResult(workflow_id="job-1", outcome=RepairOutcome.RESET, message="Job 1 goes on.", resets=1)
    note = RepairNote(event_id="repaired-x", repair=end_of(JOB).repair, result=result)
    await ActivityEnvironment().run(bench.activities.note_repair, note)
    await ActivityEnvironment().run(bench.activities.note_repair, note)
    (event,) = (await bench.stores.events.list(EventQuery(limit=10))).items
    assert (event.action, event.by, event.via, event.reason) == ("workflow.repaired", "ann", "cli", "an outage")
    assert (event.job_id, event.pool, event.message) == ("1", "linux", "Job 1 goes on.")
    assert event.details == {"workflow_id": "job-1", "outcome": "reset", "resets": 1}


def test_the_command_that_cures_it() -> None:
    assert stuck_job("7").command == 'hybridci repair job 7 --reason "…"'
    assert stuck_environment("shop", "live").command == 'hybridci repair environment shop/live --reason "…"'
    other = Subject(kind=Kind.OTHER, workflow_id="redrive-1")
    assert other.command.startswith("temporal workflow reset --workflow-id redrive-1")


@pytest.mark.parametrize("told", [{"deployment_id": "7"}, {"created_by": "deployment 7"}])
async def test_a_deployments_trail_says_who_ended_its_job(told: dict[str, Any]) -> None:
    bench = Bench()
    bench.job = make_job("1", labels={"service": "shop"}, **told)
    result = RepairResult(workflow_id="job-1", outcome=RepairOutcome.ENDED, message="Job 1 was ended, as ann asked.")
    note = RepairNote(event_id="repaired-x", repair=end_of(JOB).repair, result=result)
    await ActivityEnvironment().run(bench.activities.note_repair, note)
    (event,) = (await bench.stores.events.list(EventQuery(deployment_id="7", limit=10))).items
    assert (event.action, event.by, event.reason, event.job_id) == ("workflow.repaired", "ann", "an outage", "1")
    assert (event.service_name, event.message) == ("shop", "Job 1 was ended, as ann asked.")


async def test_a_repair_of_a_job_without_a_record_is_told_all_the_same() -> None:
    bench = Bench()
    bench.job = None
    result = RepairResult(workflow_id="job-1", outcome=RepairOutcome.ENDED, message="ended")
    note = RepairNote(event_id="repaired-x", repair=end_of(JOB).repair, result=result)
    await ActivityEnvironment().run(bench.activities.note_repair, note)
    (event,) = (await bench.stores.events.list(EventQuery(limit=10))).items
    assert (event.job_id, event.deployment_id) == ("1", None)
