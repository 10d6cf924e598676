"""Going back to another version: how it begins, and what is to be run.

A rollback takes no approval and no queue: a version that is in the last environment holds its lock already.
Deliberately not here: doing it (``phases.rollback``), when it is to be done (``endings``, ``commands``).
"""

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from workflows.calls import Calls
    from workflows.contracts.activities import load_deployment
    from workflows.contracts.deployments.deployment import Rollback
    from workflows.contracts.deployments.environments import LiveVersion
    from workflows.contracts.deployments.inputs import EarlyJob
    from workflows.contracts.sealed import SignedApproval
    from workflows.deployment import record
    from workflows.deployment.job_specs import RollbackPlan, early_jobs, signatures
    from workflows.deployment.journal import Journal
    from workflows.deployment.live.targets import WayBack
    from workflows.deployment.progress import Phase
    from workflows.job.recorded import now_ms
    from workflows.words import titled

_PATIENCE: Final = timedelta(minutes=1)


def begin(
    journal: Journal,
    choice: WayBack | None,
    *,
    by: str,
    reason: str,
    automatic: bool,
    job_id: str | None = None,
    ban: bool = True,
) -> None:
    """Go to the phase that brings the target back. ``job_id``: another CI has done it already. ``ban``: what it leaves
    is banned.
    """
    target = None if choice is None else choice.target
    rollback = Rollback(
        environment=journal.state.environment.name,
        target_version=target.version if target else None,
        target_deployment_id=target.deployment_id if target else None,
        forward=choice is not None and choice.forward,
        reason=reason,
        by=by,
        automatic=automatic,
        ban=ban and not (choice is not None and choice.forward),  # what is left for a later one was good
        requested_at=now_ms(),
    )
    journal.change(record.rolling_back, rollback)
    journal.move(Phase.ROLLBACK, rollback_job_id=job_id)


async def plan(journal: Journal, calls: Calls, target: LiveVersion) -> RollbackPlan:
    """The target with the environment as its own definition has it, unless this one says how to roll back."""
    environment = journal.state.environment
    rollback, approval = environment.rollback, environment.approval
    signed = approval is not None and approval.signed
    if rollback is not None and rollback.steps and not signed:
        return RollbackPlan(target, None)
    if journal.state.progress.fallback_of != target.deployment_id:
        await _load_fallback(journal, calls, target)
    progress = journal.state.progress
    return RollbackPlan(target, progress.fallback, progress.fallback_approvals, progress.fallback_early)


async def _load_fallback(journal: Journal, calls: Calls, target: LiveVersion) -> None:
    try:
        deployment = await calls.call(
            load_deployment,
            target.deployment_id,
            summary=titled(f"the definition of {target.version}"),
            give_up_after=_PATIENCE,
        )
    except FailureError:
        return  # the store is away: the rollback takes this version's own steps rather than wait
    name = journal.state.environment.name
    found, approvals, early = None, list[SignedApproval](), dict[EarlyJob, str]()
    if deployment is not None:
        early = early_jobs(deployment)
        approvals = signatures(deployment, name)
        found = next((each for each in deployment.definition.environments if each.name == name and each.steps), None)
    journal.state = journal.state.noting(
        fallback=found, fallback_of=target.deployment_id, fallback_approvals=approvals, fallback_early=early
    )
