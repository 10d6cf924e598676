"""One sealed range against what stands there now: changed, missing, inserted, removed by policy, or as it was.

Deliberately not here: chains of subjects and copies, which are checked of the rows that are as they were.
"""

from dataclasses import dataclass, field

from activities.evidence.policy_removals import PolicyRemovals
from activities.evidence.rows import RowsOfRange, finding_about
from workflows.contracts.audit.seals import Leaf, SealedRange, SignedSeal, StoredRow, digest_of
from workflows.contracts.audit.verification import Finding, FindingKind, FoundIn


@dataclass(frozen=True, slots=True)
class MissingRow:
    """A row that was sealed and is gone; ``document``: the digest of its text, by which its copies are known."""

    finding: Finding
    document: bytes | None


@dataclass(slots=True)
class RangeCheck:
    """The verdict on a range. ``good``: rows as they were sealed, to be checked further.

    ``bad``: rows that are told already. ``texts``: digests of texts that belong to what is told: what such a row said
    when it was sealed, and what it says now.
    """

    kept: SignedSeal
    sealed: SealedRange
    good: list[StoredRow] = field(default_factory=list[StoredRow])
    bad: list[int] = field(default_factory=list[int])
    texts: list[bytes] = field(default_factory=list[bytes])
    missing: list[MissingRow] = field(default_factory=list[MissingRow])
    findings: list[Finding] = field(default_factory=list[Finding])

    def compare(self, index: int, rows: RowsOfRange, removals: PolicyRemovals) -> None:
        """Compare the range, the seal's ``index``-th, with its rows."""
        sealed = self.sealed
        self.findings += [inserted(row) for row in rows.odd]
        self.texts += [row.document_digest for row in rows.odd]
        now = rows.leaves(sealed.behind, sealed.upto)
        as_sealed = digest_of(now) == sealed.digest
        leaves = now if as_sealed else self.kept.leaves_of(index, sealed)
        said = removals.said_of(self.kept.number, sealed)
        if said is not None:
            standing = sum(leaves is not None and not is_now.is_missing and is_now == was
                           for is_now, was in zip(now, leaves or now, strict=True))  # fmt: skip
            removals.note(sealed, standing, *said)
        if leaves is None:
            self._without_leaves(rows, gone=said is not None)
            return
        for number, is_now, was in zip(range(sealed.behind + 1, sealed.upto + 1), now, leaves, strict=True):
            self._compare_row(number, rows.by_number.get(number), is_now, was, gone=said is not None)

    def _compare_row(self, number: int, row: StoredRow | None, is_now: Leaf, was: Leaf, *, gone: bool) -> None:
        if was.is_missing and row is None:
            self.missing.append(MissingRow(self._gone(number, "could not be read when it was sealed"), None))
        elif row is None:
            if not gone:
                self.missing.append(MissingRow(self._gone(number, "was sealed and is gone"), was.document))
        elif is_now == was:
            if not gone:
                self.good.append(row)
            else:
                self.texts.append(row.document_digest)  # its copies are being removed too
        elif was.is_missing or gone:
            self.findings.append(inserted(row))
            self._tell(number, row.document_digest, was.document)
        else:
            what = (
                "is not what was sealed" if is_now.document != was.document else "stands otherwise than it was sealed"
            )
            self.findings.append(
                _of_row(FindingKind.CHANGED, row, f"event {number} of shard {row.shard} {what}.", self)
            )
            self._tell(number, row.document_digest, was.document)

    def _without_leaves(self, rows: RowsOfRange, *, gone: bool) -> None:
        """The digests beside the seal were changed too, so it cannot be said which row it is."""
        sealed = self.sealed
        numbers = range(sealed.behind + 1, sealed.upto + 1)
        absent = [number for number in numbers if number not in rows.by_number]
        if gone and len(absent) == len(numbers):
            return
        for number in () if gone else absent:
            self.missing.append(MissingRow(self._gone(number, "was sealed and is gone"), None))
        if len(absent) != sealed.upto - sealed.behind:
            self.findings.append(
                Finding(
                    kind=FindingKind.CHANGED,
                    found_in=FoundIn.FEED,
                    shard=sealed.shard,
                    seal=self.kept.number,
                    message=(
                        f"events {sealed.behind + 1} to {sealed.upto} of shard {sealed.shard} are not those that were"
                        " sealed; which of them, nobody can say, for the digests beside the seal were changed too."
                    ),
                )
            )
        for number, row in rows.by_number.items():
            self._tell(number, row.document_digest)

    def _tell(self, number: int, *texts: bytes) -> None:
        self.bad.append(number)
        self.texts += texts

    def _gone(self, number: int, what: str) -> Finding:
        self.bad.append(number)
        shard = self.sealed.shard
        return Finding(
            kind=FindingKind.MISSING,
            found_in=FoundIn.FEED,
            message=f"event {number} of shard {shard} {what}.",
            shard=shard,
            number=number,
            seal=self.kept.number,
        )


def inserted(row: StoredRow) -> Finding:
    """A row that stands where nobody has given a number."""
    return _of_row(
        FindingKind.INSERTED, row, f"an event at {row.place[:40]!r} of shard {row.shard} was never kept here."
    )


def unreadable(row: StoredRow) -> Finding:
    """A row whose text is no event."""
    message = f"event {row.sequence} of shard {row.shard} holds no event that can be read."
    return _of_row(FindingKind.CHANGED, row, message)


def _of_row(kind: FindingKind, row: StoredRow, message: str, check: RangeCheck | None = None) -> Finding:
    return finding_about(row, kind, FoundIn.FEED, message, seal=None if check is None else check.kept.number)
