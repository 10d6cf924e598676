"""Have metrics read that an agent of the pool can ask for, while a version bakes and is live.

Deliberately not here: the reading itself (``workflows.watch``), which goes on by itself and ends with the deployment.
"""

from contextlib import suppress
from typing import Final

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.deployments.metrics import WatchInput
    from workflows.contracts.ids import watch_workflow_id
    from workflows.deployment.context import Context

_PULLED: Final = "metrics-are-pulled"  # 2026-11: before, nobody read any


async def watch(context: Context) -> None:
    """Start it where something is to be read and nothing reads yet."""
    state = context.state
    verification, name = state.environment.verification, state.environment.name
    pulled = verification is not None and any(check.provider is not None for check in verification.metrics)
    if not pulled or state.progress.watched_in == name or not workflow.patched(_PULLED):
        return
    with suppress(WorkflowAlreadyStartedError):  # by an earlier run
        await workflow.start_child_workflow(
            "MetricsWatchWorkflow",
            WatchInput(deployment_id=state.identity, workflow_id=workflow.info().workflow_id, environment=name),
            id=watch_workflow_id(state.identity, name),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            static_summary=f"{state.deployment.service_name} {state.deployment.version}: metrics in {name}",
        )
    context.journal.state = context.state.noting(watched_in=name)
