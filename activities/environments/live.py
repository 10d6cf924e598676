"""Telling what is live that it holds its environment: its workflow is started again when there is none.

Deliberately not here: whether it may go on (``activities.deployments.reopening``: the workflow asks that first).
"""

from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from workflows.client.deployments import workflow_id_of
from workflows.client.links import dashboard_known_to
from workflows.client.live import live_again
from workflows.contracts.deployments.deployment import (
    Deployment,
)
from workflows.contracts.deployments.live_again import LiveAgain
from workflows.contracts.deployments.reopening import TellLive
from workflows.contracts.errors import InvalidState, NotFound, Unavailable


class LiveVersions:
    """Asks the server. Temporal's errors pass through: the activity is tried again. ``read`` raises NotFound."""

    def __init__(self, client: Client, read: Callable[[str], Awaitable[Deployment]]) -> None:
        self._client, self._read = client, read

    async def tell(self, tell: TellLive) -> None:
        """Signal the workflow of what is live, starting it when there is none: one request, so that it is told whatever
        happens to it meanwhile.

        Raises InvalidState for a deployment without a record, Unavailable while the run that has ended it still closes.
        """
        try:
            deployment = await self._read(tell.deployment_id)
        except NotFound as error:
            raise InvalidState(f"Deployment {tell.deployment_id} has no record any more: nothing can go on.") from error
        dashboard = await dashboard_known_to(self._client, workflow_id_of(deployment))
        how: dict[str, Any] = live_again(deployment, tell.reinstated.again or LiveAgain(), dashboard)
        if deployment.closed:
            await self._start(deployment, how)
            return
        await self._client.start_workflow(
            **how,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal="reinstated",
            start_signal_args=[tell.reinstated],
        )

    async def _start(self, deployment: Deployment, how: dict[str, Any]) -> None:
        """A run that is open has ended the record, and hears nothing any more; or it is opening it just now."""
        try:
            await self._client.start_workflow(**how, id_conflict_policy=WorkflowIDConflictPolicy.FAIL)
        except WorkflowAlreadyStartedError as error:
            raise Unavailable(f"A run of deployment {deployment.deployment_id} is about to close.") from error
