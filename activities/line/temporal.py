"""Telling the open environments that the line has changed: a signal to each that it may concern.

Temporal's list is a moment behind: who began since then looks before it gives a turn anyway. Deliberately not here:
which changes there are.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workflows.contracts.deployments.line import StopScope

_QUERY: Final = "WorkflowType='EnvironmentWorkflow' AND ExecutionStatus='Running'"
_AT_ONCE: Final = 16
_MOST_SERVICES: Final = 20
"""In one query; with more, all environments are told."""


class TemporalLine:
    """Errors of the server but "it has closed" pass through: the activity is tried again, and to be told twice is as
    being told once.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def tell(self, scopes: Sequence[StopScope], alive: Callable[[], None]) -> int:
        """Signal them; ``alive`` is called between. Returns how many were told."""
        told, gate = 0, asyncio.Semaphore(_AT_ONCE)
        queries = dict.fromkeys(_query(scope) for scope in scopes) if scopes else {_QUERY: None}

        async def signal(workflow_id: str) -> None:
            async with gate:
                try:
                    await self._client.get_workflow_handle(workflow_id).signal("line_changed")
                except RPCError as error:
                    if error.status is not RPCStatusCode.NOT_FOUND:
                        raise
                alive()

        for query in queries:
            found = [each.id async for each in self._client.list_workflows(query)]
            alive()
            await asyncio.gather(*(signal(workflow_id) for workflow_id in found))
            told += len(found)
        return told


def _query(scope: StopScope) -> str:
    """By what environments can be found; labels are not among it. Names have no quotation marks."""
    parts = [_QUERY]
    if scope.environments:
        parts.append(_one_of("CiEnvironment", scope.environments))
    if scope.services and len(scope.services) <= _MOST_SERVICES:
        parts.append(_one_of("CiService", scope.services))
    return " AND ".join(parts)


def _one_of(name: str, values: Sequence[str]) -> str:
    listed = ", ".join(f"'{value}'" for value in values)
    return f"{name} IN ({listed})"
