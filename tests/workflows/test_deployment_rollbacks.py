"""How a version goes back, on the real workflows: by itself, by metrics, by an operator, and when that fails."""

import pytest

from tests.workflows.approvals import waiting_for_approval
from tests.workflows.deployment_harness import BOB, CAT, Deploys
from tests.workflows.harness import fail, until_cancelled
from workflows.contracts.deployments.commands import (
    CancelDeployment,
    Resume,
    RollbackCommand,
)
from workflows.contracts.deployments.deployment import RollbackStatus
from workflows.contracts.deployments.environments import ReleaseCommand
from workflows.contracts.errors import InvalidState, NotFound


async def test_a_failed_production_job_rolls_back_by_itself_and_holds(deploys: Deploys) -> None:
    one = await deploys.live("1.0")
    deploys.script("deploy production 1.1", fail(2))
    two = await deploys.until_status(await deploys.start("1.1"), "rolled_back")
    assert two.rollback is not None
    assert (two.rollback.target_version, two.rollback.automatic, two.rollback.status) == (
        "1.0", True, RollbackStatus.SUCCEEDED,
    )  # fmt: skip
    last = deploys.ran[-1]
    assert (last.where, last.sha) == ("rollback production 1.0", one.git_commit_sha)
    assert last.env["HYBRIDCI_PREVIOUS_VERSION"] == "1.1"
    state = await deploys.until_environment(lambda found: found.hold is not None and found.holder is not None)
    assert (state.live and state.live.version, state.holder and state.holder.deployment_id) == (
        "1.0", one.deployment_id,
    )  # fmt: skip
    three = await deploys.start("1.2")
    held = await deploys.until_waits(three, "hybridci deploy release")
    assert "rolled back from 1.1" in (held.waits_for or "")
    await deploys.releases.command_environment(deploys.name, "production", ReleaseCommand(by=BOB))
    await deploys.until_status(three, "live")
    await deploys.until_status(one, "superseded")


async def test_a_failed_verification_rolls_back(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment(verification={"run": "./smoke.sh"}))
    await deploys.live("1.0", service)
    deploys.script("verify production 1.1", fail(1))
    two = await deploys.until_status(await deploys.start("1.1", service), "rolled_back")
    assert two.rollback is not None
    assert "verify job" in two.rollback.reason
    assert deploys.kinds()[-2:] == ["verify production 1.1", "rollback production 1.0"]


async def test_a_verification_that_cannot_tell_pauses_and_asks(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment(verification={"run": "./smoke.sh"}))
    deploys.script("verify", fail(75))
    one = await deploys.start("1.0", service)
    paused = await deploys.until_waits(one, "hybridci deploy resume")
    assert paused.stages[0].status == "paused"
    await deploys.releases.command(one, Resume(by=BOB, reason="looked at it"))
    await deploys.until_status(one, "live")
    with pytest.raises(InvalidState, match="is not paused"):
        await deploys.releases.command(one, Resume(by=BOB, reason="again"))
    two = await deploys.start("1.1", service)
    await deploys.until_waits(two, "hybridci deploy resume")
    await deploys.releases.command(two, RollbackCommand(by=BOB, reason="better not"))
    assert (await deploys.until_status(two, "rolled_back")).rollback is not None


async def test_silence_while_it_bakes_is_no_answer(deploys: Deploys) -> None:
    verification = {"bake_seconds": 1, "max_error_rate": 0.02}
    service = deploys.service(deploys.environment(verification=verification))
    one = await deploys.start("1.0", service)
    paused = await deploys.until_waits(one, "hybridci deploy resume")
    assert "error_rate" in (paused.waits_for or "")
    await deploys.measure(one, error_rate=0.01)
    await deploys.releases.command(one, Resume(by=BOB, reason="metrics are back"))
    live = await deploys.until_status(one, "live")
    assert [(row.metric, row.verdict, row.value) for row in live.metric_rows] == [("error_rate", "ok", 0.01)]


async def test_metrics_over_the_limit_roll_a_live_version_back(deploys: Deploys) -> None:
    verification = {"max_error_rate": 0.02, "max_latency_ms": 500, "consecutive_breaches": 2}
    service = deploys.service(deploys.environment(verification=verification))
    await deploys.live("1.0", service)
    two = await deploys.live("1.1", service)
    await deploys.measure(two, error_rate=0.5, latency_ms=700)
    await deploys.measure(two, error_rate=0.01, latency_ms=100)
    await deploys.measure(two, error_rate=0.5)
    assert (await deploys.get(two)).status == "live"
    await deploys.measure(two, latency_ms=900)  # one of each is not two in a row
    assert (await deploys.get(two)).rollback is None
    await deploys.measure(two, latency_ms=901)
    back = await deploys.until_status(two, "rolled_back")
    assert back.rollback is not None
    assert "latency 901 ms is above 500 ms (2 in a row)" in back.rollback.reason


async def test_the_first_version_stays_live_when_metrics_are_bad(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment(verification={"max_error_rate": 0.02}))
    one = await deploys.live("1.0", service)
    await deploys.measure(one, error_rate=0.5)
    told = await deploys.until(one, lambda found: found.error_message is not None)
    assert (told.status, told.closed) == ("live", False)
    with pytest.raises(InvalidState, match="Nothing was live in production before"):
        await deploys.releases.command(one, RollbackCommand(by=BOB, reason="it is bad"))


async def test_an_operator_rolls_a_live_version_back_to_one_that_was_live(deploys: Deploys) -> None:
    own = {"name": "back", "run": "./back.sh"}
    service = deploys.service(deploys.environment(rollback={"steps": [own]}))
    one = await deploys.live("1.0", service)
    await deploys.live("1.1", service)
    three = await deploys.live("1.2", service)
    with pytest.raises(InvalidState, match=r"9.9 was never live in production before. Known there: 1.0, 1.1"):
        await deploys.releases.command(three, RollbackCommand(by=BOB, reason="?", to_version="9.9"))
    answer = await deploys.releases.command(three, RollbackCommand(by=BOB, reason="slow", to_version="1.0"))
    assert answer.rollback is not None
    assert (answer.rollback.target_version, answer.rollback.by) == ("1.0", BOB)
    back = await deploys.until_status(three, "rolled_back")
    assert back.closed
    last = deploys.ran[-1]
    assert (last.where, last.steps, last.sha) == ("rollback production 1.0", ["./back.sh"], one.git_commit_sha)
    state = await deploys.until_environment(lambda found: found.hold is not None)
    assert (state.live and state.live.version, state.hold and state.hold.by) == ("1.0", BOB)
    assert await deploys.result(three) == back  # its workflow closes just after the record says so
    with pytest.raises(NotFound):
        await deploys.releases.command(three, RollbackCommand(by=BOB, reason="again"))


async def test_a_rollback_runs_the_steps_as_the_earlier_version_had_them(deploys: Deploys) -> None:
    old = deploys.service(deploys.environment(steps=[{"name": "old", "run": "./old-way.sh"}]))
    await deploys.live("1.0", old)
    two = await deploys.live("1.1", deploys.service(deploys.environment()))
    await deploys.releases.command(two, RollbackCommand(by=BOB, reason="slow"))
    await deploys.until_status(two, "rolled_back")
    assert deploys.ran[-1].steps == ["./old-way.sh"]


async def test_a_rollback_that_fails_shouts_and_can_be_tried_again(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment(rollback={"max_attempts": 1}))
    await deploys.live("1.0", service)
    two = await deploys.live("1.1", service)
    deploys.script("rollback", fail(1))
    await deploys.releases.command(two, RollbackCommand(by=BOB, reason="slow"))
    stuck = await deploys.until_status(two, "failed")
    assert (stuck.cause, stuck.closed) == ("rollback_failed", False)
    assert "THE ROLLBACK FAILED" in (stuck.waits_for or "")
    three = await deploys.start("1.2", service)
    await deploys.until_waits(three, "1.1")
    deploys.scripts.clear()
    await deploys.releases.command(two, RollbackCommand(by=CAT, reason="the disk is free again"))
    back = await deploys.until_status(two, "rolled_back")
    assert [attempt.status for attempt in back.rollbacks] == [RollbackStatus.FAILED]
    assert "deployment.rollback_failed" in [event.action for event in await deploys.events(two)]


async def test_a_failed_rollback_can_be_given_up(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment(rollback={"max_attempts": 1}))
    await deploys.live("1.0", service)
    two = await deploys.live("1.1", service)
    deploys.script("rollback", fail(1))
    await deploys.releases.command(two, RollbackCommand(by=BOB, reason="slow"))
    await deploys.until_status(two, "failed")
    await deploys.releases.command(two, CancelDeployment(by=BOB, reason="repaired by hand"))
    ended = await deploys.until(two, lambda found: found.closed)
    assert (ended.status, ended.cause) == ("failed", "rollback_failed")
    await deploys.until_environment(lambda found: found.hold is not None and found.holder is None)


async def test_a_rollback_stops_a_rollout_that_is_under_way(deploys: Deploys) -> None:
    await deploys.live("1.0")
    deploys.script("deploy production 1.1", until_cancelled)
    two = await deploys.start("1.1")
    await deploys.until(two, lambda found: found.status == "production" and bool(found.stages[1].job_ids))
    await deploys.releases.command(two, RollbackCommand(by=BOB, reason="wrong version"))
    back = await deploys.until_status(two, "rolled_back")
    assert back.rollback is not None
    assert (back.rollback.automatic, deploys.kinds()[-1]) == (False, "rollback production 1.0")


async def test_nothing_is_rolled_back_before_anything_is_rolled_out(deploys: Deploys) -> None:
    await deploys.live("1.0")
    waiting = await waiting_for_approval(deploys, "1.1")
    with pytest.raises(InvalidState, match=r"Nothing of 1.1 was rolled out to production yet. To stop it"):
        await deploys.releases.command(waiting, RollbackCommand(by=BOB, reason="?"))
    await deploys.releases.command(waiting, CancelDeployment(by=BOB, reason="not needed"))
    assert (await deploys.until_status(waiting, "failed")).cause == "cancelled"


async def test_a_live_version_is_not_cancelled_but_rolled_back(deploys: Deploys) -> None:
    one = await deploys.live("1.0")
    with pytest.raises(InvalidState, match="is live"):
        await deploys.releases.command(one, CancelDeployment(by=BOB))
