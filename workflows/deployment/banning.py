"""Bans as a deployment heeds them: what it may go back to, what its rollback leaves, and being told of one.

Deliberately not here: looking before an environment (``ordering``), storing bans (activities).
"""

from typing import Final

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from workflows.bans import banned_words
    from workflows.contracts.activities import ban_left_version, find_bans
    from workflows.contracts.deployments.bans import BanQuestion, LeftVersion
    from workflows.contracts.deployments.deployment import Rollback
    from workflows.contracts.deployments.environments import LiveVersion
    from workflows.deployment.context import Context
    from workflows.deployment.progress import Banned, Part

_BANS: Final = "rollbacks-heed-bans"  # 2026-11: before, there were none


def heeds(place: str) -> bool:
    """False where a history was written before that; a name for each place, as in ``ordering.looks``."""
    return workflow.patched(f"{_BANS}-{place}")


async def refresh(context: Context) -> None:
    """Look which versions to go back to are banned now. A store that does not answer at once leaves what is known:
    a rollback does not wait for it.
    """
    others = context.state.others
    if not others:
        return
    question = BanQuestion(service_name=context.state.deployment.service_name, versions=others)
    try:
        found = await context.calls.at_once(find_bans, question, summary="what is banned of those to go back to")
    except FailureError as error:
        workflow.logger.warning("find_bans failed", exc_info=error)
        return
    context.journal.state = context.state.noting(bans=found.items)


async def look(context: Context) -> None:
    """Whether this deployment itself is banned now; it ends so, as long as it waits."""
    state = context.state
    deployment = state.deployment
    own = LiveVersion(
        version=deployment.version,
        deployment_id=deployment.deployment_id,
        workflow_id=workflow.info().workflow_id,
        git_commit_sha=deployment.git_commit_sha,
        since=deployment.created_at,
    )
    question = BanQuestion(service_name=deployment.service_name, versions=[own])
    found = await context.calls.call(find_bans, question, summary="whether it is banned")
    state = context.state
    if found.items and state.progress.phase.part is Part.LINE and state.interrupt is None:
        context.journal.state = state.interrupted(Banned(banned_words(deployment.service_name, found.items[0])))


async def ban_left(context: Context, rollback: Rollback, target: LiveVersion | None) -> None:
    """Nothing but a person brings back what this rollback left: by its name and by its commit, but for what it shares
    with the version that is live again.
    """
    deployment = context.state.deployment
    version = None if target is not None and target.version == deployment.version else deployment.version
    same = target is not None and target.git_commit_sha == deployment.git_commit_sha
    if not rollback.ban or (version is None and same):
        return
    left = LeftVersion(
        service_name=deployment.service_name,
        environment=rollback.environment,
        deployment_id=deployment.deployment_id,
        version=version,
        git_commit_sha=None if same else deployment.git_commit_sha,
        by=rollback.by,
        reason=rollback.reason,
        change_id=f"{deployment.deployment_id}-{rollback.requested_at}-banned",
    )
    await context.calls.call(ban_left_version, left, summary=f"ban {deployment.version}, which was rolled back")
