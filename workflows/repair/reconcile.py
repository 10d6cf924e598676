"""ReconcileWorkflow: compare open records with their workflows, and close those whose workflow somebody terminated.

Nothing else needs it: a live workflow writes its own record. A schedule starts it every few minutes.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.activities import reconcile_deployments, reconcile_jobs
    from workflows.contracts.commands import ReconcileResult


_DEPLOYMENTS_TOO: Final = "reconcile-deployments"
_DEPLOYMENTS_FIRST: Final = "deployments-before-their-jobs"  # 2026-11: before, jobs were first
_JOBS: Final = "open records against their workflows"
_DEPLOYMENTS: Final = "open records of deployments against their workflows"
_RETRY: Final = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))


@workflow.defn(name="ReconcileWorkflow")
class ReconcileWorkflow:
    """One comparison."""

    @workflow.run
    async def run(self) -> ReconcileResult:
        """Compare and repair. Deployments first: one that is of before a restore would see its job end, and fail."""
        if workflow.patched(_DEPLOYMENTS_FIRST):
            result = await _deployments_first()
        else:
            result = await _compared(reconcile_jobs, _JOBS)
            if workflow.patched(_DEPLOYMENTS_TOO):
                result = _both(result, await _compared(reconcile_deployments, _DEPLOYMENTS))
        workflow.set_current_details(f"{result.checked} open records compared, {len(result.closed)} closed")
        return result


async def _deployments_first() -> ReconcileResult:
    """Raises what stopped the deployments, once jobs are compared all the same."""
    try:
        deployments = await _compared(reconcile_deployments, _DEPLOYMENTS)
    except ActivityError:
        await _compared(reconcile_jobs, _JOBS)
        raise
    return _both(await _compared(reconcile_jobs, _JOBS), deployments)


async def _compared(body: Callable[[], Awaitable[ReconcileResult]], summary: str) -> ReconcileResult:
    return await workflow.execute_activity(
        body,
        start_to_close_timeout=timedelta(minutes=30),
        heartbeat_timeout=timedelta(minutes=1),
        retry_policy=_RETRY,
        summary=summary,
    )


def _both(jobs: ReconcileResult, deployments: ReconcileResult) -> ReconcileResult:
    return jobs.model_copy(
        update={"checked": jobs.checked + deployments.checked, "closed": [*jobs.closed, *deployments.closed]}
    )
