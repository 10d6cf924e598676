"""Every path of an environment's lock, on the real server, with scripted deployments."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.common import TypedSearchAttributes
from temporalio.exceptions import ApplicationError

from tests.workflows.conftest import keep_history
from tests.workflows.environment_harness import Deployment, Lab, lab
from workflows.contracts import search_attributes as attributes
from workflows.contracts.deployments.environments import (
    EnvironmentState,
    FreezeCommand,
    Hold,
    HoldCommand,
    Leaving,
    LiveVersion,
    ReleaseCommand,
    UnfreezeCommand,
)
from workflows.contracts.deployments.rules import SupersedePolicy
from workflows.contracts.errors import InvalidState, ValidationFailed
from workflows.environment.workflow import EnvironmentWorkflow

DISTANT_MS = 4_000_000_000_000
pytestmark = pytest.mark.filterwarnings("ignore:Cannot find activity to cancel:UserWarning")
"""A watch can end just as it is cancelled. The SDK warns; as an error that would end its worker."""


@pytest.fixture
async def shop(temporal_client: Client, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    async with lab(temporal_client) as started:
        yield started
        name = str(request.node.name).removeprefix("test_")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        await keep_history(request, started.client, started.id, f"env-{name}")
        await started.close()


async def test_an_empty_environment_is_granted_at_once(shop: Lab) -> None:
    one = await shop.deployment("1.0")
    await one.join()
    fence = await one.holds()
    state = await shop.handle.query(EnvironmentWorkflow.state)
    assert state == shop.written
    assert state.holder is not None
    assert (state.holder.deployment_id, state.holder.fence, state.holder.live) == (one.id, fence, False)
    assert shop.actions() == ["granted"]


async def test_one_at_a_time_in_order_of_arrival(shop: Lab) -> None:
    one, two, three = [await shop.deployment(version) for version in ("1.0", "1.1", "1.2")]
    await one.join()
    await one.holds()
    await two.join(ready=False)
    await three.join()
    assert "1.0 is being rolled out" in (await three.hears("waiting"))["reason"]
    await two.join(ready=True)
    await two.hears("waiting")
    await one.leave(Leaving.DEPLOYED)
    await two.holds()
    assert (await two.hears("granted"))["previous"]["version"] == "1.0"
    await two.leave(Leaving.DEPLOYED)
    await three.holds()
    assert [each["version"] for each in (await three.hears("granted"))["history"]] == ["1.1", "1.0"]
    fences = [(await each.hears("granted"))["fence"] for each in (one, two, three)]
    assert fences == sorted(set(fences))
    await three.leave()
    state = await shop.until(lambda state: state.holder is None)
    assert state.live is not None
    assert (state.live.version, state.queue) == ("1.1", [])
    assert two.heard() == ["waiting", "granted"]
    assert three.heard().count("waiting") == 2


async def test_a_newer_one_supersedes_those_who_wait(shop: Lab) -> None:
    one, two, three = [await shop.deployment(version) for version in ("1.0", "1.1", "1.2")]
    await one.join()
    await one.holds()
    await two.join()
    await three.join(supersede=SupersedePolicy.OLDER)
    assert (await two.hears("superseded"))["by_version"] == "1.2"
    await one.leave()
    await three.holds()
    assert one.heard() == ["granted"]


async def test_a_live_version_hands_over_and_is_superseded(shop: Lab) -> None:
    one, two = await shop.live("1.0"), await shop.deployment("1.1")
    await two.join()
    assert (await one.hears("yield_requested"))["to_version"] == "1.1"
    await two.holds()
    await two.goes_live()
    assert (await one.hears("superseded"))["by_deployment_id"] == two.id
    state = await shop.until(lambda state: state.live is not None and state.live.version == "1.1")
    assert [each.version for each in state.history] == ["1.1", "1.0"]
    assert state.holder is not None
    assert (state.holder.live, state.holder.over) == (True, None)


async def test_a_failed_newcomer_gives_the_turn_back(shop: Lab) -> None:
    one, two = await shop.live("1.0"), await shop.deployment("1.1")
    await two.join()
    fence = await two.holds()
    await two.leave()
    assert (await one.hears("reinstated"))["fence"] > fence
    state = await shop.until(lambda state: state.holder is not None and state.holder.live)
    assert state.holder is not None
    assert state.holder.deployment_id == one.id


async def test_a_rollback_sets_a_hold_until_somebody_lifts_it(shop: Lab) -> None:
    one, two, three = await shop.live("1.0"), await shop.deployment("1.1"), await shop.deployment("1.2")
    await two.join()
    previous = LiveVersion.model_validate((await two.hears("granted"))["previous"])
    await three.join()
    await three.hears("waiting")
    await two.leave(Leaving.ROLLED_BACK, live=previous, hold=Hold(by="ann", reason="bad metrics.", at=0))
    reason = (await three.hears("waiting", 2))["reason"]
    assert "on hold by ann since 1970-01-01 00:00:00 UTC: bad metrics. `hybridci deploy release" in reason
    assert f"{shop.service} --environment production` lifts it." in reason
    await one.hears("reinstated")
    released = await shop.deployments.command_environment(
        shop.service, "production", ReleaseCommand(by="bob", reason="fixed", via="cli", address="10.0.0.1")
    )
    assert released.hold is None
    await three.holds()
    event = await shop.noted("released")
    assert (event["by"], event["via"], event["address"], event["reason"]) == ("bob", "cli", "10.0.0.1", "fixed")


async def test_a_rollback_comes_before_handing_over(shop: Lab) -> None:
    one, two = await shop.live("1.0", hands_over=False), await shop.deployment("1.1")
    await two.join()
    await one.hears("yield_requested")
    assert "1.0 is live and was asked to hand" in (await two.hears("waiting"))["reason"]
    await one.leave(Leaving.ROLLED_BACK)
    await two.holds()
    assert (await two.hears("granted"))["previous"] is None


async def test_deployments_that_have_ended_lose_their_place(shop: Lab) -> None:
    """The live one is asked in vain and cannot go on, the next in line cannot be told, the third one has its turn."""
    one, two, three = await shop.live("1.0"), await shop.deployment("1.1"), await shop.deployment("1.2")
    for each in (one, two):
        await each.handle.signal("end")
        await each.handle.result()
    await two.join()
    await three.join()
    await three.holds()
    state = await shop.until(lambda state: state.holder is not None and state.holder.deployment_id == three.id)
    assert state.queue == []
    assert shop.actions().count("dropped") == 5, "the live one is tried again, twice each time that it is its turn"


async def test_a_live_version_that_has_ended_is_not_reinstated(shop: Lab) -> None:
    one, two = await shop.live("1.0"), await shop.deployment("1.1")
    await two.join()
    await two.holds()
    await one.handle.terminate()
    await two.leave()
    state = await shop.until(lambda state: state.holder is None)
    assert state.live is not None
    assert state.live.version == "1.0"


async def test_a_broken_environment_is_held(shop: Lab) -> None:
    one = await shop.live("1.0")
    await one.leave(Leaving.BROKEN)
    state = await shop.until(lambda state: state.hold is not None)
    assert state.holder is None
    two = await shop.deployment("1.1")
    await two.join()
    assert "the rollback of 1.0 failed" in (await two.hears("waiting"))["reason"]


async def test_a_lost_grant_is_repeated(shop: Lab) -> None:
    one = await shop.deployment("1.0")
    await one.join()
    fence = await one.holds()
    await one.join()
    assert await one.holds(2) == fence
    assert len(shop.recorder.writes[shop.id]) == 1


async def test_commands_are_answered_or_refused_and_leave_a_trail(shop: Lab) -> None:
    ask = shop.deployments.command_environment
    with pytest.raises(InvalidState, match="nothing to release"):
        await ask(shop.service, "production", ReleaseCommand(by="ann"))
    held = await ask(shop.service, "production", HoldCommand(by="ann", reason="audit", via="api"))
    assert held == shop.written
    assert held.hold is not None
    with pytest.raises(ValidationFailed) as refusal:
        await ask(shop.service, "production", FreezeCommand(by="ann", freeze_id="f", name="f", ends_at=1))
    assert [error.field for error in refusal.value.errors] == ["ends_at"]
    with pytest.raises(InvalidState, match="no freeze of the id 'f'"):
        await ask(shop.service, "production", UnfreezeCommand(by="ann", freeze_id="f"))
    frozen = await ask(
        shop.service, "production", FreezeCommand(by="ann", freeze_id="f", name="audit", ends_at=DISTANT_MS)
    )
    assert (frozen.frozen_until, frozen.frozen_by) == (DISTANT_MS, "audit")
    assert (await ask(shop.service, "production", UnfreezeCommand(by="ann", freeze_id="f"))).freezes == []
    assert (await ask(shop.service, "production", ReleaseCommand(by="ann"))).hold is None
    assert shop.actions() == ["held", "frozen", "unfrozen", "released"]


async def test_signals_typed_by_hand_do_the_same_and_bad_ones_are_noted(shop: Lab) -> None:
    """As ``temporal workflow signal`` sends them: any JSON, or none."""
    await shop.signal("release", {"by": "ann"})
    assert "nothing to release" in (await shop.noted("refused"))["message"]
    await shop.signal("hold", {"by": "ann", "reason": "audit"})
    event = await shop.noted("held")
    assert (event["by"], event["via"], event["reason"]) == ("ann", "temporal", "audit")
    await shop.signal("freeze", {"by": "ann", "freeze_id": "f", "name": "f", "ends_at": DISTANT_MS})
    await shop.signal("unfreeze", {"by": "ann", "freeze_id": "f"})
    await shop.signal("release", {"by": "ann"})
    await shop.noted("released")
    before = shop.written
    for name in ("hold", "join"):
        await shop.signal(name)
    bad: list[tuple[str, Any]] = [
        ("hold", {"by": "ann", "reson": "typing error"}),
        ("hold", 7),
        ("leave", {"deployment_id": 1}),
        ("became_live", []),
        ("yielded", None),
        ("freeze", {"by": "ann", "freeze_id": "f", "name": "f", "ends_at": 1}),
    ]
    for name, message in bad:
        await shop.signal(name, message)
    await shop.until(lambda _: shop.actions().count("refused") == 9)
    same = {"sequence": 0, "updated_at": 0}
    assert shop.written.model_copy(update=same) == before.model_copy(update=same)
    assert "ends_at is in the past" in (await shop.noted("refused"))["message"]


async def test_a_cancellation_in_the_temporal_ui_is_refused(shop: Lab) -> None:
    one = await shop.deployment("1.0")
    await one.join()
    await one.holds()
    await shop.handle.cancel()
    assert "a lock has no end" in (await shop.noted("refused"))["message"]
    await one.leave()
    await shop.until(lambda state: state.holder is None)


async def test_a_record_that_is_refused_does_not_stop_the_lock(shop: Lab) -> None:
    one = await shop.deployment("1.0")
    await one.join()
    await one.holds()
    shop.recorder.fail = ApplicationError("too large", type="validation_failed", non_retryable=True)
    with pytest.raises(ValidationFailed, match=r"is changed, but its record could not be written: .*too large"):
        await shop.deployments.command_environment(shop.service, "production", HoldCommand(by="ann", reason="audit"))
    await one.leave()
    shop.recorder.fail = None
    await shop.deployments.command_environment(shop.service, "production", ReleaseCommand(by="ann"))
    assert shop.actions() == ["granted", "held", "freed", "released"]
    assert shop.written.holder is None


async def test_windows_that_cannot_be_read_freeze_rather_than_ship(shop: Lab) -> None:
    def unreadable(_: object) -> Any:
        raise ApplicationError("no such time zone", type="validation_failed", non_retryable=True)

    shop.recorder.windows = unreadable
    one = await shop.deployment("1.0")
    window = {"name": "nights", "cron": "0 22 * * *", "duration_seconds": 3600, "timezone": "Mars/Olympus"}
    await one.join(freeze_windows=[window])
    assert "freeze windows that cannot be read" in (await one.hears("waiting"))["reason"]
    await one.join(override_freeze=True)
    await one.holds()


async def test_the_temporal_ui_tells_how_it_stands(shop: Lab) -> None:
    one = await shop.live("1.0")
    found = await _shown(shop, "live")
    assert found.get(attributes.SERVICE) == shop.service
    assert found.get(attributes.ENVIRONMENT) == "production"
    assert found.get(attributes.VERSION) == "1.0"
    await one.leave(Leaving.ROLLED_BACK, hold=Hold(by="ann", reason="bad", at=0))
    await shop.until(lambda state: state.hold is not None)
    await _shown(shop, "held")


async def _shown(shop: Lab, status: str) -> TypedSearchAttributes:
    for _ in range(400):
        found = (await shop.handle.describe()).typed_search_attributes
        if found.get(attributes.STATUS) == status:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"never shown as {status}")


async def test_a_terminated_holder_frees_the_lock_within_a_minute(
    temporal_client: Client, request: pytest.FixtureRequest
) -> None:
    """One that rolls out, and a live one that was asked to hand over: at the same time, because both take 10 s."""
    async with lab(temporal_client) as deploying:
        yielding = Lab(temporal_client, deploying.recorder)
        await asyncio.gather(_lose_deploying(deploying), _lose_yielding(yielding))
        await keep_history(request, temporal_client, deploying.id, "env-a_deploying_holder_is_lost")
        await keep_history(request, temporal_client, yielding.id, "env-a_yielding_holder_is_lost")
        await deploying.close()
        await yielding.close()


async def _lose_deploying(shop: Lab) -> None:
    one, two, three = await shop.live("1.0"), await shop.deployment("1.1"), await shop.deployment("1.2")
    await two.join()
    await two.holds()
    await three.join()
    await two.handle.terminate()
    await one.hears("reinstated")
    await _next_one_holds(shop, three)
    assert (await three.hears("granted"))["previous"]["version"] == "1.0"


async def _lose_yielding(shop: Lab) -> None:
    one, two = await shop.live("1.0", hands_over=False), await shop.deployment("1.1")
    await two.join()
    await one.hears("yield_requested")
    await one.handle.terminate()
    await _next_one_holds(shop, two)


async def _next_one_holds(shop: Lab, deployment: Deployment) -> None:
    await shop.until(_held_by(deployment), seconds=50)
    await deployment.holds()
    event = await shop.noted("lock_freed")
    assert event["details"] == {"closed_as": "terminated"}
    assert "was closed (terminated) while it held production" in event["message"]


def _held_by(deployment: Deployment) -> Any:
    def held(state: EnvironmentState) -> bool:
        return state.holder is not None and state.holder.deployment_id == deployment.id

    return held


async def test_a_terminated_environment_goes_on_from_its_record(shop: Lab) -> None:
    one, two = await shop.live("1.0"), await shop.deployment("1.1")
    await two.join()
    fence = await two.holds()
    three = await shop.deployment("1.2")
    await three.join()
    await three.hears("waiting")
    await shop.handle.terminate("somebody's mistake")
    await three.join()
    assert await two.holds(2) == fence, "its grant may have been lost: it is told again"
    restored = await shop.until(lambda _: "restored" in shop.actions())
    assert [each.deployment_id for each in restored.queue] == [three.id]
    assert restored.live is not None
    assert restored.live.version == "1.0"
    await two.goes_live()
    await one.hears("superseded")
    assert await three.holds() > fence


async def test_a_holder_who_left_while_the_environment_was_gone_is_not_granted_again(shop: Lab) -> None:
    one = await shop.deployment("1.0")
    await one.join()
    await one.holds()
    await shop.handle.terminate("somebody's mistake")
    await one.leave()
    await shop.until(lambda state: state.holder is None)
    assert shop.actions() == ["granted", "freed", "restored"]
    assert one.heard() == ["granted"]


async def test_a_store_that_does_not_answer_delays_but_loses_nothing(shop: Lab) -> None:
    shop.recorder.fail = RuntimeError("the store does not answer")
    one, two = await shop.deployment("1.0"), await shop.deployment("1.1")
    await one.join()
    await two.join()
    await asyncio.wait_for(shop.recorder.failed.wait(), 60)
    assert one.heard() == []
    shop.recorder.fail = None
    await one.holds()
    await two.hears("waiting")
