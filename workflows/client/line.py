"""Asking for a freeze or a hold of many services, or its end, from outside Temporal.

Deliberately not here: deployments, environments and services (``deployments``).
"""

import asyncio

from temporalio.client import Client, WorkflowUpdateStage

from workflows.client.answers import ANSWERED_WITHIN_SECONDS, RPC_TIMEOUT, answer, changed, outcome_of
from workflows.client.proving import Prover
from workflows.contracts.accepted import Accepted, Taken
from workflows.contracts.deployments.line import LetTheLineGo, LineChange, LineState, StopTheLine
from workflows.contracts.errors import InvalidState, NotFound, Unavailable
from workflows.contracts.ids import CONTROL_QUEUE, line_workflow_id, new_job_id


async def change_line(client: Client, prover: Prover, asked: StopTheLine | LetTheLineGo) -> LineState:
    """The line as it is then. Raises InvalidState and ValidationFailed when it is refused, Unavailable when nobody
    knows whether it was taken, and Accepted when it is, but not answered in 5 s.
    """
    workflow_id = line_workflow_id(new_job_id())
    proven = prover.proven(asked, workflow_id)
    change = LineChange(stop=proven) if isinstance(proven, StopTheLine) else LineChange(go=proven)
    handle = await changed(
        client.start_workflow(
            "LineWorkflow",
            change,
            id=workflow_id,
            task_queue=CONTROL_QUEUE,
            result_type=LineState,
            static_summary="Stop the line" if change.go is None else "Let the line go",
            rpc_timeout=RPC_TIMEOUT,
        )
    )
    try:
        async with asyncio.timeout(ANSWERED_WITHIN_SECONDS):
            update = await answer(
                handle.start_update(  # pyright: ignore[reportUnknownMemberType]
                    "changed",
                    wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                    result_type=LineState,
                    rpc_timeout=RPC_TIMEOUT,
                )
            )
            return await answer(update.result())
    except (InvalidState, NotFound):  # it has ended: refused, or faster than it could be asked
        return await outcome_of(handle, LineState, "This change of the line")
    except (Unavailable, TimeoutError) as error:
        raise Accepted(Taken(asked="change_the_line")) from error
