"""How long what has ended is kept, what a sweep is asked to look at, and what it removed.

Ages are seconds, counted from the end of a thing; None: for ever. Times are epoch milliseconds. Deliberately not here:
what may go (``activities.retention``), when sweeps run (``activities.temporal_setup``).
"""

from enum import StrEnum
from typing import Final

from pydantic import Field

from workflows.contracts.base import Tolerant
from workflows.contracts.commands import Reason
from workflows.contracts.fields import Millis
from workflows.contracts.who import Message

SWEEP_WORKFLOW_ID: Final = "maintenance-sweep"
"""The id of a sweep that somebody asked for: one at a time."""
PREVIEW_WORKFLOW_ID: Final = "maintenance-sweep-preview"
"""The id of one that only says what would go."""


class SweptKind(StrEnum):
    """What a sweep looks at, in this order: a deployment that goes no longer keeps its jobs."""

    DEPLOYMENTS = "deployments"
    JOBS = "jobs"  # with their logs and artifacts
    LOGS = "logs"  # of jobs whose records stay
    ARTIFACTS = "artifacts"  # of jobs whose records stay
    EVENTS = "events"  # in whole sealed segments
    EXPIRED = "expired"  # what DynamoDB's TTL would remove, in a store that has none


class RetentionPolicy(Tolerant):
    """Ages by kind. ``live_versions``: how many versions that are or were live each environment keeps, whatever their
    age; the live one is one of them.
    """

    jobs: int | None = None
    logs: int | None = None
    artifacts: int | None = None
    deployments: int | None = None
    events: int | None = None
    live_versions: int = 10

    def age(self, kind: SweptKind) -> int | None:
        """The age of a kind; None: nothing of it goes by age."""
        return {
            SweptKind.DEPLOYMENTS: self.deployments,
            SweptKind.JOBS: self.jobs,
            SweptKind.LOGS: self.logs,
            SweptKind.ARTIFACTS: self.artifacts,
            SweptKind.EVENTS: self.events,
            SweptKind.EXPIRED: 0,
        }[kind]


class SweepPlace(Tolerant):
    """How far the sweeps of a kind are. Up to ``front``, a place in the list by time, everything was looked at; up to
    ``back`` what stayed then was looked at once more. ``expiring``: how far the circle is that looks for artifacts
    whose jobs said themselves how long they are kept.
    """

    front: str = ""
    back: str = ""
    expiring: str = Field(default="", exclude_if=lambda place: not place)


class Swept(Tolerant):
    """What one sweep did with one kind. ``size``: bytes that went; ``failed``: tried again by the next one. When a
    worker died meanwhile, what it removed in its last minute is not counted.

    ``more``: there was more to look at than one sweep may. ``ids``: deployments that went, ``job_ids``: their jobs.
    """

    kind: SweptKind
    looked_at: int = 0
    removed: int = 0
    objects: int = 0
    size: int = 0
    failed: int = 0
    more: bool = False
    note: str = ""
    ids: list[str] = Field(default_factory=list[str], exclude_if=lambda ids: not ids)
    job_ids: list[str] = Field(default_factory=list[str], exclude_if=lambda ids: not ids)
    place: SweepPlace = SweepPlace()

    def words(self, *, would: bool = False) -> str:
        """In a line for people."""
        if self.note:
            return f"{self.kind}: {self.note}"
        size = f", {self.objects:,} objects with {self.size:,} bytes" if self.objects else ""
        failed = f", {self.failed:,} could not be removed now" if self.failed else ""
        more = "; there is more" if self.more else ""
        removed = f"{self.removed:,} would be removed" if would else f"{self.removed:,} removed"
        return f"{self.kind}: {self.looked_at:,} looked at, {removed}{size}{failed}{more}"


class Sweep(Message):
    """Remove what is older than the policy says. ``dry_run``: only say what would go."""

    dry_run: bool = False
    reason: Reason | None = None


class SweepInput(Tolerant):
    """The argument of ``SweepWorkflow``. Without a command nobody asked: the schedule did."""

    command: Sweep | None = None

    @property
    def dry_run(self) -> bool:
        """Whether nothing is removed."""
        return self.command is not None and self.command.dry_run


class SweepTask(Tolerant):
    """One kind, of the activity ``sweep_records``. ``first``: jobs of deployments that have just gone, looked at before
    all others. ``gone``: deployments that would be gone by then, of a preview.
    """

    kind: SweptKind
    dry_run: bool = False
    first: list[str] = Field(default_factory=list[str], exclude_if=lambda ids: not ids)
    gone: list[str] = Field(default_factory=list[str], exclude_if=lambda ids: not ids)


class SweepResult(Tolerant):
    """What a sweep did, kind by kind, by which policy."""

    policy: RetentionPolicy = RetentionPolicy()
    kinds: list[Swept] = Field(default_factory=list[Swept])
    dry_run: bool = False

    @property
    def removed(self) -> int:
        """How many things went, or would."""
        return sum(each.removed for each in self.kinds)

    def words(self) -> str:
        """A line for each kind."""
        return "\n".join(each.words(would=self.dry_run) for each in self.kinds)


class SweepNote(Tolerant):
    """A sweep for the audit trail and for whoever asks how the last one went."""

    event_id: str
    start: SweepInput
    result: SweepResult


class SweepState(Tolerant):
    """What is kept of sweeps: the places of each kind, the last one's result, and when it ended."""

    places: dict[SweptKind, SweepPlace] = Field(default_factory=dict[SweptKind, SweepPlace])
    last: SweepResult | None = None
    last_at: Millis | None = None
