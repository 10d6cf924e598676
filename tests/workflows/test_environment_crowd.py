"""More commands to one environment than Temporal takes at once: all are answered, and soon."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from tests.workflows.environment_harness import Lab, lab
from workflows.contracts.deployments.environments import HoldCommand


@pytest.fixture
async def crowded(temporal_client: Client) -> AsyncIterator[Lab]:
    async with lab(temporal_client) as started:
        yield started
        await started.close()


async def test_a_crowd_is_answered_one_after_the_other(crowded: Lab) -> None:
    commands = [HoldCommand(by=f"p{number}@example.com", reason="errors") for number in range(30)]
    async with asyncio.timeout(15):  # without turns half of them failed, after 17 s
        answers = await asyncio.gather(
            *(crowded.deployments.command_environment(crowded.service, "production", each) for each in commands)
        )
    holders = {answer.hold.by for answer in answers if answer.hold is not None}
    assert holders <= {command.by for command in commands}
    assert all(answer.hold is not None for answer in answers)
