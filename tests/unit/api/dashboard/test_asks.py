"""What waits for a person, and what broke, as the first page lists it."""

from typing import Any

from api.dashboard.asks import asks_of_dead_letters, asks_of_deployments, asks_of_lanes, asks_of_stops, broken
from tests.stores.lives import NOON, make_job
from workflows.contracts.deployments.deployment import DeploymentStatus, DeploymentSummary
from workflows.contracts.deployments.environments import Hold
from workflows.contracts.deployments.lanes import Lane, LanePlace
from workflows.contracts.deployments.line import LineStop, StopKind, StopScope
from workflows.contracts.statuses import JobStatus


def _deployment(status: DeploymentStatus, at: int = NOON, **more: Any) -> DeploymentSummary:
    return DeploymentSummary(
        deployment_id=f"d{at}", status=status, created_at=at, updated_at=at, service_name="checkout", version="1.0",
        git_commit_sha="a" * 40, git_author="ann", **more,
    )  # fmt: skip


def test_decisions_and_failed_rollbacks_come_first_then_the_oldest() -> None:
    found = [
        _deployment(DeploymentStatus.STAGED, NOON + 1, waits_for="for approval", environment="production"),
        _deployment(DeploymentStatus.STAGED, NOON, waits_for="for its turn", environment="staging"),
        _deployment(DeploymentStatus.PRODUCTION, NOON - 5),
        _deployment(DeploymentStatus.LIVE, NOON + 2, waits_for="is not rolled back by itself"),
        _deployment(DeploymentStatus.LIVE, NOON),
        _deployment(DeploymentStatus.FAILED, NOON + 3, cause="rollback_failed", error_message="no target"),
        _deployment(DeploymentStatus.FAILED, NOON, cause="build_failed"),
    ]
    asks = asks_of_deployments(found)
    assert [(ask.kind, ask.words) for ask in asks] == [
        ("decide", "is not rolled back by itself"),
        ("rollback failed", "no target"),
        ("staging", "for its turn"),
        ("production", "for approval"),
    ]
    assert asks[2].path == f"/deployments/d{NOON}"


def test_dead_letters_are_told_by_cause_and_how_many_of_how_many() -> None:
    jobs = [
        make_job(cause="exit_code", error_message="the newest"),
        make_job(cause="exit_code", error_message="older"),
        make_job(cause=None),
    ]
    first, second = asks_of_dead_letters([job.summary() for job in jobs], 70)
    assert (first.title, first.words) == ("exit code", "2 of 70 dead letters; the last: the newest")
    assert (second.title, second.words) == ("unknown", "1 of 70 dead letters; the last: no message")
    assert (first.path, second.path) == ("/dead-letters?cause=exit_code", "/dead-letters"), "to those that are meant"


def test_holds_and_freezes_in_force_have_their_owner_and_their_end() -> None:
    stop = LineStop(
        stop_id="sale", kind=StopKind.FREEZE, name="Sale", scope=StopScope(all_services=True), starts_at=NOON, by="ann",
        reason="the sale", ends_at=NOON + 10, created_at=NOON,
    )  # fmt: skip
    (ask,) = asks_of_stops([stop, stop.model_copy(update={"starts_at": NOON + 5})], NOON + 1)
    assert (ask.kind, ask.by, ask.ends_at, ask.words) == ("freeze", "ann", NOON + 10, "all services: the sale")
    assert ask.path == "/freezes#stop-sale", "where it is ended"
    assert asks_of_stops([stop], NOON + 11) == []


def test_an_environment_on_hold_waits_for_whoever_holds_it() -> None:
    held = LanePlace(environment="production", line=[], stops=[], hold=Hold(by="ann", reason="inventory", at=NOON))
    free = LanePlace(environment="staging", line=[], stops=[])
    (ask,) = asks_of_lanes([Lane(service_name="checkout", coming=[], places=[free, held])])
    assert (ask.title, ask.path, ask.words, ask.by) == (
        "checkout production", "/services/checkout", "inventory", "ann"
    )  # fmt: skip


def test_what_broke_is_told_newest_first_and_not_for_ever() -> None:
    job = make_job(status=JobStatus.FAILED, completed_at=NOON + 2, error_message="exit code 1").summary()
    old = make_job(status=JobStatus.FAILED, completed_at=NOON - 100).summary()
    back = _deployment(DeploymentStatus.ROLLED_BACK, NOON + 1, error_message="errors", completed_at=NOON + 5)
    rows = broken([job, old], [back], NOON, 5)
    assert [(row.status, row.words) for row in rows] == [("rolled_back", "errors"), ("failed", "exit code 1")]
    assert len(broken([job, old], [back], 0, 1)) == 1
    ended = {"completed_at": NOON + 9}
    cancelled = _deployment(DeploymentStatus.FAILED, cause="cancelled", error_message="ann cancelled it.", **ended)
    failed = _deployment(DeploymentStatus.FAILED, cause="build_failed", **ended)
    assert [row.words for row in broken([], [cancelled, failed], NOON, 5)] == ["build_failed"]
