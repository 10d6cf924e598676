"""Asking for a sweep, or its preview, from outside Temporal. Its own errors end here, as in ``jobs``.

Deliberately not here: what a sweep removes (``activities.retention``), who may ask (``api.auth``).
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy

from workflows.client.answers import RPC_TIMEOUT, answer
from workflows.client.proving import Prover
from workflows.contracts.errors import NotFound
from workflows.contracts.ids import CONTROL_QUEUE
from workflows.contracts.storage.retention import (
    PREVIEW_WORKFLOW_ID,
    SWEEP_WORKFLOW_ID,
    Sweep,
    SweepInput,
    SweepResult,
)

WAIT_SECONDS: Final = 15.0
_RECENT: Final = timedelta(minutes=2)


class StorageClient:
    """All that a process outside Temporal may ask of sweeps. Every method raises Unavailable."""

    def __init__(self, client: Client, prover: Prover | None = None) -> None:
        self._client, self._prover = client, prover or Prover()

    async def sweep(self, command: Sweep, *, within: float = WAIT_SECONDS) -> SweepResult | None:
        """Sweep, or only say what would go; None when that takes longer than ``within`` seconds: it goes on.

        One of the same kind that is under way is joined.
        """
        workflow_id = PREVIEW_WORKFLOW_ID if command.dry_run else SWEEP_WORKFLOW_ID
        words = "Say what is older than the policy says" if command.dry_run else "Remove what is older than it says"
        handle: WorkflowHandle[Any, SweepResult] = await answer(
            self._client.start_workflow(
                "SweepWorkflow",
                SweepInput(command=self._prover.proven(command, workflow_id)),
                id=workflow_id,
                task_queue=CONTROL_QUEUE,
                result_type=SweepResult,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=words,
                rpc_timeout=RPC_TIMEOUT,
            )
        )
        return await _within(handle, within)

    async def preview(self, command: Sweep, *, behind: int, within: float) -> SweepResult | None:
        """What a sweep would do, by a preview that ended within two minutes, and ``behind`` the last sweep (epoch ms);
        else by a new one, as ``sweep``.
        """
        handle = self._client.get_workflow_handle(PREVIEW_WORKFLOW_ID, result_type=SweepResult)
        try:
            last = await answer(handle.describe(rpc_timeout=RPC_TIMEOUT))
        except NotFound:
            return await self.sweep(command, within=within)
        oldest = max(datetime.now(UTC) - _RECENT, datetime.fromtimestamp(behind / 1000, UTC))
        completed = last.status is WorkflowExecutionStatus.COMPLETED
        if completed and last.close_time is not None and last.close_time > oldest:
            return await _within(handle, within)
        return await self.sweep(command, within=within)


async def _within(handle: WorkflowHandle[Any, SweepResult], seconds: float) -> SweepResult | None:
    waiting = asyncio.ensure_future(answer(handle.result()))
    try:
        done, _ = await asyncio.wait({waiting}, timeout=seconds)
        return waiting.result() if done else None
    finally:
        waiting.cancel()
