"""The dashboard's address as whoever started a workflow knew it, for one that is started in its place.

Deliberately not here: what the address is for (``workflows.dashboard``).
"""

from typing import Any

from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.service import RPCError, RPCStatusCode

from workflows.dashboard import MEMO


async def dashboard_known_to(client: Client, workflow_id: str) -> str | None:
    """Of the latest run of this id; None when there is none, or nobody knew one. Temporal's errors pass through."""
    try:
        description = await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return await dashboard_in(description)


async def dashboard_in(description: WorkflowExecutionDescription) -> str | None:
    """As this description has it."""
    found: Any = await description.memo_value(MEMO, default=None)
    return found if isinstance(found, str) else None
