"""An environment goes on as a new run when its history has grown long: no message gets lost, whatever is in flight."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from tests.workflows.conftest import keep_history
from tests.workflows.environment_harness import Lab, lab
from tests.workflows.own_servers import renewing_server
from workflows.contracts.deployments.environments import HoldCommand, Join, Leaving, ReleaseCommand, Ticket

pytestmark = pytest.mark.filterwarnings("ignore:Cannot find activity to cancel:UserWarning")
"""See ``test_environment_paths``."""
TICKETS = 90


@pytest.fixture(scope="module")
async def forgetful_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A server that suggests to continue as new after 25 events instead of 4,096."""
    async with renewing_server(tmp_path_factory.mktemp("temporal"), after_events=25) as client:
        yield client


@pytest.fixture
async def shop(forgetful_server: Client) -> AsyncIterator[Lab]:
    async with lab(forgetful_server) as started:
        yield started
        await started.close()


async def test_a_hundred_messages_and_commands_across_new_runs(shop: Lab, request: pytest.FixtureRequest) -> None:
    one, two = await shop.live("1.0"), await shop.deployment("1.1")
    await two.join()
    fence = await two.holds()
    three = await shop.deployment("1.2")
    await three.join()
    await three.hears("waiting")
    first = (await shop.handle.describe()).run_id
    names = [str(uuid.uuid4()) for _ in range(TICKETS)]
    commands = asyncio.create_task(_hold_and_release(shop, 6))
    for start in range(0, TICKETS, 6):
        await asyncio.gather(*(shop.say(Join(ticket=_ticket(name))) for name in names[start : start + 6]))
    await commands
    state = await shop.until(lambda state: len(state.queue) >= TICKETS + 1)
    assert sorted(each.deployment_id for each in state.queue) == sorted([three.id, *names])
    assert state.holder is not None
    assert (state.holder.deployment_id, state.holder.fence, state.holder.over) == (two.id, fence, one.id)
    assert (shop.actions().count("held"), shop.actions().count("released")) == (6, 6)
    assert first is not None
    last = await _run_after(shop, first)
    await keep_history(request, shop.client, shop.id, "env-continued_as_new-1", first)
    await two.leave(Leaving.ENDED)
    assert await one.hears("reinstated")
    assert await three.holds() > fence
    await keep_history(request, shop.client, shop.id, "env-continued_as_new-2", last)
    assert two.heard().count("granted") == 1


async def _hold_and_release(shop: Lab, times: int) -> None:
    for number in range(times):
        held = await shop.deployments.command_environment(
            shop.service, "production", HoldCommand(by="ann", reason=str(number))
        )
        assert held.hold is not None
        assert held.hold.reason == str(number)
        released = await shop.deployments.command_environment(shop.service, "production", ReleaseCommand(by="ann"))
        assert released.hold is None


async def _run_after(shop: Lab, first: str) -> str | None:
    """The present run, once it is not the first: while messages come in one after the other it cannot go on anew."""
    async with asyncio.timeout(20):
        while (run := (await shop.handle.describe()).run_id) == first:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return run


def _ticket(name: str) -> Ticket:
    """Of a deployment that waits for its approvals: it is told nothing."""
    return Ticket(
        deployment_id=name, workflow_id=f"deploy-{name}", version="2.0", git_commit_sha="a" * 40, arrived_at=1
    )
