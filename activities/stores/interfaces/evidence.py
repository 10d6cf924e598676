"""What seals and their verification ask of a store: rows as they are kept, their copies in lists, and the seals.

Deliberately not here: what a seal is (``contracts.audit.seals``), sealing and verifying (``activities.evidence``).
"""

import builtins
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from workflows.contracts.audit.events import AuditEvent
from workflows.contracts.audit.seals import SignedSeal, StoredRow


@dataclass(frozen=True, slots=True, order=True)
class CopyName:
    """Where a copy of an event stands: in which list, at which place."""

    list_name: str
    place: str


@dataclass(frozen=True, slots=True)
class EventCopy:
    """A copy of an event in a list, as it is stored."""

    name: CopyName
    document: str


class EvidenceStore(Protocol):
    """The audit trail as it lies there, for whoever seals it, verifies it and lets old parts of it go; and the seals.

    What is read is raw: whoever has access to the storage may have written anything.
    """

    async def heads(self) -> builtins.dict[int, int]:
        """See EventStore."""
        ...

    async def stored_rows(self, shard: int, behind: str, upto: str) -> builtins.list[StoredRow]:
        """The rows of a shard behind a place (``row_place``), up to another, in order; as many as one answer has.

        Places between two numbers, which nobody gives, are among them. Empty: there is none up to ``upto``.
        """
        ...

    async def place_before(self, subject: str, number: int) -> str:
        """Where the event before this one of the subject stands, as ``<shard>-<number>``, when the row does not say it
        and the store knows it all the same; else empty.
        """
        ...

    def copies_of(self, event: AuditEvent) -> builtins.list[CopyName]:
        """Where the copies of an event must stand."""
        ...

    def copies(self) -> AsyncGenerator[Sequence[EventCopy], None]:
        """All copies of all events in all lists, in any order, each once. Reads the whole table, a page at a time."""
        ...

    async def copies_at(self, names: Sequence[CopyName]) -> builtins.list[EventCopy]:
        """Those of these copies that are there; consistent reads."""
        ...

    async def remove(self, rows: Sequence[StoredRow]) -> None:
        """Delete these rows, their copies and what says that they are kept: the rows last. Can be repeated."""
        ...

    async def add_seal(self, seal: SignedSeal) -> bool:
        """Keep a seal. Condition: there is none of its number yet; False otherwise, and nothing changed."""
        ...

    async def seals(self, behind: int, limit: int) -> builtins.list[SignedSeal]:
        """The seals with numbers above ``behind``, in order: at least one, if there is one, and at most ``limit``."""
        ...

    async def last_seal(self, below: int | None = None) -> SignedSeal | None:
        """The one with the highest number, or with the highest below this one."""
        ...

    async def sent(self, destination: str) -> int:
        """Up to which number the seals were sent to ``destination``; 0: none."""
        ...

    async def mark_sent(self, destination: str, number: int) -> None:
        """They were sent up to there. A lower number than the one that is kept changes nothing."""
        ...
