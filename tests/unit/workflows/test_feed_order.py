"""In which order rows of several shards may be shown, and whose events hang together."""

import pytest

from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.feed import FeedRow, Position, in_order
from workflows.contracts.audit.subjects import chained, subject_of
from workflows.contracts.audit.types import EventType


def row(shard: int, sequence: int, *, at: int = 0, after: tuple[int, int] | None = None) -> FeedRow:
    event = AuditEvent(event_id=f"{shard}-{sequence}", at=at, action="job.submitted", job_id="j")
    place = None if after is None else Position(shard=after[0], sequence=after[1])
    return FeedRow(shard=shard, sequence=sequence, subject="jobs/j", number=1, after=place, event=event)


def ids(rows: list[FeedRow]) -> list[str]:
    return [each.event.event_id for each in rows]


def test_rows_are_shown_by_time_as_far_as_their_numbers_allow() -> None:
    rows = [row(0, 2, at=1), row(0, 1, at=9), row(1, 1, at=5)]
    assert ids(in_order({}, rows)) == ["1-1", "0-1", "0-2"]


def test_a_row_waits_for_the_one_before_it_in_its_subject_and_holds_up_its_shard() -> None:
    """The head of shard 1 was read before, that of shard 0 after the first event was kept."""
    seen_early = [row(0, 1), row(0, 2, after=(1, 7)), row(0, 3), row(2, 1, after=(0, 3))]
    assert ids(in_order({1: 6}, seen_early)) == ["0-1"]
    assert ids(in_order({0: 1, 1: 6}, [*seen_early[1:], row(1, 7)])) == ["1-7", "0-2", "0-3", "2-1"]


def test_a_row_behind_one_that_cannot_be_read_yet_waits() -> None:
    assert ids(in_order({0: 4}, [row(0, 6), row(1, 1)])) == ["1-1"]


@pytest.mark.parametrize(
    ("event", "subject"),
    [
        (AuditEvent(event_id="e", at=1, action="job.submitted", job_id="j", pool="p"), "jobs/j"),
        (
            AuditEvent(event_id="e", at=1, action="environment.held", service_name="s", environment="p"),
            "environments/s/p",
        ),
        (AuditEvent(event_id="e", at=1, action="deployment.live", deployment_id="d", job_id="j"), "deployments/d"),
        (AuditEvent(event_id="e", at=1, action="agent.drained", agent_id="a", pool="p"), "agents/a"),
        (AuditEvent(event_id="e", at=1, action="pool.scaled", pool="p"), "pools/p"),
        (AuditEvent(event_id="e", at=1, action="session.opened", details={"credential_id": "c"}), "credentials/c"),
        (AuditEvent(event_id="e", at=1, action="session.refused", address="10.0.0.1"), "addresses/10.0.0.1"),
        (AuditEvent(event_id="e", at=1, action="workflow.stuck", details={"workflow_id": "job-j"}), "workflows/job-j"),
        (AuditEvent(event_id="e", at=1, action="jobs.reconciled"), "system/jobs"),
        (AuditEvent(event_id="e", at=1, action="later.invented", pool="p"), "pools/p"),
    ],
)  # fmt: skip
def test_an_event_belongs_to_what_its_type_is_about(event: AuditEvent, subject: str) -> None:
    assert subject_of(event) == subject


def test_every_type_has_a_subject_even_without_any_name() -> None:
    for each in EventType:
        assert "/" in subject_of(AuditEvent(event_id="e", at=1, action=each.value))


def test_a_hash_says_what_came_before_whose_it_is_and_which_it_is() -> None:
    same = chained("", "jobs/j", 1, "{}")
    others = [chained("x", "jobs/j", 1, "{}"), chained("", "jobs/k", 1, "{}"), chained("", "jobs/j", 2, "{}")]
    assert len({same, *others, chained("", "jobs/j", 1, "{} ")}) == 5
    assert len(same) == 64
