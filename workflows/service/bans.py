"""BanWorkflow and LiftBanWorkflow: a version or a commit of a service is banned, or is not any more.

Each keeps trying while the store does not answer, and the same request never runs twice. What waits in a line is told
and looks for itself. Deliberately not here: storing bans (activities ``ban_version``, ``lift_ban``), what follows from
one (``workflows.deployment.banning``).
"""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from workflows.calls import Calls
    from workflows.contracts.activities import ban_version, lift_ban
    from workflows.contracts.deployments.bans import Affected, BanCommand, BanResult, BanTold, LiftBan
    from workflows.job.recorded import started_ms
    from workflows.words import titled


@workflow.defn(name="BanWorkflow")
class BanWorkflow:
    """One ban."""

    @workflow.run
    async def run(self, command: BanCommand) -> BanResult:
        """Returns what is banned now, and who is open of it. Fails as ``invalid_state``."""
        summary = titled(f"ban {command.version or command.git_commit_sha}, by {command.by}")
        result = await Calls().call(ban_version, command.heard(started_ms()), summary=summary)
        waiting = {each.workflow_id: each for each in result.affected if not each.live}
        await asyncio.gather(*(_told(each, command.reason) for each in waiting.values()))
        return result


@workflow.defn(name="LiftBanWorkflow")
class LiftBanWorkflow:
    """One that ends."""

    @workflow.run
    async def run(self, command: LiftBan) -> BanResult:
        """Returns what is banned then. Fails as ``invalid_state``."""
        summary = titled(f"lift the ban of {command.version or command.git_commit_sha}, by {command.by}")
        return await Calls().call(lift_ban, command.heard(started_ms()), summary=summary)


async def _told(waiting: Affected, reason: str) -> None:
    handle: workflow.ExternalWorkflowHandle[Any] = workflow.get_external_workflow_handle(waiting.workflow_id)
    try:
        await handle.signal("banned", BanTold(reason=reason))
    except FailureError:  # it has ended by itself before
        return
