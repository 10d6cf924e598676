"""What verifying the audit trail tells: how far it is, what it found, what a policy removed, and what it can know.

As a stream each is one line of JSON, an object with one member named after it (``VerificationLine``).
Deliberately not here: what is compared (``activities.evidence.verifier``), the words for people (the CLI).
"""

from enum import StrEnum

from pydantic import Field

from workflows.contracts.audit.seals import ChainFault
from workflows.contracts.base import Tolerant
from workflows.contracts.fields import Millis


class FindingKind(StrEnum):
    """What is not as it was."""

    CHANGED = "changed"
    MISSING = "missing"
    INSERTED = "inserted"
    SEAL = "seal"


class FoundIn(StrEnum):
    """Where: in the feed, in a copy in a list, in a subject's chain of hashes, in the chain of seals."""

    FEED = "feed"
    COPY = "copy"
    SUBJECT = "subject"
    SEALS = "seals"


class Finding(Tolerant):
    """Something that somebody did to the trail. ``number`` is that of the shard; ``at`` the event's time, epoch ms."""

    kind: FindingKind
    found_in: FoundIn
    message: str
    shard: int | None = None
    number: int | None = None
    subject: str | None = None
    type: str | None = None
    at: Millis | None = None
    event_id: str | None = None
    list_name: str | None = None
    seal: int | None = None


class RemovedEvents(Tolerant):
    """Events that a policy let go: of one shard, from ``first`` to ``last``. ``record``: the seal that says so.

    ``standing``: how many of them are still there, since the removal is under way or was cut short.
    """

    shard: int
    first: int
    last: int
    events: int
    standing: int = 0
    record: int
    because: str = ""
    oldest: Millis
    newest: Millis


class VerificationProgress(Tolerant):
    """How far it is. ``part``: seals, events, copies; ``of`` None: nobody knows how many there are."""

    part: str
    done: int
    of: int | None = None


class VerificationSummary(Tolerant):
    """The last line. ``clean``: nothing was found.

    ``known_until``: the time of the last good seal; what was kept after that can have been changed unnoticed.
    ``unsealed``: events that no seal covers yet. ``not_covered``: copies of before events had numbers. ``keys``: the
    ids of the keys that signed; ``keys_known``: whether they were given to whoever verified, or only named by seals.
    """

    clean: bool
    seals: int = 0
    last_seal: int | None = None
    known_until: Millis | None = None
    sealed: int = 0
    unsealed: int = 0
    removed: int = 0
    not_covered: int = 0
    findings: dict[str, int] = Field(default_factory=dict[str, int])
    keys: list[str] = Field(default_factory=list[str])
    keys_known: bool = False
    began_at: Millis
    ended_at: Millis
    remarks: list[str] = Field(default_factory=list[str])


class VerificationLine(Tolerant):
    """One line of the stream: exactly one of these."""

    progress: VerificationProgress | None = None
    finding: Finding | None = None
    removed: RemovedEvents | None = None
    summary: VerificationSummary | None = None
    failed: str | None = Field(default=None, description="It could not go on, and why: nothing is known of the rest.")


def fault_words(fault: ChainFault, number: int, before: int) -> str:
    """What is wrong with seal ``number``, which comes behind the one of number ``before``."""
    return _FAULTS[fault].format(number=number, before=before, first=before + 1, last=number - 1)


_FAULTS = {
    ChainFault.UNREADABLE: "seal {number} cannot be read: somebody has changed it.",
    ChainFault.SIGNATURE: "seal {number} is not what was signed: somebody has changed it, or put it there.",
    ChainFault.UNKNOWN_KEY: "seal {number} is signed by a key that is not among those given.",
    ChainFault.GAP: "seals {first} to {last} are missing.",
    ChainFault.PREVIOUS: "seal {number} does not follow on seal {before}: one of the two was put there.",
    ChainFault.RANGE: "seal {number} does not begin where the seals before it end.",
}
