"""A harness per test; ``--record-histories`` keeps each job's history for the replay suite."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.workflows.deployment_harness import Deploys
from tests.workflows.deployment_harness import deploys as started_deploys
from tests.workflows.harness import Harness, harness
from workflows.client.deployments import workflow_id_of
from workflows.contracts.ids import job_workflow_id

PROJECT = Path(__file__).parent.parent.parent
HISTORIES = PROJECT / "tests" / "replay" / "histories"


@pytest.fixture
async def jobs(temporal_client: Client, request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    async with harness(temporal_client) as started:
        yield started
        await keep_job_histories(request, started)


@pytest.fixture
async def deploys(temporal_client: Client, request: pytest.FixtureRequest) -> AsyncIterator[Deploys]:
    async with started_deploys(temporal_client) as started:
        yield started
        await keep_deployment_histories(request, started)


async def keep_deployment_histories(request: pytest.FixtureRequest, started: Deploys) -> None:
    """See ``keep_history``."""
    name = str(request.node.name).removeprefix("test_")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    for number, deployment in enumerate(started.started, start=1):
        await keep_history(request, started.client, workflow_id_of(deployment), f"deploy-{name}-{number}")


async def keep_job_histories(request: pytest.FixtureRequest, started: Harness) -> None:
    """See ``keep_history``."""
    name = str(request.node.name).removeprefix("test_")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    for number, job_id in enumerate(started.started, start=1):
        await keep_history(request, started.client, job_workflow_id(job_id), f"accepted-job-{name}-{number}")


async def keep_history(
    request: pytest.FixtureRequest, client: Client, workflow_id: str, name: str, run_id: str | None = None
) -> None:
    """With ``--record-histories``. A kept history is what an older version did: never overwritten."""
    path = HISTORIES / f"{name}.json"
    if request.config.getoption("--record-histories") and not path.exists():
        HISTORIES.mkdir(exist_ok=True)
        history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        text = history.to_json()
        for folder in (PROJECT, sys.prefix, sys.base_prefix, PROJECT.joinpath(".venv").resolve()):
            text = text.replace(f"{folder}/", "")  # stack traces name this machine's paths; .venv may be a link
        path.write_text(text + "\n")
