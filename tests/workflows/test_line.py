"""Stopping the line: freezes and holds of many services at once, and those that begin while a version is rolled out."""

import asyncio
import json
from typing import Any

import pytest

from tests.clock import own_millis
from tests.workflows.deployment_harness import Deploys
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.commands import Abort, OverrideFreeze, Promote, Resume, RollbackCommand, SkipStep
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import FreezeCommand, HoldCommand, ReleaseCommand
from workflows.contracts.deployments.line import LetTheLineGo, NewStop, StopKind, StopScope, StopTheLine
from workflows.contracts.errors import InvalidState

HOUR = 3_600_000
PRODUCTION = {"environments": ["production"]}
EVERYTHING = StopScope(all_services=True)


async def stop(deploys: Deploys, stop_id: str = "s", *, kind: str = "freeze", **fields: Any) -> None:
    scope = StopScope.model_validate(fields.pop("scope", {"all_services": True, **PRODUCTION}))
    until: dict[str, Any] = {"ends_at": own_millis() + HOUR} if kind == "freeze" else {}
    new = NewStop(stop_id=stop_id, kind=StopKind(kind), name="incident", scope=scope, **(until | fields))
    line = await deploys.releases.change_line(StopTheLine(by="ann", reason="outage", stop=new))
    assert line.stop(stop_id) is not None


async def let_go(deploys: Deploys, stop_id: str = "s") -> None:
    found = (await deploys.stores.line.get()).stop(stop_id)
    assert found is not None
    await deploys.releases.change_line(LetTheLineGo(by="ann", stop_id=stop_id, scope=found.scope))


def steps(*given: Any) -> dict[str, Any]:
    return {"rollout": {"steps": [{"percent": each} if isinstance(each, int) else {"pause": each} for each in given]}}


async def percents(deploys: Deploys, version: str = "1.0") -> list[str]:
    return [
        ran.env["HYBRIDCI_ROLLOUT_PERCENT"]
        for ran in deploys.ran
        if ran.where.startswith("deploy production") and ran.env["HYBRIDCI_VERSION"] == version
    ]


async def actions(deploys: Deploys, deployment: Deployment) -> list[str]:
    return [event.action.removeprefix("deployment.") for event in await deploys.events(deployment)]


@pytest.mark.parametrize("kind", ["freeze", "hold"])
async def test_a_wide_stop_lets_nothing_begin_and_what_waits_goes_on_at_its_end(deploys: Deploys, kind: str) -> None:
    await stop(deploys, kind=kind)
    waiting = await deploys.start("1.0")
    found = await deploys.until_waits(waiting, "production of all services")
    command = "hybridci freeze remove s" if kind == "freeze" else "hybridci hold release s"
    for said in ("ann", "outage", command):
        assert said in (found.waits_for or "")
    assert found.stages[0].status == "deployed"  # staging is not in the scope
    assert await percents(deploys) == []
    await let_go(deploys)
    await deploys.until_status(waiting, "live", seconds=8)
    trail = await deploys.stores.events.list(EventQuery(action="line.", limit=10))
    words = {"freeze": ["line.frozen", "line.unfrozen"], "hold": ["line.held", "line.released"]}
    assert [event.action for event in reversed(trail.items)] == words[kind]
    assert all(event.by == "ann" for event in trail.items)


async def test_one_that_begins_while_a_version_waits_for_its_turn_is_told_at_once(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment(approval={"required": 1}))
    waiting = await deploys.start("1.0", service)
    await deploys.until_waits(waiting, "waits for approval")
    await stop(deploys)
    await deploys.approve(waiting)
    await deploys.until_waits(waiting, "frozen until")
    await deploys.releases.command(waiting, OverrideFreeze(by="ann", reason="repairs it"))
    await deploys.until_status(waiting, "live", seconds=8)


@pytest.mark.parametrize("kind", ["freeze", "hold"])
async def test_what_allows_no_exception_is_not_overridden(deploys: Deploys, kind: str) -> None:
    await stop(deploys, kind=kind, allow_override=kind == "hold")
    service = deploys.service(deploys.environment())
    waiting = await deploys.start("1.0", service)
    found = await deploys.until_waits(waiting, "all services")
    assert "freeze override" not in (found.waits_for or "")
    await deploys.releases.command(waiting, OverrideFreeze(by="bob", reason="now"))
    await asyncio.sleep(1)
    assert (await deploys.get(waiting)).status == "pending"
    await let_go(deploys)
    await deploys.until_status(waiting, "live", seconds=8)


@pytest.mark.parametrize(
    ("scope", "stopped"),
    [
        ({"labels": {"team": "payments"}}, True),
        ({"labels": {"team": "payments", "tier": "1"}}, False),
        ({"labels": {"team": "search"}}, False),
        ({"all_services": True, "environments": ["staging"]}, False),
        ({"services": ["other"]}, False),
        ({"services": ["SELF"]}, True),
        ({"all_services": True, "exceptions": ["SELF"]}, False),
    ],
)
async def test_the_scope_says_whom_it_stops(deploys: Deploys, scope: dict[str, Any], stopped: bool) -> None:
    """Labels are those of the service as it is registered now."""
    text = json.dumps(scope).replace("SELF", deploys.name)
    service = deploys.service(deploys.environment(), labels={"team": "payments"})
    await deploys.stores.services.put(service, expected_version=None, events=[])
    await stop(deploys, scope=json.loads(text))
    started = await deploys.start("1.0", service)
    if stopped:
        await deploys.until_waits(started, "frozen until")
    else:
        await deploys.until_status(started, "live")


async def test_a_rollback_is_stopped_by_nothing(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment())
    await deploys.live("1.0", service)
    second = await deploys.live("1.1", service)
    await stop(deploys, kind="hold")
    await stop(deploys, "f", allow_override=False)
    await deploys.releases.command(second, RollbackCommand(by="ann", reason="bad"))
    await deploys.until_status(second, "rolled_back")


async def test_the_workers_death_forgets_no_stop(deploys: Deploys) -> None:
    await stop(deploys)
    service = deploys.service(deploys.environment())
    waiting = await deploys.start("1.0", service)
    await deploys.until_waits(waiting, "frozen until")
    await deploys.crash()
    later = await deploys.start("1.1", service)
    await deploys.until_waits(later, "frozen until")
    await let_go(deploys)
    await deploys.until_status(later, "live")
    assert await percents(deploys, "1.0") == ["100"]


async def test_a_stop_that_was_changed_meanwhile_is_not_replaced(deploys: Deploys) -> None:
    await stop(deploys)
    with pytest.raises(InvalidState, match="was changed in this moment"):
        await deploys.releases.change_line(LetTheLineGo(by="eve", stop_id="s", scope=StopScope(services=["own"])))
    with pytest.raises(InvalidState, match="no freeze or hold of the id 't'"):
        await deploys.releases.change_line(LetTheLineGo(by="eve", stop_id="t", scope=EVERYTHING))
    new = NewStop(stop_id="s", kind=StopKind.HOLD, name="mine", scope=StopScope(services=["own"]))
    with pytest.raises(InvalidState, match="was changed in this moment"):
        await deploys.releases.change_line(StopTheLine(by="eve", reason="mine", stop=new))
    assert [each.by for each in (await deploys.stores.line.get()).stops] == ["ann"]


# --- in the middle of a rollout ---------------------------------------------------------------------------------------


async def half_way(deploys: Deploys, **environment: Any) -> Deployment:
    """At 10 %, waiting for a person."""
    service = deploys.service(deploys.environment(**steps(10, "until_resumed", 50, 100), **environment))
    started = await deploys.start("1.0", service)
    found = await deploys.until_waits(started, "stays at 10 % of production until somebody lets it go on")
    for command in ("promote", "--full", "abort"):
        assert command in (found.waits_for or "")
    assert (found.stages[0].status, await percents(deploys)) == ("paused", ["10"])
    return started


async def test_a_step_waits_for_a_person(deploys: Deploys) -> None:
    started = await half_way(deploys)
    await deploys.crash()
    await deploys.releases.command(started, Resume(by="ann", reason="well"))
    await deploys.until_status(started, "live")
    assert await percents(deploys) == ["10", "50", "100"]
    assert "resumed" in await actions(deploys, started)


@pytest.mark.parametrize(("full", "ran"), [(False, ["10", "50", "100"]), (True, ["10", "100"])])
async def test_promote_goes_on_and_full_leaves_the_rest_out_but_no_verification(
    deploys: Deploys, full: bool, ran: list[str]
) -> None:
    started = await half_way(deploys, verification={"run": "./verify"})
    await deploys.releases.command(started, Promote(by="ann", reason="well", full=full))
    await deploys.until_status(started, "live")
    assert await percents(deploys) == ran
    assert any(each.startswith("verify production") for each in deploys.kinds())
    promoted = next(event for event in await deploys.events(started) if event.action == "deployment.promoted")
    assert (promoted.by, promoted.reason, promoted.details) == ("ann", "well", {"full": full, "past_a_stop": False})


async def test_a_timed_pause_is_told_and_can_be_skipped(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment(**steps(10, {"seconds": 3600}, 100)))
    started = await deploys.start("1.0", service)
    await deploys.until_waits(started, "stays at 10 % of production until 2")
    await deploys.releases.command(started, SkipStep(by="ann", reason="too long"))
    await deploys.until_status(started, "live")
    assert await percents(deploys) == ["10", "100"]


async def test_abort_brings_back_what_was_live(deploys: Deploys) -> None:
    first = await deploys.live("0.9", deploys.service(deploys.environment()))
    started = await half_way(deploys)
    await deploys.releases.command(started, Abort(by="ann", reason="orders fail"))
    ended = await deploys.until_status(started, "rolled_back")
    assert ended.rollback is not None
    assert (ended.rollback.by, ended.rollback.target_version, ended.rollback.automatic) == ("ann", "0.9", False)
    assert (await deploys.until_environment(lambda state: state.holder is None or state.holder.live)).live is not None
    assert (await deploys.get(first)).version == "0.9"


async def test_abort_where_nothing_was_live_ends_it(deploys: Deploys) -> None:
    started = await half_way(deploys)
    await deploys.releases.command(started, Abort(by="ann", reason="orders fail"))
    ended = await deploys.until_status(started, "failed")
    assert ended.cause == "aborted"
    assert "ann aborted it: orders fail" in (ended.error_message or "")


@pytest.mark.parametrize("kind", [Promote, SkipStep, Abort])
async def test_nothing_steers_the_rollout_of_what_is_live(deploys: Deploys, kind: Any) -> None:
    live = await deploys.live("1.0", deploys.service(deploys.environment()))
    with pytest.raises(InvalidState):
        await deploys.releases.command(live, kind(by="ann", reason="why"))


async def test_a_freeze_that_begins_stops_the_next_step_and_ends_by_itself(deploys: Deploys) -> None:
    started = await half_way(deploys)
    await stop(deploys, ends_at=own_millis() + 4_000)
    await deploys.releases.command(started, Resume(by="ann", reason="well"))
    found = await deploys.until_waits(started, "stays at 10 %, before its next step")
    assert "goes on by itself" in (found.waits_for or "")
    assert found.stages[0].status == "paused"
    assert await percents(deploys) == ["10"]
    await deploys.until_status(started, "live")
    assert "halted" in await actions(deploys, started)


@pytest.mark.parametrize("whose", ["line", "environment"])
async def test_a_promotion_passes_a_freeze_and_the_next_one_stops_it_again(deploys: Deploys, whose: str) -> None:
    started = await half_way(deploys)
    if whose == "line":
        await stop(deploys)
    else:
        freeze = FreezeCommand(by="ann", freeze_id="f", name="own", ends_at=own_millis() + HOUR)
        await deploys.releases.command_environment(deploys.name, "production", freeze)
    await deploys.releases.command(started, Resume(by="ann", reason="well"))
    await deploys.until_waits(started, "stays at 10 %, before its next step")
    with pytest.raises(InvalidState, match="is stopped"):
        await deploys.releases.command(started, Resume(by="ann", reason="well"))
    await deploys.releases.command(started, Promote(by="ann", reason="it repairs the outage"))
    await deploys.until_waits(started, "stays at 50 %, before its next step")
    with pytest.raises(InvalidState, match="100 %, which cannot be left out"):
        await deploys.releases.command(started, SkipStep(by="ann", reason="no"))
    await deploys.releases.command(started, Promote(by="ann", reason="again", full=True))
    await deploys.until_status(started, "live")
    assert await percents(deploys) == ["10", "50", "100"]


@pytest.mark.parametrize("whose", ["line", "environment"])
async def test_a_hold_stops_it_until_it_is_released(deploys: Deploys, whose: str) -> None:
    started = await half_way(deploys, freeze_during_rollout="finish")
    hold = HoldCommand(by="ann", reason="incident")
    if whose == "line":
        await stop(deploys, kind="hold")
    else:
        await deploys.releases.command_environment(deploys.name, "production", hold)
    await deploys.releases.command(started, Resume(by="ann", reason="well"))
    await deploys.until_waits(started, "is on hold by ann")
    with pytest.raises(InvalidState, match="is stopped"):
        await deploys.releases.command(started, Promote(by="ann", reason="now"))
    await deploys.releases.command(started, SkipStep(by="ann", reason="not 50"))  # 100 % waits as well
    await deploys.until(started, lambda _: True)
    if whose == "line":
        await let_go(deploys)
    else:
        await deploys.releases.command_environment(deploys.name, "production", ReleaseCommand(by="ann"))
    await deploys.until_status(started, "live", seconds=8)
    assert await percents(deploys) == ["10", "100"]


async def test_where_rollouts_finish_a_freeze_is_passed_and_said(deploys: Deploys) -> None:
    started = await half_way(deploys, freeze_during_rollout="finish")
    await stop(deploys)
    await deploys.releases.command(started, Resume(by="ann", reason="well"))
    await deploys.until_status(started, "live")
    passed = [event for event in await deploys.events(started) if event.action == "deployment.freeze_passed"]
    assert len(passed) == 2
    assert "incident" in passed[0].message
