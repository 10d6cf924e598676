"""Approvals that are signed for the agents: asked for, checked for what they speak of, and handed to every job."""

import time

import pytest

from tests.workflows.deployment_harness import BOB, Deploys
from workflows.contracts.deployments.commands import RollbackCommand
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import InvalidState
from workflows.contracts.sealed import SignedApproval

HOUR = 3_600_000


def _service(deploys: Deploys) -> Service:
    """With rollback steps of its own: the target's approvals must be fetched all the same."""
    production = deploys.environment(
        approval={"required": 1, "signed": True},
        health_check={"run": "true"},
        rollback={"steps": [{"name": "back", "run": "./back.sh"}]},
    )
    return deploys.service(deploys.environment("staging"), production)


def _signed(deployment: Deployment, **fields: object) -> SignedApproval:
    said = {
        "service": deployment.service_name,
        "version": deployment.version,
        "git_commit_sha": deployment.git_commit_sha,
        "environment": "production",
        "expires_at": int(time.time() * 1000) + HOUR,
        "key_id": "0" * 16,
        "signature": "A" * 86 + "==",
    }
    return SignedApproval.model_validate(said | fields)


async def _live(deploys: Deploys, version: str) -> Deployment:
    deployment = await deploys.start(version, _service(deploys))
    await deploys.until_waits(deployment, "waits for approval")
    await deploys.approve(deployment, signed=_signed(deployment))
    return await deploys.until_status(deployment, "live")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"version": "9.9"}, "The signature is for 9.9"),
        ({"environment": "staging"}, "in staging, not for this deployment"),
        ({"git_commit_sha": "b" * 40}, "not for this deployment: sign again"),
        ({"expires_at": 1}, "has expired"),
        (None, "takes signed approvals only"),
    ],
)
async def test_a_signature_of_something_else_is_refused(
    deploys: Deploys, fields: dict[str, object] | None, said: str
) -> None:
    deployment = await deploys.start("1.0", _service(deploys))
    await deploys.until_waits(deployment, "waits for approval")
    signed = None if fields is None else _signed(deployment, **fields)
    with pytest.raises(InvalidState, match=said):
        await deploys.approve(deployment, signed=signed)
    assert (await deploys.get(deployment)).approvals == []


async def test_every_job_behind_the_approval_carries_it_a_rollback_the_targets(deploys: Deploys) -> None:
    one = await _live(deploys, "1.0")
    two = await _live(deploys, "1.1")
    by_kind = {ran.where: ran.approvals for ran in deploys.ran}
    assert by_kind["deploy staging 1.1"] == []
    assert by_kind["deploy production 1.1"] == by_kind["health production 1.1"] != []
    assert by_kind["deploy production 1.1"][0].version == "1.1"
    await deploys.releases.command(two, RollbackCommand(by=BOB, reason="slow"))
    await deploys.until_status(two, "rolled_back")
    after = {ran.where: ran.approvals for ran in deploys.ran}
    assert [signed.version for signed in after["rollback production 1.0"]] == [one.version]
    assert [signed.version for signed in deploys.ran[-1].approvals] == ["1.0"]
    assert (await deploys.get(two)).approvals[0].signed is not None
