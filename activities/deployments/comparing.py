"""Records of deployments that are behind their workflows: after a restore in which the stores are older than Temporal.

The workflow's word is written, of an open one and of one that has ended by itself since. Deliberately not here: a
Temporal that is older than the stores, which nothing can mend by itself (docs/operations.md says what to do), workflows
that were ended by force (``reconcile``), what is live in environments (``standing``).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from activities.bounded import gather_bounded
from activities.chaining.chains import NamedChain, run_chain
from activities.clock import Clock
from activities.deployments.readers import DeploymentReader
from activities.deployments.writers import DeploymentWriter
from activities.stores.interfaces import WriteOutcome
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentQuery,
    DeploymentStatus,
    DeploymentSummary,
    DeploymentWrite,
)
from workflows.contracts.errors import HybridCIError, NotFound
from workflows.contracts.ids import deployment_workflow_id

logger = logging.getLogger(__name__)

_OPEN: Final = (
    DeploymentStatus.PENDING,
    DeploymentStatus.STAGING,
    DeploymentStatus.STAGED,
    DeploymentStatus.PRODUCTION,
    DeploymentStatus.LIVE,
)
_QUIET_MILLIS: Final = 60_000
_PAGE: Final = 100


class StatedDeployments(Protocol):
    """What workflows say of their deployments."""

    async def shown(self) -> Mapping[str, str]:
        """The status that each open workflow shows, by the workflow's id; may lag behind by seconds."""
        ...

    async def state(self, workflow_id: str) -> Deployment | None:
        """The deployment as its workflow has it, or has left it; None: it was ended by force, or does not answer."""
        ...


@dataclass(frozen=True, slots=True)
class DeploymentComparison:
    """Safe to repeat and to run twice at once: writes are ordered."""

    reader: DeploymentReader
    writer: DeploymentWriter
    creation: NamedChain
    workflows: StatedDeployments
    clock: Clock

    async def mend(self) -> list[str]:
        """The ids of the deployments whose record was written anew. What cannot be now is left for the next time."""
        shown, recorded = await self.workflows.shown(), await self._open_records()
        suspects = [name for name, status in shown.items() if name not in recorded or recorded[name].status != status]
        suspects += [name for name in recorded if name not in shown]
        mended: list[str] = []
        for name, answer in zip(suspects, await gather_bounded(self._mend, suspects), strict=True):
            if isinstance(answer, HybridCIError):
                logger.warning("a record was not put right", extra={"workflow": name, "because": answer.message})
            elif isinstance(answer, Exception):
                raise answer
            elif answer is not None:
                mended.append(answer)
        return mended

    async def _open_records(self) -> dict[str, DeploymentSummary]:
        found: dict[str, DeploymentSummary] = {}
        for status in _OPEN:
            cursor: str | None = None
            while True:
                page = await self.reader.list(DeploymentQuery(status=status, limit=_PAGE, cursor=cursor))
                for each in page.items:
                    found[deployment_workflow_id(each.service_name, each.version, each.deployment_id)] = each
                cursor = page.next_cursor
                if cursor is None:
                    break
        return found

    async def _mend(self, workflow_id: str) -> str | None:
        state = await self.workflows.state(workflow_id)
        if state is None or self.clock() - state.updated_at < _QUIET_MILLIS:
            return None
        try:
            stored = await self.reader.get(state.deployment_id)
        except NotFound:
            return await self._create(state)
        if stored.status is state.status or state.sequence <= stored.sequence:
            return None
        return await self._write(state, stored.status)

    async def _create(self, state: Deployment) -> str | None:
        first = {"status": DeploymentStatus.PENDING, "sequence": state.sequence - 1}
        write = DeploymentWrite(deployment=state.model_copy(update=first))
        await run_chain(self.creation, {"write": write}, result="outcome", kind=WriteOutcome)
        return await self._write(state, DeploymentStatus.PENDING)

    async def _write(self, state: Deployment, previous: DeploymentStatus) -> str | None:
        outcome = await self.writer.write(DeploymentWrite(deployment=state, previous=previous))
        return state.deployment_id if outcome is WriteOutcome.APPLIED else None
