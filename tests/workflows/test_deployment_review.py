"""What a review of the deployments' core found: each was lost, stuck or wrong before."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from pydantic import ValidationError

from activities.stores.interfaces.writes import WriteOutcome
from tests.workflows.deployment_harness import BOB, CAT, Deploys
from tests.workflows.harness import fail
from workflows.contracts.deployments.commands import Resume
from workflows.contracts.deployments.deployment import DeploymentWrite
from workflows.contracts.deployments.rules import Verification


@asynccontextmanager
async def _store_that_hangs(deploys: Deploys, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[asyncio.Event]:
    """Every write of a deployment's record waits until the block ends; the event says that one does."""
    write, hangs, goes_on = deploys.stores.deployments.write, asyncio.Event(), asyncio.Event()

    async def hanging(change: DeploymentWrite, document: str | None = None) -> WriteOutcome:
        hangs.set()
        await goes_on.wait()
        return await write(change, document)

    monkeypatch.setattr(deploys.stores.deployments, "write", hanging)
    try:
        yield hangs
    finally:
        goes_on.set()
        monkeypatch.setattr(deploys.stores.deployments, "write", write)


async def test_an_approval_while_the_store_hangs_is_not_overlooked(
    deploys: Deploys, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = deploys.service(deploys.environment(approval={"required": 3}))
    one = await deploys.start("1.0", service)
    await deploys.until_waits(one, "waits for approval")
    handle = deploys.handle(one)
    async with _store_that_hangs(deploys, monkeypatch) as hangs:
        await handle.signal("approve", {"by": BOB})
        await hangs.wait()
        await handle.signal("approve", {"by": CAT})
        await handle.signal("approve", {"by": "dan@example.com"})
        for _ in range(1500):  # until the worker has asked for more time and was told
            if len((await handle.query("state", result_type=type(one))).approvals) == 3:
                break
            await deploys.pause()
        else:
            raise AssertionError("the approvals were never seen")
    await deploys.until_status(one, "live")


@pytest.mark.parametrize("name", ["approve", "rollback", "report_metrics", "granted", "superseded", "reinstated"])
async def test_a_signal_without_input_or_with_another_one_harms_nothing(deploys: Deploys, name: str) -> None:
    one = await deploys.start("1.0", deploys.service(deploys.environment(approval={"required": 1})))
    await deploys.until_waits(one, "waits for approval")
    handle = deploys.handle(one)
    await handle.signal(name)
    await handle.signal(name, args=["nonsense"])
    await handle.signal(name, {"by": 7})
    await asyncio.wait_for(deploys.approve(one), 60)
    await deploys.until_status(one, "live")


async def test_what_becomes_live_in_staging_does_not_end_what_is_live_in_production(deploys: Deploys) -> None:
    one = await deploys.live("1.0")
    await deploys.live("1.1", deploys.service(deploys.environment("staging")))
    await deploys.until_environment(lambda found: found.live is not None and found.live.version == "1.1", "staging")
    await deploys.live("1.2")  # by then the environments have told what there was to tell
    ended = await deploys.until_status(one, "superseded")
    assert "1.2" in (ended.error_message or "")


async def test_many_breaches_in_a_row_are_counted(deploys: Deploys) -> None:
    metrics = {"max_error_rate": 0.1, "consecutive_breaches": 20}
    service = deploys.service(deploys.environment(verification=metrics))
    await deploys.live("1.0", service)
    two = await deploys.live("1.1", service)
    with pytest.raises(ValidationError, match="less than or equal to 20"):  # no record keeps so many samples
        Verification.model_validate(metrics | {"consecutive_breaches": 21})
    for _ in range(20):
        await deploys.measure(two, error_rate=0.5)
    await deploys.until_status(two, "rolled_back")


async def test_a_resumed_verification_still_bakes(deploys: Deploys) -> None:
    deploys.script("verify", fail(75))
    verification = {"run": "./verify.sh", "bake_seconds": 1, "max_error_rate": 0.1}
    one = await deploys.start("1.0", deploys.service(deploys.environment(verification=verification)))
    await deploys.until_waits(one, "could not tell")
    await deploys.releases.command(one, Resume(by=BOB, reason="looks well"))
    await deploys.until_waits(one, "nobody reported error_rate")
    await deploys.releases.command(one, Resume(by=BOB, reason="looks well"))
    await deploys.until_status(one, "live")


async def test_a_signal_that_cannot_be_read_is_refused_in_the_trail(deploys: Deploys) -> None:
    one = await deploys.start("1.0", deploys.service(deploys.environment(approval={"required": 1})))
    await deploys.until_waits(one, "waits for approval")
    await deploys.handle(one).signal("reject", {"by": BOB})
    await deploys.approve(one)
    refused = [event for event in await deploys.events(one) if event.action == "deployment.rejection_refused"]
    assert ["reason: is needed" in (event.reason or "") for event in refused] == [True]


async def test_a_stage_with_as_many_variables_as_it_may_have_makes_a_valid_job(deploys: Deploys) -> None:
    variables = {f"V{number}": "x" for number in range(250)}
    await deploys.live("1.0", deploys.service(deploys.environment(env=variables)))
    with pytest.raises(ValidationError, match="at most 250"):
        deploys.service(deploys.environment(env=variables | {"ONE_MORE": "x"}))
