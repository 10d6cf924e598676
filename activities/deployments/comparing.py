"""Records of deployments and their workflows that say different things, as after a restore of two different moments:
one of the stores, one of Temporal.

Where the workflow knows more, its word is written, of an open one and of one that has ended by itself since. Where the
record knows more, the workflow is of an older moment: what it would do has been done, or stopped. It is ended, so that
nothing is rolled out twice; what is live is started again where it is live, what was on its way has failed, in words
that say why. Locks of environments that are as old go on from their records. Nothing here happens in ordinary work: a
workflow writes its record before it goes on. Deliberately not here: workflows that were ended by force (``reconcile``),
what is live in environments (``standing``), the comparison of those (``activities.environments.comparing``).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from temporalio.service import RPCError

from activities.bounded import gather_bounded
from activities.chaining.chains import NamedChain, run_chain
from activities.clock import Clock
from activities.deployments.readers import DeploymentReader
from activities.deployments.reconcile import Close
from activities.deployments.writers import DeploymentWriter
from activities.environments.comparing import EnvironmentComparison
from activities.jobs.reconcile import CAUSE, Ending
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.deployments.deployment import (
    ON_ITS_WAY_OR_LIVE,
    Deployment,
    DeploymentQuery,
    DeploymentStatus,
    DeploymentSummary,
    DeploymentWrite,
)
from workflows.contracts.errors import HybridCIError, NotFound
from workflows.contracts.ids import deployment_id_of, deployment_workflow_id

logger = logging.getLogger(__name__)

WHY_ENDED: Final = "Its workflow was of an earlier moment than its record (Temporal was restored from an older backup)"
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

    async def is_known(self, workflow_id: str) -> bool:
        """Is there such a workflow, open or closed?"""
        ...

    async def end(self, workflow_id: str, why: str) -> None:
        """End the workflow where it stands."""
        ...


@dataclass(slots=True)
class _Found:
    """``mended``: whose record was written anew. ``outdated``: by its workflow's id, each whose workflow is behind.
    ``lost``: a record is open, and Temporal has never heard of its workflow.
    """

    mended: list[str] = field(default_factory=list[str])
    outdated: dict[str, Deployment] = field(default_factory=dict[str, Deployment])
    lost: bool = False


@dataclass(frozen=True, slots=True)
class DeploymentComparison:
    """Safe to repeat and to run twice at once: writes are ordered, and what is half done is done by the next one, or by
    who sees to records without a workflow.
    """

    reader: DeploymentReader
    writer: DeploymentWriter
    creation: NamedChain
    workflows: StatedDeployments
    environments: EnvironmentComparison
    clock: Clock

    async def mend(self, close: Close) -> list[str]:
        """The ids of the deployments that were put right. What cannot be now is left for the next time.

        ``close`` closes the record of one whose workflow was just ended, or has it started again where it is live.
        Asked are those workflows that show something else than their records. As soon as one of them is of an older
        moment, or not there at all, all of them are.
        """
        shown, recorded = await self.workflows.shown(), await self._open_records()
        suspects = [name for name, status in shown.items() if name not in recorded or recorded[name].status != status]
        suspects += [name for name in recorded if name not in shown]
        found = _Found()
        await self._look(found, suspects)
        locks = await self.environments.look(thoroughly=False)
        if found.outdated or found.lost or locks.outdated:
            await self._look(found, [name for name in shown if name not in suspects])
            again = await self.environments.look(thoroughly=True)
            locks.outdated |= again.outdated
            locks.silent = again.silent - locks.outdated
        environments, waits = sorted(locks.outdated), {service for service, _ in locks.silent}
        found.outdated = {name: each for name, each in found.outdated.items() if each.service_name not in waits}
        for name in environments:  # before the deployments: it would see them go, and write what is no longer so
            await self.environments.workflows.end(name, WHY_ENDED)
        for name in found.outdated:
            await self.workflows.end(name, WHY_ENDED)
        for name in environments:
            await self.environments.workflows.start(name)
        closed = [each.deployment_id for each in found.outdated.values() if await self._closed(each, close)]
        return [*found.mended, *closed]

    async def _closed(self, stored: Deployment, close: Close) -> bool:
        told = {"deployment_id": stored.deployment_id, "status": stored.status}
        try:
            await close(stored.deployment_id, Ending(CAUSE, f"{WHY_ENDED} and was ended"))
        except HybridCIError as error:
            logger.warning("a record was not closed", extra={**told, "because": error.message})
            return False
        logger.warning("a workflow of before a restore was ended", extra=told)
        return True

    async def _open_records(self) -> dict[str, DeploymentSummary]:
        found: dict[str, DeploymentSummary] = {}
        for status in ON_ITS_WAY_OR_LIVE:
            cursor: str | None = None
            while True:
                page = await self.reader.list(DeploymentQuery(status=status, limit=_PAGE, cursor=cursor))
                for each in page.items:
                    found[deployment_workflow_id(each.service_name, each.version, each.deployment_id)] = each
                cursor = page.next_cursor
                if cursor is None:
                    break
        return found

    async def _look(self, found: _Found, names: Sequence[str]) -> None:
        answers = await gather_bounded(lambda name: self._compare(found, name), names)
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, HybridCIError | RPCError):  # one must not hold up the others
                logger.warning("a record was not put right", extra={"workflow": name, "because": str(answer)})
            elif isinstance(answer, Exception):
                raise answer

    async def _compare(self, found: _Found, workflow_id: str) -> None:
        state = await self.workflows.state(workflow_id)  # before the record, which is never behind what it says
        try:
            stored = await self.reader.get(deployment_id_of(workflow_id) if state is None else state.deployment_id)
        except NotFound:
            stored = None
        if state is None:
            if stored is not None and self._is_quiet(stored) and not await self.workflows.is_known(workflow_id):
                found.lost = True
        elif stored is None:
            if self._is_quiet(state) and await self._create(state):
                found.mended.append(state.deployment_id)
        elif state.sequence > stored.sequence:
            differ = stored.status is not state.status and self._is_quiet(state)
            if differ and await self._write(state, stored.status):
                found.mended.append(state.deployment_id)
        elif 0 < state.sequence < stored.sequence and self._is_quiet(stored) and _told(stored) != _told(state):
            found.outdated[workflow_id] = stored

    def _is_quiet(self, deployment: Deployment) -> bool:
        return self.clock() - deployment.updated_at >= _QUIET_MILLIS

    async def _create(self, state: Deployment) -> bool:
        first = {"status": DeploymentStatus.PENDING, "sequence": state.sequence - 1}
        write = DeploymentWrite(deployment=state.model_copy(update=first))
        await run_chain(self.creation, {"write": write}, result="outcome", kind=WriteOutcome)
        return await self._write(state, DeploymentStatus.PENDING)

    async def _write(self, state: Deployment, previous: DeploymentStatus) -> bool:
        write = DeploymentWrite(deployment=state, previous=previous)
        return await self.writer.write(write) is WriteOutcome.APPLIED


def _told(deployment: Deployment) -> tuple[object, ...]:
    """How far it is. An approval or a sample that a workflow has forgotten is told to it again; what it has run, and in
    which turn, it would do once more.
    """
    rollback = deployment.rollback
    return (
        deployment.status,
        deployment.environment,
        deployment.build_job_id,
        deployment.test_job_id,
        [(each.environment, each.status, each.fence, each.job_ids) for each in deployment.stages],
        None if rollback is None else (rollback.status, rollback.job_ids),
    )
