"""What is live again counts as live, and is gone once somebody says so: nothing brings it back by itself."""

import asyncio

import pytest

from tests.workflows.deployment_harness import Deploys
from tests.workflows.standing import disagreement, is_open, until_all_agree
from tests.workflows.test_line import half_way
from tests.workflows.test_live_again import back, slowly, sweep, until_swept
from tests.workflows.test_standing import apply, becomes, retire
from workflows.contracts.deployments.commands import Abort
from workflows.contracts.deployments.environments import ReleaseCommand
from workflows.contracts.deployments.standing import ServiceStanding
from workflows.contracts.errors import InvalidState


async def test_what_is_live_again_is_in_the_way_until_it_is_retired(deploys: Deploys) -> None:
    service = await apply(deploys, deploys.environment())
    one, two = await deploys.live("1.0", service), await deploys.live("1.1", service)
    await until_all_agree(deploys, "1.1")
    await becomes(deploys, ServiceStanding.ARCHIVED)
    await back(deploys, two)
    await until_all_agree(deploys, "1.0")
    with pytest.raises(InvalidState, match=r"1\.0 is live in production"):
        await apply(deploys, deploys.environment("elsewhere"))
    with pytest.raises(InvalidState, match=r"1\.0 is live in production: when it is gone"):
        await becomes(deploys, ServiceStanding.DELETED)

    await retire(deploys, "production")
    ended = await deploys.until_status(one, "superseded")
    assert (ended.cause, ended.closed) == ("retired", True)
    state = await deploys.until_environment(lambda state: state.live is None)
    assert (state.holder, state.rollback) == (None, None)
    await deploys.result(one)
    swept = await sweep(deploys)
    assert (swept.restored, swept.superseded) == ([], [])
    assert not await is_open(deploys, one)
    assert await disagreement(deploys) is None
    deleted = await becomes(deploys, ServiceStanding.DELETED)
    assert deleted.deleted


async def test_one_that_is_gone_can_be_gone_back_to_by_name_only(deploys: Deploys) -> None:
    one = await deploys.live("1.0")
    await until_all_agree(deploys, "1.0")
    await retire(deploys, "production")
    await deploys.until_status(one, "superseded")
    two = await deploys.live("1.1")
    await until_all_agree(deploys, "1.1")
    with pytest.raises(InvalidState, match=r"Nothing was live in production before 1\.1"):
        await back(deploys, two)
    await back(deploys, two, to_version="1.0")
    now = await until_all_agree(deploys, "1.0")
    assert now is not None
    assert (now.deployment_id, now.cause, now.error_message) == (one.deployment_id, None, None)


async def test_gone_after_its_workflow_was_ended_by_hand(deploys: Deploys) -> None:
    """Nobody can be told; the minute's comparison ends the record."""
    one = await deploys.live("1.0")
    await until_all_agree(deploys, "1.0")
    await deploys.handle(one).terminate("somebody's hand")
    await retire(deploys, "production")
    await deploys.until_environment(lambda state: state.live is None)
    swept = await until_swept(deploys, lambda found: bool(found.superseded))
    assert (swept.superseded, swept.restored) == ([one.deployment_id], [])
    ended = await deploys.get(one)
    assert (ended.status, ended.cause, ended.closed, ended.superseded_by) == ("superseded", "retired", True, None)
    assert "Nothing is live in production any more" in (ended.error_message or "")
    assert [event.action for event in await deploys.events(one)].count("deployment.retired") == 1
    assert (await sweep(deploys)).superseded == []
    assert not await is_open(deploys, one)
    assert await disagreement(deploys) is None


async def test_gone_while_it_is_being_rolled_back(deploys: Deploys) -> None:
    """What it brings back runs there, whatever was said of it."""
    await deploys.live("1.0")
    two = await deploys.live("1.1")
    await until_all_agree(deploys, "1.1")
    deploys.script("rollback", slowly)
    rolling = asyncio.create_task(back(deploys, two))
    await deploys.until(two, lambda found: found.rollback is not None)
    await retire(deploys, "production")
    await rolling
    await deploys.until_status(two, "rolled_back")
    await until_all_agree(deploys, "1.0")


async def test_what_an_abort_brings_back_is_live_again(deploys: Deploys) -> None:
    one = await deploys.live("0.9", deploys.service(deploys.environment()))
    await until_all_agree(deploys, "0.9")
    await deploys.handle(one).terminate("somebody's hand")
    started = await half_way(deploys)
    await deploys.releases.command(started, Abort(by="ann", reason="orders fail"))
    ended = await deploys.until_status(started, "rolled_back")
    assert ended.rollback is not None
    assert (ended.rollback.automatic, ended.rollback.forward) == (False, False)
    now = await until_all_agree(deploys, "0.9")
    assert now is not None
    assert now.deployment_id == one.deployment_id


async def test_a_version_with_steps_that_is_live_again_waits_at_none(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment(rollout={"steps": [{"percent": 10}, {"percent": 100}]}))
    one, two = await deploys.live("1.0", service), await deploys.live("1.1", service)
    await until_all_agree(deploys, "1.1")
    await back(deploys, two)
    await until_all_agree(deploys, "1.0")
    with pytest.raises(InvalidState, match=r"1\.0 is live"):
        await deploys.releases.command(one, Abort(by="ann", reason="why"))
    await deploys.releases.command_environment(deploys.name, "production", ReleaseCommand(by="ann"))
    await deploys.live("1.2", service)
    await deploys.until_status(one, "superseded")
    await until_all_agree(deploys, "1.2")
