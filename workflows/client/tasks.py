"""Asking a pool's agents something from outside Temporal. Its own errors end here, as in ``jobs``.

Deliberately not here: what can be asked (``contracts.tasks``), who may (``api.auth``).
"""

import asyncio
from datetime import timedelta
from typing import Final

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from workflows.client.answers import RPC_TIMEOUT, answer, changed
from workflows.client.known import started_with
from workflows.client.proving import Prover
from workflows.contracts.errors import NotFound, Unavailable
from workflows.contracts.ids import CONTROL_QUEUE, task_workflow_id
from workflows.contracts.tasks import TaskOutcome, TaskResult, TaskStart

_MARGIN: Final = timedelta(seconds=60)
"""A question whose control worker is away that much longer than it may take is given up by Temporal."""


class TaskClient:
    """All that a process outside Temporal may ask of agent tasks. Every method raises Unavailable."""

    def __init__(self, client: Client, prover: Prover | None = None) -> None:
        self._client, self._prover = client, prover or Prover()

    async def ask(self, start: TaskStart) -> TaskStart:
        """Ask, without waiting for an answer. What it was started with: an id that exists already asks nothing."""
        workflow_id = task_workflow_id(start.pool, start.task_id)
        try:
            await changed(
                self._client.start_workflow(
                    "AgentTaskWorkflow",
                    self._prover.proven(start, workflow_id),
                    id=workflow_id,
                    task_queue=CONTROL_QUEUE,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    execution_timeout=timedelta(seconds=start.seconds) + _MARGIN,
                    static_summary=f"Ask pool {start.pool}: {start.question.kind}",
                    rpc_timeout=RPC_TIMEOUT,
                )
            )
        except WorkflowAlreadyStartedError:
            return (await started_with(self._client, workflow_id, TaskStart))[0]
        return start

    async def result(self, pool: str, task_id: str, *, within: float) -> TaskResult | None:
        """How it ended; None when that is not known ``within`` so many seconds. Raises NotFound."""
        handle = self._handle(pool, task_id)
        waiting = asyncio.ensure_future(answer(handle.result(rpc_timeout=timedelta(seconds=within) + RPC_TIMEOUT)))
        try:
            done, _ = await asyncio.wait({waiting}, timeout=within)
            if done and waiting.exception() is None:
                return waiting.result()
        finally:
            waiting.cancel()
        return await self._seen(pool, task_id)

    async def cancel(self, pool: str, task_id: str) -> None:
        """Withdraw it: who answers it is told within seconds. One that has ended stays as it is. Raises NotFound."""
        if await self._seen(pool, task_id) is None:
            try:
                await answer(self._handle(pool, task_id).cancel(rpc_timeout=RPC_TIMEOUT))
            except NotFound:  # it has ended just now
                return

    async def _seen(self, pool: str, task_id: str) -> TaskResult | None:
        handle = self._handle(pool, task_id)
        try:
            description = await answer(handle.describe(rpc_timeout=RPC_TIMEOUT))
        except NotFound:
            raise NotFound(
                f"There is no task {task_id} of pool {pool}: it was never asked, or so long ago that it is forgotten."
            ) from None
        if description.status is WorkflowExecutionStatus.RUNNING:
            return None
        if description.status is WorkflowExecutionStatus.COMPLETED:
            return await answer(handle.result(rpc_timeout=RPC_TIMEOUT))
        outcome, message = TaskOutcome.UNANSWERED, "The control worker did not get to it in time: is it running?"
        if description.status in {WorkflowExecutionStatus.CANCELED, WorkflowExecutionStatus.TERMINATED}:
            outcome, message = TaskOutcome.CANCELLED, "The question was withdrawn."
        elif description.status is not WorkflowExecutionStatus.TIMED_OUT:
            raise Unavailable(f"The workflow of task {task_id} has failed; Temporal's UI shows why. Ask again.")
        return TaskResult(task_id=task_id, pool=pool, outcome=outcome, message=message)

    def _handle(self, pool: str, task_id: str) -> WorkflowHandle[object, TaskResult]:
        return self._client.get_workflow_handle(task_workflow_id(pool, task_id), result_type=TaskResult)
