"""How much is stored, how old it may become, and what a sweep does, as callers see it."""

from typing import Annotated

from pydantic import Field, StringConstraints

from workflows.contracts.base import Frozen
from workflows.contracts.fields import Millis, Prose
from workflows.contracts.storage.retention import RetentionPolicy, SweepResult, SweptKind


class KindOut(Frozen):
    """One kind. ``items`` and ``size`` (bytes) are at least so many where ``at_least`` says so; null: not counted.

    ``age_seconds``: how long it is kept after its end; null: for ever. ``next_removed`` and ``next_size``: what the
    next sweep would take; null: not known now.
    """

    kind: SweptKind
    items: int | None = None
    size: int | None = None
    at_least: bool = False
    oldest_at: Millis | None = None
    age_seconds: int | None = None
    next_removed: int | None = None
    next_size: int | None = None
    note: str = ""


class TableOut(Frozen):
    """One table, as the database counts it: on AWS up to six hours ago."""

    holds: str
    table: str
    items: int
    size: int


class EntryOut(Frozen):
    """A file or folder in the data directory, with all that is in it."""

    name: str
    size: int


class FolderOut(Frozen):
    """The data directory of one machine. ``free`` and ``total``: of its disk, in bytes."""

    path: str
    size: int
    free: int
    total: int
    at_least: bool = False
    entries: list[EntryOut]


class StorageOut(Frozen):
    """What takes how much. ``policy``: the ages, as the control worker has them now; null when it did not answer."""

    at: Millis
    policy: RetentionPolicy | None
    kinds: list[KindOut]
    tables: list[TableOut]
    folder: FolderOut | None = None
    last_sweep: SweepResult | None = None
    last_sweep_at: Millis | None = None
    unanswered: str | None = Field(default=None, description="Why nothing is known of the next sweep.")


class SweepRequest(Frozen):
    """``dry_run``: only say what would go."""

    dry_run: bool = False
    reason: Annotated[Prose, StringConstraints(max_length=1024)] | None = None


class SweepOut(Frozen):
    """What a sweep did, or would do; ``under_way`` (202): it takes longer, and the trail tells what it removed."""

    dry_run: bool
    under_way: bool = False
    message: str
    result: SweepResult | None = None
