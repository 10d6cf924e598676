"""Ending a workflow from outside, where it stands.

Deliberately not here: what becomes of its record (``jobs.reconcile``, ``deployments.reconcile``).
"""

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode


async def end_workflow(client: Client, workflow_id: str, why: str, *, run_id: str | None = None) -> None:
    """One that has closed, or is not there, stays as it is. Temporal's other errors pass through."""
    try:
        await client.get_workflow_handle(workflow_id, run_id=run_id).terminate(reason=why)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
