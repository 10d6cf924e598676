"""Approvals on the real workflows: whose word they are, and who may approve when they are given and when they count."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.client import Client

from activities.settings import ApprovalSettings
from tests.workflows.conftest import keep_deployment_histories
from tests.workflows.deployment_harness import BOB, CAT, Deploys, deploys
from workflows.contracts.access import Credential, CredentialKind
from workflows.contracts.deployments.commands import Approve
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import InvalidState, Unavailable
from workflows.contracts.identity.people import Parties, Somebody, Vouched, identity_of

SECRET = "a secret that the API and the control worker share"
PARTIES = Parties(author=identity_of("ann@example.com"), starter=Somebody(person="rita"))


@pytest.fixture
async def strict(temporal_client: Client, request: pytest.FixtureRequest) -> AsyncIterator[Deploys]:
    """As in production: only what the API vouches for counts."""
    async with deploys(temporal_client, ApprovalSettings(signing_key=SecretStr(SECRET))) as harness:
        yield harness
        await keep_deployment_histories(request, harness)


def service_of(harness: Deploys, **approval: Any) -> Service:
    return harness.service(harness.environment(approval=approval))


async def registered(harness: Deploys, service: Service) -> None:
    """As it is registered now, whatever deployments have kept of it."""
    present = await harness.stores.services.get(harness.name)
    newer = service.model_copy(update={"version": 1 if present is None else present.version + 1})
    assert await harness.stores.services.put(newer, expected_version=None, events=[])


async def waiting(harness: Deploys, service: Service, version: str = "1.0") -> Deployment:
    started = await harness.start(version, service, parties=PARTIES)
    return await harness.until_waits(started, "waits for approval")


def vouched(deployment: Deployment, who: str | Somebody, secret: str = SECRET, **changes: Any) -> Approve:
    somebody = identity_of(who) if isinstance(who, str) else who
    word = Vouched(by=somebody.person, identity=somebody, environment="production", at=1)
    proven = word.proven(secret.encode(), deployment.deployment_id, deployment.version, deployment.git_commit_sha)
    return Approve(by=somebody.person, via="api", vouched=proven.model_copy(update=changes))


def given_with(deployment: Deployment, who: str, credential_id: str) -> Approve:
    """With this key."""
    word = Vouched(by=who, identity=identity_of(who), environment="production", credential_id=credential_id, at=1)
    subject = (deployment.deployment_id, deployment.version, deployment.git_commit_sha)
    return Approve(by=who, via="api", vouched=word.proven(SECRET.encode(), *subject))


async def key(harness: Deploys, credential_id: str, revision: int = 1, **changes: Any) -> None:
    made = Credential(
        credential_id=credential_id, kind=CredentialKind.KEY, digest="", subject="key:x", grants=[], created_at=1
    )
    changed = made.model_copy(update={"revision": revision, **changes})
    assert await harness.stores.credentials.put(changed, [])


async def test_what_is_sent_straight_to_temporal_does_not_count(strict: Deploys) -> None:
    deployment = await waiting(strict, service_of(strict))
    with pytest.raises(InvalidState, match=r"it was sent straight to Temporal, not through the API\. production takes"):
        await strict.approve(deployment, BOB)
    await strict.handle(deployment).signal("approve", {"by": BOB})
    forged = vouched(deployment, BOB, proof="0" * 64)
    with pytest.raises(InvalidState, match="its proof is not the API's"):
        await strict.releases.command(deployment, forged)
    elsewhere = deployment.model_copy(update={"deployment_id": "another"})
    with pytest.raises(InvalidState, match="its proof is not the API's"):
        await strict.releases.command(deployment, vouched(elsewhere, BOB))
    live = await strict.releases.command(deployment, vouched(deployment, BOB))
    assert [(each.by, each.verified, each.counts, each.why) for each in live.approvals] == [(BOB, True, True, None)]
    await strict.until_status(deployment, "live")
    trail = [(event.action, event.refused, event.details) for event in await strict.events(deployment)]
    assert [action for action, refused, _ in trail if refused] == ["deployment.approval_refused"], "the signal"
    said = next(details for action, _, details in trail if action == "deployment.approved")
    assert said == {"person": BOB, "verified": True, "self_approval": False}


async def test_without_the_secret_nothing_is_verified_and_the_refusal_names_the_setting(
    temporal_client: Client,
) -> None:
    async with deploys(temporal_client, ApprovalSettings()) as harness:
        deployment = await waiting(harness, service_of(harness))
        with pytest.raises(InvalidState, match="the control worker has no HYBRIDCI_SIGNING_KEY"):
            await harness.releases.command(deployment, vouched(deployment, BOB))


async def test_a_service_can_allow_unverified_ones_which_say_so(strict: Deploys) -> None:
    deployment = await waiting(strict, service_of(strict, allow_unverified=True))
    await strict.handle(deployment).signal("approve", {"by": BOB})
    live = await strict.until_status(deployment, "live")
    assert [(each.by, each.verified, each.counts) for each in live.approvals] == [(BOB, False, True)]
    said = next(event for event in await strict.events(deployment) if event.action == "deployment.approved")
    assert said.message == "unverified: it or the deployment came straight from Temporal"
    assert said.details["verified"] is False


async def test_the_members_of_a_group_are_those_of_now(strict: Deploys) -> None:
    """One that was added may, one that was removed may not."""
    then = service_of(strict, groups=[{"name": "sre", "members": [BOB]}])
    await registered(strict, then)
    deployment = await waiting(strict, then)
    await registered(strict, service_of(strict, groups=[{"name": "sre", "members": [CAT]}]))
    with pytest.raises(InvalidState, match="in none of the groups"):
        await strict.releases.command(deployment, vouched(deployment, BOB))
    await strict.releases.command(deployment, vouched(deployment, CAT))
    await strict.until_status(deployment, "live")


async def test_an_approval_of_somebody_removed_since_then_is_shown_and_counts_no_more(strict: Deploys) -> None:
    members = [BOB, CAT, "dan@example.com"]
    then = service_of(strict, required=2, groups=[{"name": "sre", "members": members}])
    await registered(strict, then)
    deployment = await waiting(strict, then)
    await strict.releases.command(deployment, vouched(deployment, BOB))
    await registered(strict, service_of(strict, required=2, groups=[{"name": "sre", "members": members[1:]}]))
    await strict.releases.command(deployment, vouched(deployment, CAT))
    shown = await strict.until_waits(deployment, "counts no more")
    assert [(each.by, each.counts) for each in shown.approvals] == [(BOB, False), (CAT, True)]
    assert "1 of 2 approvals are given" in (shown.waits_for or "")
    assert f"{BOB} has approved it, which counts no more: {BOB} is in none of the groups" in (shown.waits_for or "")
    await strict.releases.command(deployment, vouched(deployment, "dan@example.com"))
    await strict.until_status(deployment, "live")


async def test_a_member_of_two_groups_counts_for_one(strict: Deploys) -> None:
    groups = [{"name": "dev", "members": [BOB]}, {"name": "sre", "members": [BOB, CAT]}]
    deployment = await waiting(strict, service_of(strict, groups=groups))
    await strict.releases.command(deployment, vouched(deployment, BOB))
    await strict.until_waits(deployment, "0 of 1 by sre")
    await strict.releases.command(deployment, vouched(deployment, CAT))
    await strict.until_status(deployment, "live")


async def test_neither_author_nor_starter_nor_a_machine(strict: Deploys) -> None:
    deployment = await waiting(strict, service_of(strict))
    for who, words in (
        (Somebody(person="oidc:corp:1", names=["ann@example.com"]), "is the author"),
        (Somebody(person="rita"), "started 1.0"),
        (Somebody(person="bob", maker="rita"), "one of the two made the key of the other"),
        (Somebody(person="machine:key:1", machine=True), "is a machine"),
    ):
        with pytest.raises(InvalidState, match=words):
            await strict.releases.command(deployment, vouched(deployment, who))
    assert (await strict.get(deployment)).approvals == []


async def test_of_two_approvals_of_one_person_at_one_moment_one_counts(strict: Deploys) -> None:
    deployment = await waiting(strict, service_of(strict, required=2))
    keys = [Somebody(person="bob", names=[f"key:{number}"]) for number in (1, 2)]
    sent = [strict.releases.command(deployment, vouched(deployment, each)) for each in keys]
    answers = await asyncio.gather(*sent, return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Deployment", "InvalidState"]
    assert len((await strict.get(deployment)).approvals) == 1


async def test_the_approval_of_a_revoked_key_is_shown_and_counts_no_more(strict: Deploys) -> None:
    """Where no group is asked for. Its owner may approve again with a key that stands."""
    deployment = await waiting(strict, service_of(strict, required=3))
    for number in ("1", "2", "3", "4"):
        await key(strict, number)
    await strict.releases.command(deployment, given_with(deployment, BOB, "1"))
    await strict.releases.command(deployment, given_with(deployment, CAT, "2"))
    await key(strict, "1", 2, revoked_at=1_000)
    await key(strict, "2", 2, expires_at=1_000, replaced_by="4")
    await strict.releases.command(deployment, given_with(deployment, "dan@example.com", "3"))
    shown = await strict.until_waits(deployment, "counts no more")
    assert [(each.by, each.counts) for each in shown.approvals] == [
        (BOB, False), (CAT, True), ("dan@example.com", True)
    ]  # fmt: skip
    why = "The key 1, with which it was given, was revoked at 1970-01-01 00:00:01 UTC."
    assert (shown.approvals[0].why, shown.approvals[0].marks) == (why, [why])
    assert "2 of 3 approvals are given, until" in (shown.waits_for or "")
    assert f"{BOB} has approved it, which counts no more: {why}" in (shown.waits_for or "")
    await strict.crash()
    await strict.releases.command(deployment, given_with(deployment, BOB, "3"))
    live = await strict.until_status(deployment, "live")
    assert [each.counts for each in live.approvals] == [False, True, True, True]


async def test_an_approval_waits_until_the_store_says_whether_its_key_stands(strict: Deploys) -> None:
    deployment = await waiting(strict, service_of(strict))
    await key(strict, "1")
    get, asked = strict.stores.credentials.get, 0

    async def away(credential_id: str) -> Credential | None:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise Unavailable("no answer")
        return await get(credential_id)

    strict.stores.credentials.get = away  # pyright: ignore[reportAttributeAccessIssue]
    await strict.releases.command(deployment, given_with(deployment, BOB, "1"))
    live = await strict.until_status(deployment, "live")
    assert (asked, [each.counts for each in live.approvals]) == (4, [True])
