"""ReconcileWorkflow: compare open records with their workflows, and close those whose workflow somebody terminated.

Nothing else needs it: a live workflow writes its own record. A schedule starts it every few minutes.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import reconcile_deployments, reconcile_jobs
    from workflows.contracts.commands import ReconcileResult


_DEPLOYMENTS_TOO = "reconcile-deployments"


@workflow.defn(name="ReconcileWorkflow")
class ReconcileWorkflow:
    """One comparison."""

    @workflow.run
    async def run(self) -> ReconcileResult:
        """Compare and repair."""
        result = await workflow.execute_activity(
            reconcile_jobs,
            start_to_close_timeout=timedelta(minutes=30),
            heartbeat_timeout=timedelta(minutes=1),
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1)),
            summary="open records against their workflows",
        )
        if workflow.patched(_DEPLOYMENTS_TOO):
            deployments = await workflow.execute_activity(
                reconcile_deployments,
                start_to_close_timeout=timedelta(minutes=30),
                heartbeat_timeout=timedelta(minutes=1),
                retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1)),
                summary="open records of deployments against their workflows",
            )
            result = result.model_copy(
                update={
                    "checked": result.checked + deployments.checked,
                    "closed": [*result.closed, *deployments.closed],
                }
            )
        workflow.set_current_details(f"{result.checked} open records compared, {len(result.closed)} closed")
        return result
