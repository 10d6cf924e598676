"""Services that are archived, deleted, registered anew; environments that are emptied and renamed."""

from typing import Any

import pytest

from tests.workflows.deployment_harness import Deploys
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import RetireCommand
from workflows.contracts.deployments.policy import DecidePolicyChange
from workflows.contracts.deployments.services import Service, ServiceWrite
from workflows.contracts.deployments.standing import ChangeStanding, ServiceStanding
from workflows.contracts.errors import InvalidState, NotFound


async def apply(deploys: Deploys, *environments: dict[str, Any], **fields: Any) -> Service:
    spec = deploys.service(*environments, **fields).spec
    return await deploys.releases.apply_service(ServiceWrite(name=deploys.name, spec=spec, by="ann"))


async def becomes(deploys: Deploys, to: ServiceStanding) -> Service:
    return await deploys.releases.change_standing(ChangeStanding(by="ann", name=deploys.name, to=to, reason="why"))


async def retire(deploys: Deploys, environment: str) -> None:
    gone = RetireCommand(by="ann", reason="switched off")
    await deploys.releases.command_environment(deploys.name, environment, gone)


async def waiting(deploys: Deploys, service: Service, version: str) -> Deployment:
    deployment = await deploys.start(version, service)
    await deploys.until_waits(deployment, "waits for approval")
    return deployment


async def test_an_environment_in_which_a_version_is_live_is_not_renamed(deploys: Deploys) -> None:
    """The case of the issue: 1.2 live in `prod`, renamed to `production`, had two locks."""
    service = await apply(deploys, deploys.environment("prod"))
    live = await deploys.live("1.2", service)
    await deploys.until_environment(lambda state: state.live is not None, "prod")
    with pytest.raises(InvalidState) as refused:
        await apply(deploys, deploys.environment("production"))
    for said in ("no prod any more", "1.2 is live in prod", "hybridci service retire"):
        assert said in str(refused.value)
    await retire(deploys, "prod")
    ended = await deploys.until_status(live, "superseded")
    assert (ended.cause, ended.closed) == ("retired", True)
    assert "ann says that it is gone: switched off" in (ended.error_message or "")
    state = await deploys.until_environment(lambda state: state.live is None, "prod")
    assert state.holder is None
    service = await apply(deploys, deploys.environment("production"))
    await deploys.live("1.3", service)
    assert (await deploys.until_environment(lambda state: state.live is not None)).live is not None


async def test_nor_one_for_which_a_version_waits_or_is_on_its_way(deploys: Deploys) -> None:
    service = await apply(deploys, deploys.environment("prod", approval={"required": 1}))
    waits = await waiting(deploys, service, "1.2")
    with pytest.raises(InvalidState, match=rf"1.2 is pending.*hybridci deploy cancel {waits.deployment_id}"):
        await apply(deploys, deploys.environment("production"))
    with pytest.raises(InvalidState, match=r"Nothing is live|is on its way into"):
        await retire(deploys, "prod")
    changed = await apply(deploys, deploys.environment("prod"))  # any other change goes through
    assert changed.version == 2


async def test_a_service_is_archived_and_deleted_when_nothing_is_left_of_it(deploys: Deploys) -> None:
    service = await apply(deploys, deploys.environment(approval={"required": 1}))
    waits = await waiting(deploys, service, "1.0")
    with pytest.raises(InvalidState, match=r"1.0 is pending"):
        await becomes(deploys, ServiceStanding.ARCHIVED)
    await deploys.approve(waits)
    await deploys.until_status(waits, "live")
    with pytest.raises(InvalidState, match=r"is in use. Archive it first"):
        await becomes(deploys, ServiceStanding.DELETED)
    archived = await becomes(deploys, ServiceStanding.ARCHIVED)
    assert archived.archived is not None
    assert (archived.archived.by, archived.archived.reason) == ("ann", "why")
    again = await becomes(deploys, ServiceStanding.ARCHIVED)
    assert again.version == archived.version
    with pytest.raises(InvalidState, match=r"1.0 is live in production: when it is gone"):
        await becomes(deploys, ServiceStanding.DELETED)
    await retire(deploys, "production")
    await deploys.until_status(waits, "superseded")
    fence = (await deploys.until_environment(lambda state: state.live is None)).fence
    await becomes(deploys, ServiceStanding.DELETED)
    with pytest.raises(NotFound):
        await becomes(deploys, ServiceStanding.IN_USE)
    anew = await apply(deploys, deploys.environment())
    assert (anew.version, anew.archived, anew.deleted) == (archived.version + 2, None, False)
    await deploys.live("2.0", anew)
    state = await deploys.until_environment(lambda state: state.live is not None)
    assert state.fence > fence > 0
    assert (await deploys.get(waits)).version == "1.0"
    trail = await deploys.stores.events.list(EventQuery(service_name=deploys.name, action="service.", limit=20))
    assert [event.action.removeprefix("service.") for event in reversed(trail.items)] == [
        "applied", "archived", "deleted", "applied",
    ]  # fmt: skip


async def test_whose_policy_two_persons_change_is_not_deleted_by_one(deploys: Deploys) -> None:
    await apply(deploys, deploys.environment(), policy_change_needs_second_person=True)
    await becomes(deploys, ServiceStanding.ARCHIVED)
    with pytest.raises(InvalidState, match=r"policy changes by two persons"):
        await becomes(deploys, ServiceStanding.DELETED)
    assert (await becomes(deploys, ServiceStanding.IN_USE)).archived is None


async def test_a_version_is_one_commit_whoever_asks(deploys: Deploys) -> None:
    service = deploys.service(deploys.environment())
    first = await deploys.live("1.0", service)
    with pytest.raises(InvalidState) as refused:
        await deploys.releases.start(deploys.input("1.0", service, sha="b" * 40))
    for said in (first.git_commit_sha, "b" * 40, first.deployment_id, "allow_version_reuse"):
        assert said in str(refused.value)
    again = await deploys.live("1.0", service)
    assert again.deployment_id != first.deployment_id
    allowed = deploys.service(deploys.environment(), allow_version_reuse=True)
    other = await deploys.until_status(await deploys.start("1.0", allowed, sha="b" * 40), "live")
    assert other.git_commit_sha == "b" * 40


async def test_a_change_that_waited_does_not_bring_a_deleted_service_back(deploys: Deploys) -> None:
    await apply(deploys, deploys.environment(), policy_change_needs_second_person=True)
    await apply(deploys, deploys.environment(approval={"required": 1}), policy_change_needs_second_person=True)
    waits = await deploys.stores.services.get(deploys.name)
    assert waits is not None
    assert waits.policy_change is not None
    archived = await becomes(deploys, ServiceStanding.ARCHIVED)
    assert archived.policy_change == waits.policy_change
    gone = archived.model_copy(update={"version": archived.version + 1, "deleted": True})
    assert await deploys.stores.services.put(gone, expected_version=archived.version, events=[])
    yes = DecidePolicyChange(by="bob", name=deploys.name, version=gone.version, approve=True)
    with pytest.raises(InvalidState):
        await deploys.releases.decide_policy_change(yes)
    assert await deploys.stores.services.get(deploys.name) == gone
