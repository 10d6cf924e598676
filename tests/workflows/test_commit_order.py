"""The order of commits counts, not the order of arrival: on the real server, with an agent that knows the history."""

import asyncio
from typing import Any

from tests.workflows.commit_order import Commits, agent_for, sha
from tests.workflows.deployment_harness import BOB, CAT, Deploys
from workflows.contracts.deployments.commands import CancelDeployment, Resume
from workflows.contracts.deployments.deployment import Deployment, DeploymentRequest
from workflows.contracts.deployments.environments import HoldCommand, Order, ReleaseCommand
from workflows.contracts.deployments.relations import HowFound
from workflows.contracts.deployments.services import Service

LINE = {"a": "", "b": "a", "c": "b", "d": "c", "hotfix": "a"}


def one(deploys: Deploys, **fields: Any) -> Service:
    """A service with production alone."""
    return deploys.service(deploys.environment(**fields))


async def start(deploys: Deploys, version: str, service: Service, commit: str, **fields: Any) -> Deployment:
    return await deploys.start(version, service, sha=sha(commit), **fields)


async def gone_live(deploys: Deploys, version: str, service: Service, commit: str, **fields: Any) -> Deployment:
    """Live in its record, and for whoever comes next."""
    found = await deploys.until_status(await start(deploys, version, service, commit, **fields), "live")
    await until_live(deploys, version)
    return found


async def until_live(deploys: Deploys, version: str) -> None:
    """The environment hears of it just after the deployment's record says so."""
    await deploys.until_environment(lambda state: state.live is not None and state.live.version == version)


async def test_an_older_commit_that_comes_later_is_the_one_that_is_superseded(deploys: Deploys) -> None:
    """Newer B before older A with `supersede: older`: A superseded B and went live."""
    service = one(deploys, supersede="older")
    async with agent_for(deploys, Commits(**LINE)):
        await gone_live(deploys, "1.0", service, "a")
        await deploys.releases.command_environment(deploys.name, "production", HoldCommand(by=BOB, reason="look"))
        newer = await start(deploys, "1.2", service, "c")
        await deploys.until_waits(newer, "on hold")
        older = await deploys.until_status(await start(deploys, "1.1", service, "b"), "superseded")
        assert older.superseded_by == newer.deployment_id
        assert "is in line for production" in (older.error_message or "")
        assert "--allow-older" in (older.error_message or "")
        await deploys.releases.command_environment(deploys.name, "production", ReleaseCommand(by=BOB))
        live = await deploys.until_status(newer, "live")
    assert [(each.version, each.order, each.found) for each in live.relations] == [("1.0", Order.NEWER, HowFound.AGENT)]
    assert live.remarks == []
    assert deploys.kinds().count("deploy production 1.1") == 0


async def test_a_newer_commit_that_comes_later_supersedes_those_that_wait(deploys: Deploys) -> None:
    service = one(deploys, supersede="older")
    async with agent_for(deploys, Commits(**LINE)):
        await deploys.releases.command_environment(deploys.name, "production", HoldCommand(by=BOB, reason="look"))
        older = await start(deploys, "1.1", service, "b")
        await deploys.until_waits(older, "on hold")
        newer = await start(deploys, "1.2", service, "c")
        await deploys.until_status(older, "superseded")
        await deploys.releases.command_environment(deploys.name, "production", ReleaseCommand(by=BOB))
        await deploys.until_status(newer, "live")


async def test_an_older_commit_than_what_is_live_ends_as_superseded(deploys: Deploys) -> None:
    service = one(deploys)
    async with agent_for(deploys, Commits(**LINE)):
        await gone_live(deploys, "1.2", service, "c")
        older = await deploys.until_status(await start(deploys, "1.1", service, "b"), "superseded")
        assert older.closed
        assert "is live in production" in (older.error_message or "")
        assert [event.action for event in await deploys.events(older)][-1] == "deployment.outdated"
        await until_live(deploys, "1.2")
        again = await gone_live(deploys, "1.2b", service, "c")
    assert again.relations[-1].order is Order.SAME
    assert again.remarks == []


async def test_an_approval_in_advance_puts_no_older_version_over_a_newer_one(deploys: Deploys) -> None:
    """1.3 waits for approval, 1.4 goes live, approving 1.3 put the older one over it without a word."""
    service = one(deploys, approval={"required": 1})
    async with agent_for(deploys, Commits(**LINE)):
        older = await start(deploys, "1.3", service, "b")
        await deploys.until_waits(older, "approval")
        newer = await start(deploys, "1.4", service, "c")
        await deploys.until_waits(newer, "approval")
        await deploys.approve(newer)
        await deploys.until_status(newer, "live")
        await deploys.approve(older)
        ended = await deploys.until_status(older, "superseded")
        assert "1.4" in (ended.error_message or "")
        await until_live(deploys, "1.4")
    assert deploys.kinds().count("deploy production 1.3") == 0


async def test_where_the_service_asks_an_approval_of_before_counts_no_more_and_the_next_one_is_warned(
    deploys: Deploys,
) -> None:
    service = one(deploys, approval={"required": 1}, older_commits="ask")
    async with agent_for(deploys, Commits(**LINE)):
        older = await start(deploys, "1.3", service, "b")
        await deploys.until_waits(older, "approval")
        newer = await start(deploys, "1.4", service, "c")
        await deploys.until_waits(newer, "approval")
        await deploys.approve(newer)
        await deploys.until_status(newer, "live")
        await deploys.approve(older)
        asked = await deploys.until_waits(older, "OLDER than 1.4")
        assert "approve" in (asked.waits_for or "")
        assert [entry.counts for entry in asked.approvals] == [False]
        assert "before this was known" in (asked.approvals[0].why or "")
        await deploys.crash()
        await deploys.approve(older)
        live = await deploys.until_status(older, "live")
    assert [entry.counts for entry in live.approvals] == [False, True]
    assert "older than 1.4" in live.remarks


async def test_where_nobody_need_approve_a_person_says_that_it_goes_on(deploys: Deploys) -> None:
    service = one(deploys, older_commits="ask")
    async with agent_for(deploys, Commits(**LINE)):
        newer = await gone_live(deploys, "1.2", service, "c")
        older = await start(deploys, "1.1", service, "b")
        asked = await deploys.until_waits(older, "OLDER than 1.2")
        assert "deploy resume" in (asked.waits_for or "")
        assert asked.stage("production").status == "paused"  # pyright: ignore[reportOptionalMemberAccess]
        newest = await gone_live(deploys, "1.3", service, "d")
        await deploys.releases.command(older, Resume(by=CAT, reason="1.2 and 1.3 lose orders"))
        again = await deploys.until_waits(older, "OLDER than 1.3")
        assert (await deploys.get(newest)).status == "live"
        await deploys.releases.command(again, Resume(by=CAT, reason="1.3 too"))
        await deploys.until_status(older, "live")
        await deploys.until_status(newest, "superseded")
    assert (await deploys.get(newer)).status == "superseded"


async def test_a_hotfix_branch_goes_on_in_order_of_arrival_with_a_warning(deploys: Deploys) -> None:
    service = one(deploys)
    async with agent_for(deploys, Commits(**LINE)):
        await gone_live(deploys, "1.2", service, "c")
        hotfix = await gone_live(deploys, "1.0.1", service, "hotfix")
        assert hotfix.remarks == ["diverged from 1.2"]
        assert "deployment.order_doubted" in [event.action for event in await deploys.events(hotfix)]


async def test_a_hotfix_that_needs_an_approval_shows_the_warning_and_asks_again_when_it_changes(
    deploys: Deploys,
) -> None:
    service = one(deploys, approval={"required": 1})
    async with agent_for(deploys, Commits(**LINE)):
        first = await start(deploys, "1.1", service, "b")
        await deploys.until_waits(first, "approval")
        await deploys.approve(first)
        await deploys.until_status(first, "live")
        hotfix = await start(deploys, "1.0.1", service, "hotfix")
        await deploys.until_waits(hotfix, "diverged")
        newer = await start(deploys, "1.2", service, "c")
        await deploys.until_waits(newer, "approval")
        await deploys.approve(newer)
        await deploys.until_status(newer, "live")
        await deploys.approve(hotfix)
        asked = await deploys.until(hotfix, lambda found: any(entry.void for entry in found.approvals))
        await deploys.until_waits(asked, "1.2")
        await deploys.approve(hotfix)
        await deploys.until_status(hotfix, "live")


async def test_going_back_on_purpose_needs_a_reason_and_is_in_the_trail(deploys: Deploys) -> None:
    service = one(deploys)
    async with agent_for(deploys, Commits(**LINE)):
        await gone_live(deploys, "1.2", service, "c")
        older = await start(deploys, "1.1", service, "b", allow_older="the law comes later")
        live = await deploys.until_status(older, "live")
        assert live.allow_older == "the law comes later"
        assert live.remarks == ["older than 1.2"]
        allowed = next(each for each in await deploys.events(live) if each.action == "deployment.older_allowed")
    assert (allowed.by, allowed.reason) == ("ci", "the law comes later")


async def test_without_an_agent_that_answers_it_goes_on_in_order_of_arrival_with_a_warning(deploys: Deploys) -> None:
    service = one(deploys)
    await gone_live(deploys, "1.2", service, "c")
    later = await gone_live(deploys, "1.1", service, "b")
    assert later.remarks == ["order to 1.2 unknown"]
    assert "no agent of pool" in later.relations[0].why


async def test_an_agent_without_the_whole_history_proves_nothing_by_a_no(deploys: Deploys) -> None:
    service, commits = one(deploys), Commits(**LINE)
    commits.complete = False
    async with agent_for(deploys, commits):
        await gone_live(deploys, "1.0", service, "hotfix")
        other = await gone_live(deploys, "1.1", service, "b")
    assert other.remarks == ["order to 1.0 unknown"]


async def test_each_pair_of_commits_is_asked_about_once(deploys: Deploys) -> None:
    service, commits = deploys.service(), Commits(**LINE)
    async with agent_for(deploys, commits):
        await gone_live(deploys, "1.0", service, "a")
        await gone_live(deploys, "1.1", service, "b")
    assert commits.asked == 1  # of staging; what is live in production is the same commit


async def test_a_forges_word_of_its_pushes_counts_where_no_agent_answers(deploys: Deploys) -> None:
    service = one(deploys)

    async def pushed(version: str, before: str, after: str, **fields: str) -> Deployment:
        said = {"push.before": sha(before), "push.forced": "false", **fields}
        given = deploys.input(version, service, sha=sha(after))
        request = DeploymentRequest.model_validate({**given.request.model_dump(), "metadata": said})
        by = said.pop("by", "webhook:github")
        deployment = await deploys.releases.start(given.model_copy(update={"request": request, "created_by": by}))
        deploys.started.append(deployment)
        return deployment

    await deploys.until_status(await pushed("1.2", "b", "c"), "live")
    older = await deploys.until_status(await pushed("1.1", "a", "b"), "superseded")
    assert older.relations[0].found is HowFound.PUSH
    forced = await deploys.until_status(await pushed("1.3", "c", "d", **{"push.forced": "true"}), "live")
    assert forced.remarks == ["order to 1.2 unknown"]


async def test_of_two_that_come_at_once_the_newer_one_is_live_in_the_end(deploys: Deploys) -> None:
    """Each is asked before the other one is in line, or behind it: as chance has it."""
    service = one(deploys, supersede="older")
    async with agent_for(deploys, Commits(**LINE)):
        await gone_live(deploys, "1.0", service, "a")
        newer, older = await asyncio.gather(start(deploys, "1.2", service, "c"), start(deploys, "1.1", service, "b"))
        await deploys.until_status(newer, "live")
        await deploys.until_status(older, "superseded")
        await until_live(deploys, "1.2")


async def test_a_rollout_does_not_hang_on_an_agent_that_does_not_answer(deploys: Deploys) -> None:
    service, commits = one(deploys), Commits(**LINE)
    async with agent_for(deploys, commits):
        await gone_live(deploys, "1.0", service, "a")
        commits.silent = True
        later = await deploys.until_status(await start(deploys, "1.1", service, "b"), "live", seconds=60)
        assert later.remarks == ["order to 1.0 unknown"]
        assert "within 10 s" in later.relations[0].why


async def test_who_cancels_does_not_wait_for_an_agent_either(deploys: Deploys) -> None:
    service, commits = one(deploys), Commits(**LINE)
    async with agent_for(deploys, commits):
        await gone_live(deploys, "1.0", service, "a")
        commits.silent = True
        asking = await start(deploys, "1.1", service, "b")
        await asyncio.sleep(1)
        await deploys.releases.command(asking, CancelDeployment(by=BOB, reason="wrong one"))
        ended = await deploys.until_status(asking, "failed", seconds=5)
        assert ended.cause == "cancelled"
        await deploys.crash()
        commits.silent = False
        await gone_live(deploys, "1.2", service, "c")
