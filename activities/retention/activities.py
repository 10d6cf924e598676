"""The control worker's activities of a sweep. Names and types are the stubs' of ``workflows.contracts.activities``.

Deliberately not here: what may go (``turn``), the order of the kinds (``workflows.retention.workflow``).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from temporalio import activity

from activities.clock import Clock
from activities.errors import speaks_temporal
from activities.events.witness import Witness
from activities.retention.sweep import Sweeper
from activities.stores.interfaces.events import EventStore
from workflows.contracts.audit.details import StorageSwept
from workflows.contracts.audit.events import AuditEvent, new_event
from workflows.contracts.storage.retention import RetentionPolicy, SweepNote, SweepResult, SweepTask, Swept, SweptKind
from workflows.contracts.who import Who

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetentionActivities:
    """The bodies, with what they need. ``all`` is what a Worker registers."""

    sweeper: Sweeper
    events: EventStore
    witness: Witness
    clock: Clock

    def all(self) -> Sequence[Callable[..., Any]]:
        """Every activity, for ``Worker(activities=…)``."""
        return [self.sweep_records, self.note_sweep]

    @activity.defn(name="sweep_records")
    @speaks_temporal
    async def sweep_records(self, task: SweepTask) -> SweepResult:
        """Remove what of one kind may go. Tried again, it goes on behind what its heartbeat names."""
        so_far = None if task.dry_run else _so_far()
        swept = await self.sweeper.run(task, activity.heartbeat, so_far)
        if swept.removed and not task.dry_run:
            logger.info("removed by policy", extra={"kind": swept.kind, "removed": swept.removed, "bytes": swept.size})
        return SweepResult(policy=self.sweeper.policy, kinds=[swept], dry_run=task.dry_run)

    @activity.defn(name="note_sweep")
    @speaks_temporal
    async def note_sweep(self, note: SweepNote) -> None:
        """The event first: where sweeps go on costs only a second look when it is lost."""
        if note.result.removed:
            await self.events.append(self._event(note))
        await self.sweeper.keep(note.result)

    def _event(self, note: SweepNote) -> AuditEvent:
        result, command = note.result, note.start.command
        said = StorageSwept(
            removed={each.kind.value: each.removed for each in result.kinds if each.removed},
            size=sum(each.size for each in result.kinds),
            ages=ages_of(result.policy),
            live_versions=result.policy.live_versions,
        )
        heard = None if command is None else self.witness.heard(command, activity.info().workflow_id)
        return new_event(
            said,
            Who.itself("retention") if heard is None else heard.who(),
            event_id=note.event_id,
            at=self.clock(),
            reason=None if heard is None else heard.reason,
            message=result.words(),
        )


def ages_of(policy: RetentionPolicy) -> dict[str, int | None]:
    """The ages of what goes by age, in seconds."""
    return {kind.value: policy.age(kind) for kind in SweptKind if kind is not SweptKind.EXPIRED}


def _so_far() -> Swept | None:
    details = activity.info().heartbeat_details
    return Swept.model_validate(details[0]) if details else None
