"""Every path of an environment's lock, on the real server, with scripted deployments."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from tests.workflows.conftest import keep_history
from tests.workflows.environment_harness import Lab, lab
from workflows.contracts.environments import Hold, HoldCommand, Leaving, LiveVersion, ReleaseCommand
from workflows.contracts.errors import InvalidState
from workflows.contracts.services import SupersedePolicy


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
    state = await shop.handle.query(shop.handle and "state", result_type=type(shop.written))
    assert state == shop.written
    assert state.holder is not None
    assert (state.holder.deployment_id, state.holder.fence, state.holder.live) == (one.id, fence, False)
    assert shop.actions() == ["granted"]
