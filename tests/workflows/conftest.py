"""A harness per test; ``--record-histories`` keeps each job's history for the replay suite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.workflows.harness import Harness, harness
from workflows.contracts.ids import job_workflow_id

HISTORIES = Path(__file__).parent.parent / "replay" / "histories"


@pytest.fixture
async def jobs(temporal_client: Client, request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    async with harness(temporal_client) as started:
        yield started
        if request.config.getoption("--record-histories"):
            name = str(request.node.name).removeprefix("test_")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            await _record(started, name)


async def _record(started: Harness, name: str) -> None:
    HISTORIES.mkdir(exist_ok=True)
    for number, job_id in enumerate(started.started, start=1):
        history = await started.client.get_workflow_handle(job_workflow_id(job_id)).fetch_history()
        path = HISTORIES / f"job-{name}-{number}.json"
        if not path.exists():  # a kept history is what an older version did: never overwritten
            path.write_text(history.to_json() + "\n")
