"""What is live is live in its environment, its record and an open workflow: compared each minute, and put right.

An environment's own workflow sees to it when it is told; this is for what happens behind its back: somebody's hand in
Temporal, a signal that was lost, data of a version before. Deliberately not here: starting a workflow again
(``activities.environments.live``), who only waited (``reconcile``), whether one can go back (``readiness``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from activities.bounded import gather_bounded
from activities.clock import Clock
from activities.deployments.readers import DeploymentReader
from activities.deployments.readiness import Readiness
from activities.deployments.reconcile import DeploymentReconciler, DeploymentWorkflows, workflow_id
from activities.deployments.writers import DeploymentWriter
from activities.jobs.reconcile import CAUSE, Ending
from activities.stores.interfaces.writes import WriteOutcome
from workflows.contracts.audit.events import new_event
from workflows.contracts.audit.types import EventType
from workflows.contracts.deployments.deployment import (
    Deployment,
    DeploymentQuery,
    DeploymentStatus,
    DeploymentSummary,
    DeploymentWrite,
)
from workflows.contracts.deployments.environments import EnvironmentState, LiveVersion, RestoreLive, SignalEnvironment
from workflows.contracts.deployments.reopening import LiveSwept
from workflows.contracts.deployments.services import Service
from workflows.contracts.errors import NotFound
from workflows.contracts.who import Who
from workflows.deployment import record

QUIET_MILLIS: Final = 10_000
"""What has just changed is left alone: it is on its way. Whether a workflow is open is asked of its latest run."""
SERVICES_A_SWEEP: Final = 300
"""Of more services some have their turn, the next ones a minute later."""
_PAGE: Final = 100
_GIVEN_UP: Final = "rollback_failed"
"""Nobody knows what runs there: a person has said so, and says what is next."""


@dataclass(slots=True)
class _Found:
    """What one sweep has seen and done. ``well``: deployments that are live and have an open workflow."""

    running: set[str]
    checked: int = 0
    well: set[str] = field(default_factory=set[str])
    restored: list[str] = field(default_factory=list[str])
    superseded: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class LiveSweeper:
    """Safe to repeat and to run twice at once: records are written in order, and a version that is told twice that it
    is live knows it already.
    """

    reader: DeploymentReader
    writer: DeploymentWriter
    workflows: DeploymentWorkflows
    reconciler: DeploymentReconciler
    readiness: Readiness
    clock: Clock
    _cursor: str | None = None

    async def run(self, progress: Callable[[int], None]) -> LiveSwept:
        """One comparison, of all records that say live and of the environments whose turn it is. Raises Unavailable."""
        found = _Found(await self.workflows.open_ids())
        await self._records(found, progress)
        services = await self._services()
        for answer in await gather_bounded(lambda service: self._environment(found, service), services):
            if isinstance(answer, Exception):
                raise answer
        progress(found.checked + len(services))
        return LiveSwept(checked=found.checked, restored=found.restored, superseded=found.superseded)

    async def _records(self, found: _Found, progress: Callable[[int], None]) -> None:
        cursor: str | None = None
        while True:
            page = await self.reader.list(DeploymentQuery(status=DeploymentStatus.LIVE, limit=_PAGE, cursor=cursor))
            found.checked, cursor = found.checked + len(page.items), page.next_cursor
            found.well.update(each.deployment_id for each in page.items if workflow_id(each) in found.running)
            suspects = [each for each in page.items if each.deployment_id not in found.well and self._is_quiet(each)]
            for answer in await gather_bounded(lambda each: self._without_workflow(found, each), suspects):
                if isinstance(answer, Exception):
                    raise answer
            progress(found.checked)
            if cursor is None:
                return

    async def _without_workflow(self, found: _Found, summary: DeploymentSummary) -> None:
        """Its record says that it is live, and nothing moves it."""
        how = await self.workflows.ended(workflow_id(summary))
        stored = await self._record(summary.deployment_id)
        if how is None or stored is None or stored.status is not DeploymentStatus.LIVE:
            return
        state = await self._last_environment(stored)
        live, holder = (None, None) if state is None else (state.live, state.holder)
        if live is not None and live.deployment_id == stored.deployment_id:
            await self.reconciler.restore(stored, Ending(CAUSE, f"Its workflow was {how} in Temporal"))
            found.restored.append(stored.deployment_id)
        elif holder is not None and holder.deployment_id == stored.deployment_id:
            return  # its environment is about to see that it has gone
        elif live is not None:
            changed = record.superseded(stored, live.deployment_id, live.version, self.clock())
            words = f"by {live.version}; its workflow had gone before"
            await self._end(found, stored, changed, EventType.DEPLOYMENT_SUPERSEDED, words)
        elif state is not None and self._settled(state):
            words = f"Nothing is live in {state.environment} any more; its workflow had gone before."
            changed = record.retired(stored, words, self.clock())
            await self._end(found, stored, changed, EventType.DEPLOYMENT_RETIRED, words)

    async def _end(self, found: _Found, stored: Deployment, changed: Deployment, what: EventType, words: str) -> None:
        """It is live no more, which its own workflow could not be told."""
        changed = changed.model_copy(update={"sequence": stored.sequence + 1, "updated_at": self.clock()})
        event = new_event(
            what,
            Who.itself("reconciliation"),
            event_id=f"{stored.deployment_id}-ended-{changed.sequence}",
            at=changed.updated_at,
            service_name=stored.service_name,
            environment=stored.environment,
            deployment_id=stored.deployment_id,
            version=stored.version,
            message=words,
        )
        write = DeploymentWrite(deployment=changed, previous=stored.status, events=[event])
        if await self.writer.write(write) is WriteOutcome.APPLIED:
            found.superseded.append(stored.deployment_id)

    async def _services(self) -> Sequence[Service]:
        """Those whose turn it is."""
        services: list[Service] = []
        while len(services) < SERVICES_A_SWEEP:
            page = await self.reader.services(limit=_PAGE, cursor=self._cursor)
            services += page.items
            self._cursor = page.next_cursor
            if self._cursor is None:
                break
        return services

    async def _environment(self, found: _Found, service: Service) -> None:
        """What is live in the last environment of a service has a record that says so, and holds the environment."""
        last = service.spec.environment_names[-1:]
        state = await self._state(service.name, last[0]) if last else None
        if state is None or state.live is None:
            return
        well = state.live.deployment_id in found.well
        if well and state.holder is None and self._settled(state):
            await self._tell(state, state.live, "Nobody held the environment")
        elif not well and self._settled(state):
            await self._not_live(found, state, state.live)
        if well:
            await self.readiness.look(state)

    async def _not_live(self, found: _Found, state: EnvironmentState, live: LiveVersion) -> None:
        stored = await self._record(live.deployment_id)
        if stored is None or stored.status is DeploymentStatus.LIVE or not stored.closed:
            return
        names = [each.name for each in stored.definition.environments]
        young = self.clock() - stored.updated_at < QUIET_MILLIS
        another = state.holder is not None and state.holder.live and state.holder.deployment_id != live.deployment_id
        if young or another or stored.cause == _GIVEN_UP or names[-1:] != [state.environment]:
            return
        await self._tell(state, live, f"Its record said {stored.status}")
        found.restored.append(live.deployment_id)

    async def _tell(self, state: EnvironmentState, live: LiveVersion, why: str) -> None:
        lost = RestoreLive(deployment_id=live.deployment_id, why=why)
        await self.workflows.signal_environment(
            SignalEnvironment(service_name=state.service_name, environment=state.environment, restore_live=lost)
        )

    async def _record(self, deployment_id: str) -> Deployment | None:
        try:
            return await self.reader.get(deployment_id)
        except NotFound:
            return None

    async def _last_environment(self, deployment: Deployment) -> EnvironmentState | None:
        names = [each.name for each in deployment.definition.environments]
        return await self._state(deployment.service_name, names[-1]) if names else None

    async def _state(self, service_name: str, environment: str) -> EnvironmentState | None:
        try:
            return await self.reader.environment(service_name, environment)
        except NotFound:
            return None

    def _settled(self, state: EnvironmentState) -> bool:
        return self.clock() - state.updated_at >= QUIET_MILLIS

    def _is_quiet(self, summary: DeploymentSummary) -> bool:
        return self.clock() - summary.updated_at >= QUIET_MILLIS
