"""Who lets a version in, on the real workflows: how many, by which groups, when, and one no."""

import pytest

from tests.workflows.approvals import approved_service, reusing, waiting_for_approval
from tests.workflows.deployment_harness import BOB, CAT, Deploys
from tests.workflows.harness import until_cancelled
from workflows.contracts.deployments.commands import (
    Approve,
    CancelDeployment,
    Reject,
)
from workflows.contracts.errors import InvalidState, NotFound


async def test_approvals_need_distinct_people_who_are_not_the_author(deploys: Deploys) -> None:
    waiting = await waiting_for_approval(deploys, required=2)
    assert (waiting.status, waiting.environment) == ("staged", "production")
    for command, words in (
        (Approve(by="Ann@Example.com"), "is the author"),
        (Approve(by=BOB, version="9.9"), "is of 1.0, not 9.9"),
        (Approve(by=BOB, git_commit_sha="b" * 40), "look at it again"),
        (Approve(by=BOB, environment="staging"), "waits for approval of production"),
    ):
        with pytest.raises(InvalidState, match=words):
            await deploys.releases.command(waiting, command)
    once = await deploys.approve(waiting, BOB, comment="looks good")
    assert "1 of 2 approvals are given" in (once.waits_for or ""), "as it is now, not as it was"
    with pytest.raises(
        InvalidState, match=r"has approved production already.*Who may: whoever may approve, but for its author, its "
    ):
        await deploys.approve(waiting, "BOB@example.com")
    assert (await deploys.get(waiting)).approvals == once.approvals
    assert "deploy production 1.0" not in deploys.kinds()
    last = await deploys.approve(waiting, CAT)
    assert last.waits_for == "1.0 has its approvals for production; it takes its turn there."
    live = await deploys.until_status(waiting, "live")
    assert [(entry.by, entry.decision) for entry in live.approvals] == [(BOB, "approve"), (CAT, "approve")]
    with pytest.raises(InvalidState, match="has all its approvals"):
        await deploys.approve(waiting, "dan@example.com")


async def test_groups_say_who_may_approve(deploys: Deploys) -> None:
    group = {"name": "sre", "members": [CAT, "dan@example.com"], "required": 1}
    waiting = await waiting_for_approval(deploys, groups=[group])
    with pytest.raises(InvalidState, match="none of the groups that may approve production: sre") as refused:
        await deploys.approve(waiting, BOB)
    command = f"`hybridci deploy approve {waiting.deployment_id}`"
    assert f"Who may: {CAT}, dan@example.com (sre). Their command: {command}" in str(refused.value)
    await deploys.approve(waiting, CAT)
    await deploys.until_status(waiting, "live")


async def test_an_approval_before_its_time_is_refused(deploys: Deploys) -> None:
    deploys.script("deploy staging", until_cancelled)
    started = await deploys.start("1.0", approved_service(deploys))
    await deploys.until(started, lambda found: found.status == "staging" and bool(found.stages[0].job_ids))
    with pytest.raises(InvalidState, match=r"waits for no approval now|needs no approval"):
        await deploys.approve(started)
    await deploys.releases.command(started, CancelDeployment(by=BOB))
    ended = await deploys.until_status(started, "failed")
    assert (ended.cause, ended.approvals) == ("cancelled", [])
    with pytest.raises((InvalidState, NotFound)):  # its workflow closes just after the record says so
        await deploys.approve(started)


async def test_signals_with_json_that_a_person_can_type(deploys: Deploys) -> None:
    waiting = await waiting_for_approval(deploys)
    await deploys.handle(waiting).signal("approve", {"by": "ann@example.com"})
    await deploys.handle(waiting).signal("approve", {"by": BOB})
    await deploys.until_status(waiting, "live")
    events = await deploys.events(waiting)
    refused = [event for event in events if event.action == "deployment.approval_refused"]
    assert [(event.by, event.via) for event in refused] == [("ann@example.com", "temporal")]
    assert "is the author" in (refused[0].reason or "")


async def test_one_rejection_ends_it(deploys: Deploys) -> None:
    waiting = await waiting_for_approval(deploys, required=2)
    await deploys.approve(waiting, BOB)
    await deploys.releases.command(waiting, Reject(by=CAT, reason="not on a Friday"))
    ended = await deploys.until_status(waiting, "failed")
    assert (ended.cause, ended.closed) == ("rejected", True)
    assert "not on a Friday" in (ended.error_message or "")
    state = await deploys.until_environment(lambda found: not found.queue)
    assert (state.holder, state.live) == (None, None)


async def test_another_commit_needs_new_approvals(deploys: Deploys) -> None:
    first = await waiting_for_approval(deploys)
    await deploys.approve(first)
    await deploys.until_status(first, "live")
    again = await deploys.start("1.0", reusing(approved_service(deploys)), sha="b" * 40)
    waiting = await deploys.until_waits(again, "0 of 1 approvals")
    assert waiting.approvals == []
