"""Bans on the real server: nothing but a person brings a banned version back, and a rollback goes past it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.workflows.approvals import reusing
from tests.workflows.commit_order import ban, sha, unban
from tests.workflows.deployment_harness import BOB, Deploys
from tests.workflows.harness import fail
from workflows.contracts.audit.events import AuditEvent, EventQuery
from workflows.contracts.deployments.bans import MAX_BANS, Ban, BanList, LiftBan
from workflows.contracts.deployments.commands import CancelDeployment, ReportMetrics, RollbackCommand
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import HoldCommand, ReleaseCommand
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import InvalidState


def one(deploys: Deploys, **fields: Any) -> Service:
    return deploys.service(deploys.environment(**fields))


async def banned(deploys: Deploys) -> list[tuple[str | None, str | None]]:
    bans = await deploys.stores.bans.get(deploys.name)
    return [(each.version, each.git_commit_sha) for each in bans.items]


async def trail(deploys: Deploys) -> list[str]:
    page = await deploys.stores.events.list(EventQuery(service_name=deploys.name, action="service.", limit=50))
    return [event.action for event in reversed(page.items)]


async def rolled_back(deploys: Deploys, deployment: Deployment, **fields: Any) -> Deployment:
    await deploys.releases.command(deployment, RollbackCommand(by=BOB, reason="slow", **fields))
    ended = await deploys.until_status(deployment, "rolled_back")
    await deploys.releases.command_environment(deploys.name, "production", ReleaseCommand(by=BOB))
    return ended


async def test_a_banned_version_that_is_started_past_the_api_ends_before_its_first_environment(
    deploys: Deploys,
) -> None:
    service = one(deploys)
    await ban(deploys, "1.1")
    started = await deploys.until_status(await deploys.start("1.1", service), "failed")
    assert started.cause == "banned"
    assert "bob banned it at" in (started.error_message or "")
    assert "loses orders" in (started.error_message or "")
    assert f"`hybridci deploy unban {deploys.name}@1.1 --reason …` lifts it." in (started.error_message or "")
    await ban(deploys, commit=sha("x"))
    other = await deploys.until_status(await deploys.start("2.0", service, sha=sha("x")), "failed")
    assert other.cause == "banned"
    await unban(deploys, "1.1")
    await deploys.until_status(await deploys.start("1.1", service), "live")
    assert await trail(deploys) == ["service.version_banned", "service.version_banned", "service.version_unbanned"]


async def test_a_ban_ends_what_waits_for_approval_at_once(deploys: Deploys) -> None:
    service = one(deploys, approval={"required": 1})
    waiting = await deploys.start("1.1", service)
    await deploys.until_waits(waiting, "approval")
    await ban(deploys, "1.1")
    ended = await deploys.until_status(waiting, "failed")
    assert ended.cause == "banned"
    await deploys.until_environment(lambda state: not state.queue)


async def test_a_ban_that_its_word_did_not_reach_counts_when_the_turn_comes(deploys: Deploys) -> None:
    """Whoever holds the line was not told: the store alone says so."""
    service = one(deploys)
    await deploys.releases.command_environment(deploys.name, "production", HoldCommand(by=BOB, reason="look"))
    waiting = await deploys.start("1.1", service)
    await deploys.until_waits(waiting, "on hold")
    await deploys.handle(waiting).signal("banned", {})  # said by somebody, and not true
    await asyncio.sleep(0.3)
    assert (await deploys.get(waiting)).status == "pending"
    present = await deploys.stores.bans.get(deploys.name)
    await ban(deploys, "1.2")
    kept = await deploys.stores.bans.get(deploys.name)
    items = [each.model_copy(update={"version": "1.1"}) for each in kept.items]
    assert await deploys.stores.bans.put(kept.model_copy(update={"items": items, "revision": kept.revision + 1}), [])
    assert present.revision == 0
    await deploys.releases.command_environment(deploys.name, "production", ReleaseCommand(by=BOB))
    ended = await deploys.until_status(waiting, "failed")
    assert ended.cause == "banned"
    state = await deploys.until_environment(lambda state: state.holder is None)
    assert state.live is None


async def test_a_ban_of_what_is_live_changes_nothing_there(deploys: Deploys) -> None:
    live = await deploys.live("1.1", one(deploys))
    await ban(deploys, "1.1")
    await asyncio.sleep(0.3)
    assert (await deploys.get(live)).status == "live"


async def test_a_rollback_bans_what_it_left_by_name_and_by_commit(deploys: Deploys) -> None:
    service = reusing(one(deploys))
    await deploys.live("1.0", service)
    bad = await deploys.live("1.1", service)
    await rolled_back(deploys, bad)
    assert await banned(deploys) == [("1.1", bad.git_commit_sha)]
    (kept,) = (await deploys.stores.bans.get(deploys.name)).items
    assert (kept.by, kept.reason, kept.deployment_id) == (BOB, "slow", bad.deployment_id)
    for version, commit in (("1.1", sha("other")), ("1.1.1", bad.git_commit_sha)):
        again = await deploys.until_status(await deploys.start(version, service, sha=commit), "failed")
        assert again.cause == "banned"
    assert await trail(deploys) == ["service.version_banned"]


async def test_a_rollback_that_is_told_so_bans_nothing(deploys: Deploys) -> None:
    service = one(deploys)
    await deploys.live("1.0", service)
    await rolled_back(deploys, await deploys.live("1.1", service), ban=False)
    assert await banned(deploys) == []


async def test_who_cancels_a_rollout_says_nothing_of_the_version(deploys: Deploys) -> None:
    service = one(deploys, verification={"bake_seconds": 600})
    await deploys.live("1.0", one(deploys))
    stopped = await deploys.start("1.1", service)
    await deploys.until(stopped, lambda found: found.stages[0].status == "verifying")
    await deploys.releases.command(stopped, CancelDeployment(by=BOB))
    await deploys.until_status(stopped, "rolled_back")
    assert await banned(deploys) == []


async def test_what_shares_a_name_or_a_commit_with_the_version_that_is_back_is_not_banned_by_it(
    deploys: Deploys,
) -> None:
    service, same = reusing(one(deploys)), sha("same")
    await deploys.until_status(await deploys.start("1.0", service, sha=same), "live")
    bad = await deploys.until_status(await deploys.start("1.1", service, sha=same), "live")
    await rolled_back(deploys, bad)
    assert await banned(deploys) == [("1.1", None)]
    again = await deploys.until_status(await deploys.start("1.0", service, sha=sha("new")), "live")
    await rolled_back(deploys, again)
    assert await banned(deploys) == [(None, sha("new")), ("1.1", None)]


async def test_an_automatic_rollback_goes_past_banned_versions_and_bans_what_it_left(deploys: Deploys) -> None:
    service = one(deploys, verification={"max_error_rate": 0.1})
    await deploys.live("1.0", service)
    await deploys.live("1.1", service)
    bad = await deploys.live("1.2", service)
    await ban(deploys, "1.1")
    await deploys.releases.report_metrics(bad, ReportMetrics(error_rate=0.9))
    ended = await deploys.until_status(bad, "rolled_back")
    assert ended.rollback is not None
    assert ended.rollback.target_version == "1.0"
    assert [version for version, _ in await banned(deploys)] == ["1.2", "1.1"]


async def test_what_is_live_stays_live_when_all_before_it_is_banned(deploys: Deploys) -> None:
    service = one(deploys, verification={"max_error_rate": 0.1})
    await deploys.live("1.0", service)
    bad = await deploys.live("1.1", service)
    await ban(deploys, "1.0")
    await deploys.releases.report_metrics(bad, ReportMetrics(error_rate=0.9))
    told = await deploys.until(bad, lambda found: found.error_message is not None)
    assert told.status == "live"
    assert "all that was live before it is banned (1.0)" in (told.error_message or "")


async def test_a_failed_rollout_goes_past_a_version_that_was_banned_meanwhile(deploys: Deploys) -> None:
    service = one(deploys)
    await deploys.live("1.0", service)
    await deploys.live("1.1", service)
    deploys.script("deploy production 1.2", fail(1))
    await ban(deploys, "1.1")
    ended = await deploys.until_status(await deploys.start("1.2", service), "rolled_back")
    assert ended.rollback is not None
    assert ended.rollback.target_version == "1.0"


async def test_a_person_names_a_banned_version_only_once_its_ban_is_lifted(deploys: Deploys) -> None:
    service = one(deploys)
    await deploys.live("1.0", service)
    bad = await deploys.live("1.1", service)
    await ban(deploys, "1.0")
    for to_version in (None, "1.0"):
        with pytest.raises(InvalidState, match="bob banned it") as refused:
            await deploys.releases.command(bad, RollbackCommand(by=BOB, reason="slow", to_version=to_version))
        assert "--to-version 1.0 --lift-ban" in str(refused.value)
    await deploys.crash()
    await unban(deploys, "1.0")
    ended = await rolled_back(deploys, bad, to_version="1.0")
    assert ended.rollback is not None
    assert ended.rollback.target_version == "1.0"


async def test_lifting_what_is_not_banned_is_refused_and_says_what_is(deploys: Deploys) -> None:
    await ban(deploys, "1.1")
    with pytest.raises(InvalidState, match=r"1\.2 of .* is not banned\. Banned there: 1\.1\."):
        await deploys.releases.lift_ban(LiftBan(name=deploys.name, version="1.2", reason="x", by=BOB))


async def test_a_rollback_is_not_held_up_by_a_store_that_cannot_tell_the_bans(
    deploys: Deploys, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = one(deploys)
    await deploys.live("1.0", service)
    bad = await deploys.live("1.1", service)

    async def down(service_name: str) -> Any:
        raise ConnectionError("the store is away")

    monkeypatch.setattr(deploys.stores.bans, "get", down)
    await deploys.releases.command(bad, RollbackCommand(by=BOB, reason="slow"))
    await deploys.until(bad, lambda found: found.rollback is not None and bool(found.rollback.job_ids))
    monkeypatch.undo()
    await deploys.until_status(bad, "rolled_back")
    assert [version for version, _ in await banned(deploys)] == ["1.1"]


@pytest.mark.parametrize("kept", [True, False])
async def test_a_ban_whose_worker_dies_as_it_is_written_is_one_ban_with_one_event(
    deploys: Deploys, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    """Before the write, or behind it when its answer is lost: by a person, by a rollback, and when it is lifted."""
    service, put, lost = one(deploys), deploys.stores.bans.put, list[int]()

    async def dies(bans: BanList, events: Sequence[AuditEvent]) -> bool:
        if bans.revision in lost:
            return await put(bans, events)
        lost.append(bans.revision)
        if kept:
            assert await put(bans, events)
        raise ConnectionError("the worker is killed")

    monkeypatch.setattr(deploys.stores.bans, "put", dies)
    await deploys.live("1.0", service)
    await rolled_back(deploys, await deploys.live("1.1", service))
    await ban(deploys, "1.2")
    assert [version for version, _ in await banned(deploys)] == ["1.2", "1.1"]
    await unban(deploys, "1.1")
    assert [version for version, _ in await banned(deploys)] == ["1.2"]
    assert await trail(deploys) == ["service.version_banned", "service.version_banned", "service.version_unbanned"]
    assert lost == [1, 2, 3]


async def test_when_there_are_too_many_a_person_is_refused_and_a_rollback_makes_room(deploys: Deploys) -> None:
    service = one(deploys)
    items = [Ban(version=f"v{number}", by="bob", reason="x", at=1, change_id=str(number)) for number in range(MAX_BANS)]
    items[50] = items[50].model_copy(update={"deployment_id": "d", "version": "left"})
    assert await deploys.stores.bans.put(BanList(service_name=deploys.name, items=items, revision=1), [])
    with pytest.raises(InvalidState, match="200 bans already: lift one first"):
        await ban(deploys, "1.9")
    await deploys.live("1.0", service)
    await rolled_back(deploys, await deploys.live("1.1", service))
    versions = [version for version, _ in await banned(deploys)]
    assert (len(versions), versions[0], "left" in versions) == (MAX_BANS, "1.1", False)
