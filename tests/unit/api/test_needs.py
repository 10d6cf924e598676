"""What waits for a person, and what broke: the rules of the first page and of `hybridci status`."""

from typing import Any

from api.agents.schemas import AgentView
from api.needs import Answered, AskKind, asks_of, broken_of, unwell_agents
from tests.stores.lives import NOON, make_job
from workflows.contracts.agents import AgentStatus
from workflows.contracts.deployments.deployment import DeploymentStatus, DeploymentSummary
from workflows.contracts.deployments.environments import Hold
from workflows.contracts.deployments.lanes import Lane, LanePlace
from workflows.contracts.deployments.line import LineStop, StopKind, StopScope
from workflows.contracts.errors import FieldError
from workflows.contracts.repairs import Kind, StuckWorkflow
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
    asks = asks_of(Answered(waiting=found[:5], ended=found[5:]), NOON)
    assert [(ask.label, ask.words) for ask in asks] == [
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
    first, second = asks_of(Answered(dead=[job.summary() for job in jobs], dead_letters=70), NOON)
    assert (first.title, first.words) == ("exit code", "2 of 70 dead letters; the last: the newest")
    assert (second.title, second.words) == ("unknown", "1 of 70 dead letters; the last: no message")
    assert (first.path, second.path) == ("/dead-letters?cause=exit_code", "/dead-letters"), "to those that are meant"


def test_holds_and_freezes_in_force_have_their_owner_and_their_end() -> None:
    stop = LineStop(
        stop_id="sale", kind=StopKind.FREEZE, name="Sale", scope=StopScope(all_services=True), starts_at=NOON, by="ann",
        reason="the sale", ends_at=NOON + 10, created_at=NOON,
    )  # fmt: skip
    (ask,) = asks_of(Answered(stops=[stop, stop.model_copy(update={"starts_at": NOON + 5})]), NOON + 1)
    assert (ask.kind, ask.by, ask.ends_at, ask.words) == ("freeze", "ann", NOON + 10, "all services: the sale")
    assert ask.path == "/freezes#stop-sale", "where it is ended"
    assert asks_of(Answered(stops=[stop]), NOON + 11) == []


def test_an_environment_on_hold_waits_for_whoever_holds_it() -> None:
    held = LanePlace(environment="production", line=[], stops=[], hold=Hold(by="ann", reason="inventory", at=NOON))
    free = LanePlace(environment="staging", line=[], stops=[])
    (ask,) = asks_of(Answered(lanes=[Lane(service_name="checkout", coming=[], places=[free, held])]), NOON)
    assert (ask.title, ask.path, ask.words, ask.by) == (
        "checkout production", "/services/checkout", "inventory", "ann"
    )  # fmt: skip


def test_what_broke_is_told_newest_first_and_not_for_ever() -> None:
    job = make_job(status=JobStatus.FAILED, completed_at=NOON + 2, error_message="exit code 1").summary()
    old = make_job(status=JobStatus.FAILED, completed_at=NOON - 100).summary()
    back = _deployment(DeploymentStatus.ROLLED_BACK, NOON + 1, error_message="errors", completed_at=NOON + 5)
    later = NOON + 24 * 3_600_000  # what ended before noon is older than a day
    rows = broken_of(Answered(failed=[job, old], ended=[back]), later)
    assert [(row.status, row.words) for row in rows] == [("rolled_back", "errors"), ("failed", "exit code 1")]
    ended = {"completed_at": NOON + 9}
    cancelled = _deployment(DeploymentStatus.FAILED, cause="cancelled", error_message="ann cancelled it.", **ended)
    failed = _deployment(DeploymentStatus.FAILED, cause="build_failed", **ended)
    assert [row.words for row in broken_of(Answered(ended=[cancelled, failed]), later)] == ["build_failed"]


def test_a_job_that_broke_stands_once_and_the_newest_stay() -> None:
    dead = make_job(status=JobStatus.DEAD_LETTERED, completed_at=NOON).summary()
    assert [row.path for row in broken_of(Answered(failed=[dead], dead=[dead]), NOON)] == [f"/jobs/{dead.job_id}"]
    many = [make_job(job_id=f"job-{at}", status=JobStatus.FAILED, completed_at=NOON + at).summary() for at in range(20)]
    assert [row.at - NOON for row in broken_of(Answered(failed=many), NOON)] == [19, 18, 17, 16, 15, 14, 13, 12]


def test_what_stops_all_comes_first_and_each_kind_says_whose_it_is() -> None:
    stuck = StuckWorkflow(
        kind=Kind.JOB, workflow_id="job-1", job_id="1", run_id="r", workflow_type="JobWorkflow", pool="p"
    )  # fmt: skip
    unwell = [FieldError(field="worker", message="none asks for work")]
    waiting = [_deployment(DeploymentStatus.STAGED, waits_for="for approval", environment="production")]
    asks = asks_of(Answered(unwell=unwell, stuck=[stuck], waiting=waiting), NOON)
    assert [(ask.kind, ask.tone, ask.name) for ask in asks] == [
        (AskKind.PART, "bad", "worker"),
        (AskKind.STUCK, "bad", 'hybridci repair job 1 --reason "…"'),
        (AskKind.WAITS, "wait", f"d{NOON}"),
    ]
    assert asks[1].path == "/jobs/1"


def test_an_agent_that_was_deregistered_needs_nobody() -> None:
    agent = AgentView(
        agent_id="a", pool="p", status=AgentStatus.OFFLINE, accepting=False, words=["is gone"], seconds_since_heard=9,
        capacity=1, registered_at=NOON,
    )  # fmt: skip
    gone = agent.model_copy(update={"deregistered_at": NOON})
    well = agent.model_copy(update={"words": []})
    assert unwell_agents([agent, gone, well]) == [agent]
