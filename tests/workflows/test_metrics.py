"""What metrics do to a deployment, on the real workflows: each row is judged by itself, and what is not news costs
nothing.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from activities.metrics.registry import MetricRegistry
from tests.workflows.deployment_harness import BOB, Deploys
from workflows.contracts.deployments.commands import AskPerson, ReportMetrics, Resume, RollbackCommand
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import HoldCommand
from workflows.contracts.deployments.metrics import MetricVerdict
from workflows.contracts.errors import InvalidState, ValidationFailed

TWICE = {"max_error_rate": 0.02, "max_latency_ms": 500, "consecutive_breaches": 2}


async def _events(deploys: Deploys, deployment: Deployment) -> int:
    """Of its history, once no task of it is under way."""
    while True:
        found = (await deploys.handle(deployment).describe()).raw_description
        if not found.HasField("pending_workflow_task"):
            return found.workflow_execution_info.history_length
        await deploys.pause()


async def _second(deploys: Deploys, verification: Mapping[str, object] = TWICE) -> Deployment:
    service = deploys.service(deploys.environment(verification=verification))
    await deploys.live("1.0", service)
    return await deploys.live("1.1", service)


async def test_bad_errors_between_good_latencies_are_in_a_row(deploys: Deploys) -> None:
    two = await _second(deploys)
    await deploys.measure(two, error_rate=0.9)
    await deploys.measure(two, latency_ms=10)
    await deploys.measure(two, error_rate=0.9)
    back = await deploys.until_status(two, "rolled_back")
    assert back.rollback is not None
    assert "error rate 0.9 is above 0.02 (2 in a row)" in back.rollback.reason
    assert [(row.metric, row.verdict) for row in back.metric_rows if row.verdict is MetricVerdict.BREACHED] == [
        ("error_rate", "breached")
    ]


async def test_the_same_sample_twice_and_one_of_each_metric_are_no_breach(deploys: Deploys) -> None:
    two = await _second(deploys)
    at = await deploys.measure(two, error_rate=0.9)
    await deploys.measure(two, error_rate=0.9, at=at)
    await deploys.measure(two, latency_ms=900)
    await deploys.measure(two, error_rate=0.9, source="another")
    assert (await deploys.get(two)).rollback is None
    assert len(await deploys.samples(two)) == 3
    await deploys.measure(two, error_rate=0.001, at=at)  # it was a mistake
    await deploys.measure(two, error_rate=0.9)
    assert (await deploys.get(two)).rollback is None


async def test_what_comes_late_is_placed_by_its_time(deploys: Deploys) -> None:
    two = await _second(deploys)
    first = await deploys.measure(two, error_rate=0.9)
    await deploys.measure(two, error_rate=0.001, at=first + 2)
    await deploys.measure(two, error_rate=0.9, at=first + 1)
    assert (await deploys.get(two)).rollback is None
    await deploys.measure(two, error_rate=0.9, at=first + 3)
    assert (await deploys.get(two)).rollback is None
    await deploys.measure(two, error_rate=0.9, at=first + 4)
    await deploys.until_status(two, "rolled_back")


async def test_a_sample_that_is_no_news_costs_a_live_version_no_event(deploys: Deploys) -> None:
    two = await _second(deploys)
    await deploys.measure(two, error_rate=0.001, latency_ms=9)
    await deploys.until(two, lambda found: len(found.metric_rows) == 2)
    before = await _events(deploys, two)
    for number in range(300):
        await deploys.measure(two, error_rate=0.001, latency_ms=900 if number % 2 else 9)
    assert await _events(deploys, two) == before
    assert (await deploys.get(two)).status == "live"


async def test_the_trail_has_the_first_sample_of_a_minute(deploys: Deploys) -> None:
    two = await _second(deploys)
    registry = MetricRegistry(deploys.stores.metrics, events=deploys.stores.events)
    record = await deploys.get(two)
    minute = record.updated_at // 60_000 * 60_000 + 60_000
    for at in (minute, minute + 1, minute + 2):
        await registry.report(record, ReportMetrics(by="watch", error_rate=0.9, at=at))
        registry = MetricRegistry(deploys.stores.metrics, events=deploys.stores.events)
    (told,) = [event for event in await deploys.events(two) if event.action == "metric.recorded"]
    assert (told.by, told.details["sampled_at"], told.details["breaches"]) == (
        "watch",
        minute,
        ["error rate 0.9 is above 0.02"],
    )


async def test_a_breach_that_was_kept_and_never_told_is_told_by_the_next_sample(deploys: Deploys) -> None:
    two = await _second(deploys)
    died = MetricRegistry(deploys.stores.metrics)  # of a process that was killed before it told anybody
    record = await deploys.get(two)
    for at in (record.updated_at + 1, record.updated_at + 2):
        verdict = await died.report(record, ReportMetrics(by="watch", error_rate=0.9, at=at))
    assert [row.verdict for row in verdict.rows] == ["breached"]
    assert (await deploys.get(two)).rollback is None
    await deploys.measure(two, error_rate=0.9)
    await deploys.until_status(two, "rolled_back")


async def test_a_breach_that_nobody_told_is_found_at_the_end_of_the_bake(deploys: Deploys) -> None:
    limits = TWICE | {"max_latency_ms": None, "bake_seconds": 2}
    service = deploys.service(deploys.environment(verification=limits))
    one = await deploys.start("1.0", service)
    await deploys.until(one, lambda found: found.stages[0].measured_from is not None)
    record = await deploys.get(one)
    for at in (record.updated_at + 1, record.updated_at + 2):
        await MetricRegistry(deploys.stores.metrics).report(record, ReportMetrics(by="watch", error_rate=0.9, at=at))
    failed = await deploys.until_status(one, "failed")
    assert failed.cause == "metrics_breached"
    assert "error rate 0.9 is above 0.02 (2 in a row)" in (failed.error_message or "")


@pytest.mark.parametrize(
    ("reported", "words"),
    [
        ([{"error_rate": 0.9}], "error rate 0.9 is above 0.02 by watch (1 in a row, 2 count as a breach)"),
        ([{"latency_ms": 5}] * 25, "nobody reported error_rate while it baked"),
    ],
    ids=["the only sample is a breach", "25 samples of others"],
)
async def test_what_a_bake_cannot_tell_pauses_and_asks(
    deploys: Deploys, reported: list[dict[str, Any]], words: str
) -> None:
    limits = {"max_error_rate": 0.02, "consecutive_breaches": 2, "bake_seconds": 2}
    one = await deploys.start("1.0", deploys.service(deploys.environment(verification=limits)))
    await deploys.until(one, lambda found: found.stages[0].status == "verifying")
    for values in reported:
        await deploys.measure(one, **values)
    paused = await deploys.until_waits(one, "hybridci deploy resume")
    assert words in (paused.waits_for or "")


async def test_a_metric_without_a_limit_counts_for_nothing_and_others_can_be_limited(deploys: Deploys) -> None:
    limits = {"metrics": [{"name": "queue_depth", "max": 100}]}
    two = await _second(deploys, limits)
    await deploys.measure(two, error_rate=1, latency_ms=1e9, metrics={"heap": 1e12, "queue_depth": 100})
    assert (await deploys.get(two)).rollback is None
    await deploys.measure(two, metrics={"queue_depth": 101})
    back = await deploys.until_status(two, "rolled_back")
    assert "queue_depth 101 is above 100" in (back.error_message or "")


async def test_a_limit_can_be_relative_to_the_version_before(deploys: Deploys) -> None:
    limits = {"metrics": [{"name": "latency_ms", "max_ratio": 1.5}]}
    service = deploys.service(deploys.environment(verification=limits))
    one = await deploys.live("1.0", service)
    for value in (90, 100, 110):
        await deploys.measure(one, latency_ms=value)
    two = await deploys.live("1.1", service)
    await deploys.measure(two, latency_ms=149)
    await deploys.until(two, lambda found: [row.verdict for row in found.metric_rows] == ["ok"])
    await deploys.measure(two, latency_ms=151)
    back = await deploys.until_status(two, "rolled_back")
    assert "latency 151 ms is above 150 ms" in (back.error_message or "")


async def test_the_signal_of_temporals_own_cli_is_judged_likewise(deploys: Deploys) -> None:
    two = await _second(deploys)
    at = (await deploys.get(two)).updated_at
    for said in ({"error_rate": 0.9, "at": at + 1}, {"latency_ms": 4, "at": at + 2}, {"error_rate": 0.9, "at": at + 3}):
        await deploys.handle(two).signal("report_metrics", {"by": "ann"} | said)
    await deploys.handle(two).signal("report_metrics", {"error_rate": 0.9, "at": 1_790_000_000})  # seconds: not taken
    back = await deploys.until_status(two, "rolled_back")
    assert "error rate 0.9 is above 0.02 (2 in a row)" in (back.error_message or "")


async def test_samples_of_before_the_version_ran_are_not_its(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment(approval={"required": 1}, verification={"max_error_rate": 0.1}))
    one = await deploys.start("1.0", service)
    await deploys.until_waits(one, "waits for approval")
    await deploys.measure(one, error_rate=0.9)
    await deploys.approve(one)
    live = await deploys.until_status(one, "live")
    assert live.metric_rows == []
    with pytest.raises(ValidationFailed, match="before this deployment was asked for"):
        await deploys.measure(one, error_rate=0.1, at=live.created_at - 600_000)


async def test_a_version_under_hold_is_not_rolled_back_by_metrics(deploys: Deploys) -> None:
    two = await _second(deploys)
    hold = HoldCommand(by=BOB, reason="an incident")
    await deploys.releases.command_environment(deploys.name, "production", hold)
    for _ in range(3):
        await deploys.measure(two, error_rate=0.9)
    asked = await deploys.until(two, lambda found: found.needs_decision is not None)
    assert (asked.status, asked.rollback) == ("live", None)
    for words in (
        "error rate 0.9",
        "production is on hold by bob@example.com: an incident",
        "hybridci deploy rollback",
    ):
        assert words in (asked.waits_for or "")
    told = [event for event in await deploys.events(two) if event.action == "deployment.needs_decision"]
    assert len(told) == 1
    await deploys.releases.command(two, Resume(by=BOB, reason="the errors are the load balancer's"))
    stays = await deploys.get(two)
    assert (stays.needs_decision, stays.waits_for, stays.status) == (None, None, "live")
    with pytest.raises(InvalidState, match="is not paused"):
        await deploys.releases.command(two, Resume(by=BOB, reason="again"))
    await deploys.releases.command(two, RollbackCommand(by=BOB, reason="it was the version after all"))
    await deploys.until_status(two, "rolled_back")


async def test_a_breach_that_ends_asks_nobody_any_more(deploys: Deploys) -> None:
    two = await _second(deploys, {"max_error_rate": 0.1})
    await deploys.releases.command_environment(deploys.name, "production", HoldCommand(by=BOB, reason="look"))
    await deploys.measure(two, error_rate=0.9)
    await deploys.until(two, lambda found: found.needs_decision is not None)
    await deploys.measure(two, error_rate=0.01)
    await deploys.until(two, lambda found: found.needs_decision is None and found.waits_for is None)


async def test_a_version_that_is_being_rolled_out_goes_back_also_under_hold(deploys: Deploys) -> None:
    limits = {"max_error_rate": 0.1, "bake_seconds": 60}
    await deploys.live("1.0", deploys.service(deploys.environment()))
    two = await deploys.start("1.1", deploys.service(deploys.environment(verification=limits)))
    await deploys.until(two, lambda found: found.stages[0].status == "verifying")
    await deploys.releases.command_environment(deploys.name, "production", HoldCommand(by=BOB, reason="look"))
    await deploys.measure(two, error_rate=0.9)
    await deploys.until_status(two, "rolled_back")


async def test_an_alert_that_may_not_roll_back_asks_once(deploys: Deploys) -> None:
    two = await _second(deploys)
    asked = AskPerson(
        what="An alert asks for it: 5xx", why="a rollback of 1.2 brought it back.", key="k1", by="grafana"
    )
    for _ in range(3):
        await deploys.releases.ask_person(two, asked)
    found = await deploys.until(two, lambda record: record.needs_decision is not None)
    assert "a rollback of 1.2 brought it back" in (found.waits_for or "")
    await deploys.releases.command(two, Resume(by=BOB, reason="seen"))
    told = [event for event in await deploys.events(two) if event.action == "deployment.needs_decision"]
    assert len(told) == 1
