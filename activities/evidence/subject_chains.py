"""Each subject's chain of hashes, checked with bounded memory: a row names the place and the hash of the one before.

The seals cover rows as they were sealed; the chains also tell what was done to a row before that.
"""

from typing import Final

from activities.evidence.rows import finding_about
from activities.stores.interfaces.evidence import EvidenceStore
from workflows.contracts.audit.seals import StoredRow, row_place
from workflows.contracts.audit.subjects import chained
from workflows.contracts.audit.verification import Finding, FindingKind, FoundIn
from workflows.newest import Newest

_REMEMBERED: Final = 20_000
_MOST_DIGITS: Final = 15

Place = tuple[int, int]
_Link = tuple[str, int, str]
"""Of a row: its subject, its number (0: none), and the hash that the next one must name."""


class SubjectChains:
    """Remembers the last rows that it was shown; what is older is read again when it is needed."""

    def __init__(self, store: EvidenceStore) -> None:
        self._store = store
        self._links: Newest[Place, _Link | None] = Newest(_REMEMBERED)
        """None: this row is known not to be what it was, and says nothing of the next."""

    def distrust(self, shard: int, number: int) -> None:
        """This row was told already: what follows on it is no finding of its own."""
        self._links[shard, number] = None

    def remember(self, row: StoredRow) -> None:
        """This row is what was sealed, or is not sealed yet."""
        if row.sequence is not None:
            self._links[row.shard, row.sequence] = _link(row)

    async def check(self, row: StoredRow) -> Finding | None:
        """What is wrong between this row and the one before it. Raises Unavailable."""
        number = _number(row)
        if number == 0:
            return _finding(row, "has no number")
        if (number == 1) != (not row.before):
            return _finding(row, "is the first of its subject and names one before it, or the reverse")
        if number == 1:
            return None
        after = row.after or await self._store.place_before(row.subject, number)
        if not after:
            return None  # nobody knows where the one before stands
        place = _place(after)
        if place is None:
            return _finding(row, "names a place before it that is none")
        if place not in self._links:
            found = await self._store.stored_rows(place[0], row_place(place[1] - 1), row_place(place[1]))
            before = next((each for each in found if each.sequence == place[1]), None)
            if before is None:
                return None  # whoever took it is told where it is missing; or a policy removed it
            self._links[place] = _link(before)
        link = self._links[place]
        if link is None:
            return None
        subject, before_number, digest = link
        follows = number == before_number + 1
        if subject == row.subject and follows and digest == row.before:
            return None
        where = f"{place[0]}-{place[1]}"
        return _finding(row, f"does not follow on the event before it ({where}): one of the two is not what was kept")


def _link(row: StoredRow) -> _Link:
    number = _number(row)
    return row.subject, number, chained(row.before, row.subject, number, row.document)


def _number(row: StoredRow) -> int:
    text = row.number
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else 0


def _place(text: str) -> Place | None:
    shard, _, number = text.partition("-")
    known = text.isascii() and shard.isdecimal() and number.isdecimal() and len(shard) < 4 and len(number) < 16
    return (int(shard), int(number)) if known else None


def _finding(row: StoredRow, what: str) -> Finding:
    message = f"event {row.number} of {row.subject} {what}."
    return finding_about(row, FindingKind.CHANGED, FoundIn.SUBJECT, message)
