"""Asking for stuck workflows and their repair from outside Temporal. Its own errors end here, as in ``jobs``.

Deliberately not here: how they are found (``repair.stuck``), what a repair does (``repair.workflow``).
"""

import asyncio
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, Final

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from workflows.client.jobs import RPC_TIMEOUT, answer
from workflows.client.proving import Prover
from workflows.contracts.errors import InvalidState
from workflows.contracts.ids import CONTROL_QUEUE, repair_workflow_id
from workflows.contracts.repairs import RepairInput, RepairResult, StuckWorkflow, Subject
from workflows.repair.stuck import StuckWorkflows

_WAIT_SECONDS: Final = 15.0
_SAME_WITHIN: Final = timedelta(minutes=10)
"""For so long the same request counts as one that is sent again because its answer was lost."""


class RepairClient:
    """All that a process outside Temporal may ask of stuck workflows. Every method raises Unavailable."""

    def __init__(self, client: Client, prover: Prover | None = None) -> None:
        self._client, self.workflows, self._prover = client, StuckWorkflows(client), prover or Prover()

    async def stuck(self) -> list[StuckWorkflow]:
        """Those that cannot go on just now."""
        return await answer(self.workflows.find())

    async def repair(self, start: RepairInput) -> RepairResult | None:
        """Repair it; what became of it, or None when that takes longer than 15 s.

        A repair that is under way is joined; the same request again after it is told what became of the first one.
        Raises NotFound when there is no such workflow, InvalidState when it is not stuck.
        """
        last = await answer(self._last(start))
        if last is not _Last.UNDER_WAY and not await answer(self._is_stuck(start.subject)):
            if last is _Last.THE_SAME:
                return await self._result(start)
            raise InvalidState(
                f"There is nothing to repair: {start.subject} is not stuck. `hybridci health` lists what is."
            )
        if last is not _Last.UNDER_WAY:
            await self.begin(start)
        return await self._result(start)

    async def begin(self, start: RepairInput) -> None:
        """Repair it, without waiting for what becomes of it. A repair that is under way is joined."""
        workflow_id = repair_workflow_id(start.subject.workflow_id)
        command = self._prover.proven(start.command, workflow_id)
        await answer(
            self._client.start_workflow(
                "RepairWorkflow",
                start.model_copy(update={"command": command}),
                id=workflow_id,
                task_queue=CONTROL_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=f"Repair {start.subject}",
                rpc_timeout=RPC_TIMEOUT,
            )
        )

    async def _is_stuck(self, subject: Subject) -> bool:
        try:
            return await self.workflows.is_stuck(subject)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise

    async def _result(self, start: RepairInput) -> RepairResult | None:
        waiting = asyncio.ensure_future(answer(self._handle(start.subject).result()))
        try:
            done, _ = await asyncio.wait({waiting}, timeout=_WAIT_SECONDS)
            return waiting.result() if done else None
        finally:
            waiting.cancel()

    async def _last(self, start: RepairInput) -> "_Last":
        """How the last repair of this workflow compares with this one."""
        handle = self._handle(start.subject)
        try:
            last = await handle.describe(rpc_timeout=RPC_TIMEOUT)
            if last.status is WorkflowExecutionStatus.RUNNING:
                return _Last.UNDER_WAY
            recent = last.close_time is not None and datetime.now(UTC) - last.close_time < _SAME_WITHIN
            if last.status is not WorkflowExecutionStatus.COMPLETED or not recent:
                return _Last.ANOTHER
            request = await handle.query("request", result_type=RepairInput, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return _Last.ANOTHER
            raise
        asked = request.command.model_copy(update={"proof": ""})
        return _Last.THE_SAME if asked == start.command else _Last.ANOTHER

    def _handle(self, subject: Subject) -> WorkflowHandle[Any, RepairResult]:
        return self._client.get_workflow_handle(repair_workflow_id(subject.workflow_id), result_type=RepairResult)


class _Last(Enum):
    UNDER_WAY = auto()
    THE_SAME = auto()
    ANOTHER = auto()
