"""How a record changes: what agents and edits cannot make of it."""

import pytest
from pydantic import ValidationError
from temporalio.exceptions import ApplicationError

from activities.stores.documents import dump_job
from workflows.contracts.attempts import MAX_REPORTED_ARTIFACTS, AttemptResult, AttemptStarted
from workflows.contracts.commands import Amend, Edit
from workflows.contracts.ids import LEASE_SECONDS
from workflows.contracts.jobs import ArtifactRef, Job, JobSpec, Step, StepResult, new_job, spec_of
from workflows.contracts.statuses import JobStatus, Outcome, Priority
from workflows.contracts.workspace.resume import ResumeAt
from workflows.job import record
from workflows.job.differences import differences

NOW = 1_000_000


def a_job(**fields: object) -> Job:
    base = {"job_type": "test", "git_repo": "file:///srv/shop.git", "git_commit_sha": "a" * 40, "git_author": "ann"}
    return record.queued(new_job(JobSpec.model_validate(base | fields), job_id="j", now=NOW - 10), NOW - 10)


def a_result(number: int = 1, **fields: object) -> AttemptResult:
    base = {"attempt": number, "agent_id": "agent-1", "outcome": Outcome.FAILED, "claimed_at": NOW, "finished_at": NOW}
    return AttemptResult.model_validate(base | fields)


@pytest.mark.parametrize("off", [-3_600_000, 3_600_000, 10**40])
def test_an_agents_clock_cannot_move_a_time_out_of_its_bounds(off: int) -> None:
    time = max(NOW + off, 0)
    started = AttemptStarted(attempt=1, agent_id="agent-1", claimed_at=time, started_at=time)
    claimed = record.claimed(a_job(), started, NOW)
    ended = record.attempt_ended(claimed, a_result(claimed_at=time, started_at=time, finished_at=time), NOW)
    for attempt in (claimed.attempts[0], ended.attempts[0]):
        times = [attempt.queued_at, attempt.claimed_at, attempt.started_at, attempt.finished_at or NOW]
        assert all(NOW - 10 <= at <= NOW for at in times if at is not None), times
        assert times == sorted(at for at in times if at is not None)


@pytest.mark.parametrize("announced", [0, 1, 10**40])
def test_an_announced_lease_is_no_longer_than_a_lease(announced: int) -> None:
    started = AttemptStarted(attempt=1, agent_id="agent-1", claimed_at=NOW, lease_expires_at=announced)
    lapses = record.claimed(a_job(), started, NOW).lease_expires_at
    assert lapses is not None
    assert NOW <= lapses <= NOW + LEASE_SECONDS * 1000


def test_an_agents_name_fits_into_a_key_of_the_store() -> None:
    with pytest.raises(ValidationError):
        AttemptStarted(attempt=1, agent_id="a" * 129, claimed_at=NOW)


def test_a_record_names_so_many_artifacts_and_no_more() -> None:
    found = [ArtifactRef(path=f"{number:05d}.txt", size=1, sha256="0" * 64) for number in range(10_000)]
    job = record.attempt_ended(a_job(), a_result(artifacts=found), NOW)
    assert job.attempts[0].artifacts == found[:MAX_REPORTED_ARTIFACTS]


def test_old_attempts_lose_their_details_but_not_their_causes() -> None:
    job = a_job()
    found = [ArtifactRef(path="report.txt", size=1, sha256="0" * 64)]
    for number in range(1, record.DETAILED_ATTEMPTS + 6):
        job = record.attempt_ended(job, a_result(number, artifacts=found, steps=[StepResult(name="unit")]), NOW)
    assert [attempt.number for attempt in job.attempts] == list(range(1, record.DETAILED_ATTEMPTS + 6))
    assert [bool(attempt.steps or attempt.artifacts) for attempt in job.attempts] == [False] * 5 + [True] * 20
    assert {attempt.outcome for attempt in job.attempts} == {Outcome.FAILED}
    assert len(dump_job(job)) < 32 * 1024


def test_an_edit_that_makes_no_valid_job_is_refused() -> None:
    job = a_job()
    for part in range(7):
        job = record.edited(job, Edit(env={f"PART_{part}": "x" * 32 * 1024}))
    with pytest.raises(ApplicationError, match="not be valid") as refused:
        record.edited(job, Edit(env={"PART_7": "x" * 32 * 1024, "PART_8": "x" * 32 * 1024}))
    assert (refused.value.type, refused.value.non_retryable) == ("validation_failed", True)
    assert "bytes long" in refused.value.details[0]["errors"][0]["message"]
    removed = record.edited(job, Edit(env={"PART_0": None, "PART_7": "x"}))
    assert ("PART_0" in removed.env, removed.env["PART_7"]) == (False, "x")


def test_an_edit_tells_the_trail_what_was_before_and_no_value_of_a_variable() -> None:
    job = a_job(env={"TOKEN": "old-value", "GONE": "x"}, steps=[{"name": "test", "run": "pytest"}])
    edit = Edit(
        steps=[Step(name="test", run="pytest -x")], git_commit_sha="b" * 40, env={"TOKEN": "new-value", "GONE": None},
        max_attempts=1,
    )  # fmt: skip
    changed = record.edited(job, edit)
    assert differences(job, changed) == [
        f"git_commit_sha: {'a' * 40} → {'b' * 40}",
        "retry max_attempts: 3 → 1",
        "env GONE: removed",
        "env TOKEN: changed",
        "step 1 (test): pytest → pytest -x",
    ]
    long = record.edited(job, Edit(steps=[Step(name=f"s{n}", run="x" * 2000) for n in range(100)]))
    assert len(differences(job, long)) == 41
    assert sum(map(len, differences(job, long))) < 40_000


def test_an_edit_can_take_all_demands_away_but_those_of_what_the_job_uses() -> None:
    job = a_job(requires=["gpu=*", "os=linux"], checkout={"tags": True})
    assert job.requires == ["gpu=*", "os=linux", "hybridci/checkout=*"]
    assert record.edited(job, Edit(requires=[])).requires == ["hybridci/checkout=*"]
    assert record.edited(job, Edit(requires=["ssd=*"])).requires == ["ssd=*", "hybridci/checkout=*"]
    assert record.edited(job, Edit(priority=Priority.HIGH)).requires == job.requires
    plain = record.edited(a_job(requires=["gpu=*"]), Edit(requires=[], steps=[Step(name="s", run="x")]))
    assert plain.requires == []


def test_a_redrive_begins_a_round_and_attempts_are_counted_in_it() -> None:
    job = a_job()
    for number in (1, 2, 3):
        job = record.attempt_ended(job, a_result(number), NOW)
    again = record.attempt_ended(record.redriven(job, NOW), a_result(4), NOW)
    assert (again.round, again.round_start) == (2, 3)
    assert [again.attempt_words(number) for number in (3, 4)] == ["attempt 3", "round 2, attempt 1"]
    assert job.attempt_words(3) == "attempt 3"
    assert "round" not in job.model_dump()


@pytest.mark.parametrize(
    ("before", "flaky"),
    [(Outcome.FAILED, True), (Outcome.TIMED_OUT, True), (Outcome.AGENT_LOST, False), (Outcome.CHECKOUT_FAILED, False)],
)
def test_a_job_that_passes_after_its_commands_failed_is_flaky(before: Outcome, flaky: bool) -> None:
    job = record.attempt_ended(a_job(), a_result(1, outcome=before, exit_code=1), NOW)
    job = record.attempt_ended(job, a_result(2, outcome=Outcome.SUCCEEDED, exit_code=0), NOW)
    ended = record.finished(job, JobStatus.SUCCESS, None, NOW)
    assert (ended.flaky, ended.summary().flaky) == (flaky, flaky)
    assert ("flaky" in ended.model_dump()) is flaky
    assert not record.finished(job, JobStatus.FAILED, "x", NOW).flaky


def test_a_job_that_passes_at_once_after_a_redrive_is_not_flaky() -> None:
    job = record.redriven(record.attempt_ended(a_job(), a_result(1, exit_code=1), NOW), NOW)
    passed = a_result(2, outcome=Outcome.SUCCEEDED, exit_code=0)
    assert not record.finished(record.attempt_ended(job, passed, NOW), JobStatus.SUCCESS, None, NOW).flaky
    job = record.attempt_ended(job, a_result(2, exit_code=1), NOW)
    passed = a_result(3, outcome=Outcome.SUCCEEDED, exit_code=0)
    assert record.finished(record.attempt_ended(job, passed, NOW), JobStatus.SUCCESS, None, NOW).flaky


STEP = {"name": "s", "run": "x"}


def test_a_job_that_may_resume_waits_for_an_agent_that_can() -> None:
    spec = JobSpec.model_validate(
        {"job_type": "t", "git_repo": "file:///s", "git_commit_sha": "a" * 40, "git_author": "a", "resume": "step"}
    )
    job = new_job(spec, job_id="j", now=NOW)
    assert job.requires == ["hybridci/resume=*"]
    assert spec_of(job) == spec
    assert "resume" not in new_job(spec.model_copy(update={"resume": None}), job_id="j", now=NOW).model_dump()


@pytest.mark.parametrize(
    ("lost", "known"),
    [
        ([("a", Outcome.AGENT_LOST)], ("a", [1])),
        ([("b", Outcome.AGENT_LOST), ("a", Outcome.AGENT_LOST), ("a", Outcome.AGENT_LOST)], ("a", [2, 3])),
        ([("a", Outcome.AGENT_LOST), ("a", Outcome.FAILED)], None),
        ([("a", Outcome.AGENT_LOST), ("b", Outcome.AGENT_LOST)], ("b", [2])),
        ([("", Outcome.AGENT_LOST)], None),
        ([], None),
    ],
)
def test_what_one_agent_lost_in_a_row(lost: list[tuple[str, Outcome]], known: tuple[str, list[int]] | None) -> None:
    job = a_job().model_copy(update={"resume": ResumeAt.STEP})
    for number, (agent, outcome) in enumerate(lost, 1):
        job = record.attempt_ended(job, a_result(number, agent_id=agent, outcome=outcome), NOW)
    given = record.attempt_input(job, len(lost) + 1, avoid_agent=None).lost
    assert (None if given is None else (given.agent_id, given.numbers)) == known
    usual = job.model_copy(update={"resume": None})
    assert "lost" not in record.attempt_input(usual, 9, avoid_agent=None).model_dump()


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, False),
        ({"expand": True}, True),
        ({"cancel": {"grace_seconds": 3}}, True),
        ({"steps": [STEP, {**STEP, "when": "always"}]}, True),
        ({"steps": [{**STEP, "background": "keep"}]}, True),
        ({"steps": [{**STEP, "background": "end", "when": "success"}]}, False),
    ],
)
def test_what_older_agents_do_not_know_waits_for_one_that_does(fields: dict[str, object], needs: bool) -> None:
    given = {
        "job_type": "test", "git_repo": "https://example.com/shop.git", "git_commit_sha": "a" * 40,
        "git_author": "ann@example.com", "requires": ["os=linux"], **fields,
    }  # fmt: skip
    spec = JobSpec.model_validate(given)
    job = new_job(spec, job_id="j", now=NOW)
    expected = ["os=linux", "hybridci/step-rules=*"] if needs else ["os=linux"]
    assert job.requires == record.attempt_input(job, 1, avoid_agent=None).requires == expected
    assert new_job(spec_of(job), job_id="k", now=NOW).requires == expected, "a retry asks for no more"
    assert spec_of(job) == spec
    unused = job.model_dump(mode="json")
    assert needs or not {"expand", "cancel"} & unused.keys()
    assert record.amended(job, Amend(by="ann", requires=["gpu=*"])).requires == ["gpu=*", *expected[1:]]
