"""LiveVersionsWorkflow: compare what is live in environments, records and workflows, and put it right.

A schedule starts it every minute.

Deliberately not here: what is compared (``activities.deployments.standing``).
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import sweep_live
    from workflows.contracts.deployments.reopening import LiveSwept


@workflow.defn(name="LiveVersionsWorkflow")
class LiveVersionsWorkflow:
    """One comparison."""

    @workflow.run
    async def run(self) -> LiveSwept:
        """Compare and put right."""
        found = await workflow.execute_activity(
            sweep_live,
            start_to_close_timeout=timedelta(minutes=10),
            heartbeat_timeout=timedelta(minutes=1),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=10), maximum_attempts=5
            ),
            summary="what is live, against environments, records and workflows",
        )
        restored, superseded = len(found.restored), len(found.superseded)
        workflow.set_current_details(
            f"{found.checked} live versions compared, {restored} restored, {superseded} superseded"
        )
        return found
