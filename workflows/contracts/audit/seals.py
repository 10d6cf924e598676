"""Seals: a signed digest over what is new in each shard of the feed, chained to the seal before.

A seal's text is signed and hashed as it is stored, byte for byte; nothing is ever serialised again to be compared.
Beside the text stand the digests of the single rows (``Leaves``). They need no signature: the signed digest is made of
them. They say which row it is that differs.
Deliberately not here: keys and cryptography (``activities.evidence.keys``), where seals are kept (the stores), when one
is made (``activities.evidence.sealer``), what is compared (``activities.evidence.verifier``).
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from pydantic import Field

from workflows.contracts.base import Tolerant
from workflows.contracts.fields import Millis
from workflows.contracts.sealed import KeyId

SEALED_AS: Final = b"hybridci-seal-v1\n"
"""What the signed bytes begin with, so that a signature is nothing else."""
DIGEST_BYTES: Final = 32
MISSING: Final = bytes(DIGEST_BYTES)
"""The leaf of a number whose row could not be read when it was sealed."""
_LEAF_BYTES: Final = 2 * DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row of the feed as it is stored, nothing of it read as anything: it may have been written by anybody."""

    shard: int
    place: str
    subject: str
    number: str
    before: str
    after: str
    document: str

    @property
    def sequence(self) -> int | None:
        """Its number in the shard; None for a place that nobody gives."""
        return number_at(self.place)

    @property
    def document_digest(self) -> bytes:
        """SHA-256 of the event's text."""
        return hashlib.sha256(self.document.encode("utf-8", "surrogatepass")).digest()

    @property
    def leaf(self) -> "Leaf":
        """The digests of the row."""
        document = self.document_digest
        parts = (self.place, self.subject, self.number, self.before, self.after)
        return Leaf(_over(*(part.encode("utf-8", "surrogatepass") for part in parts), document), document)


_PLACE_DIGITS: Final = 15
LAST_PLACE: Final = "9" * _PLACE_DIGITS


def number_at(place: str) -> int | None:
    """The number whose place this is; None for a place that nobody gives."""
    given = len(place) == _PLACE_DIGITS and place.isascii() and place.isdecimal()
    return int(place) if given else None


def row_place(number: int) -> str:
    """Where the row of a number stands in its shard; of 0: before the first."""
    return f"{number:0{_PLACE_DIGITS}d}"


@dataclass(frozen=True, slots=True)
class Leaf:
    """The digests of one row: ``row`` over all of it, ``document`` over the event's text alone."""

    row: bytes
    document: bytes

    @property
    def is_missing(self) -> bool:
        """Nobody could read a row when this was sealed."""
        return self.row == MISSING


NO_ROW: Final = Leaf(MISSING, MISSING)


class SealedRange(Tolerant):
    """What a seal says of one shard: its rows above ``behind``, up to ``upto``.

    ``digest``: SHA-256 over the digests of the rows, in order. ``missing``: numbers without a row, when it was sealed.
    ``oldest`` and ``newest``: of the events' times.
    """

    shard: int
    behind: int
    upto: int
    count: int
    digest: str
    oldest: Millis
    newest: Millis
    missing: list[int] = Field(default_factory=list[int])


class SegmentName(Tolerant):
    """A range of a shard, and the seal that it is sealed by."""

    seal: int
    shard: int
    behind: int
    upto: int


class SealKind(StrEnum):
    """What a seal is about."""

    EVENTS = "events"
    REMOVAL = "removal"


class Seal(Tolerant):
    """What is signed. ``number`` from 1; ``previous``: the hash of the seal before, empty for the first.

    ``heads``: by shard, as text, the last number that is sealed. ``removed``: the segments that a policy lets go,
    signed before anything of them is deleted; ``because`` says which policy. ``last_removal``: the number of the last
    seal that says so, up to this one; ``first_kept``: before that seal nothing is left to be removed.
    """

    number: int
    kind: SealKind = SealKind.EVENTS
    sealed_at: Millis
    previous: str
    key_id: KeyId
    public_key: str
    ranges: list[SealedRange] = Field(default_factory=list[SealedRange])
    heads: dict[str, int] = Field(default_factory=dict[str, int])
    removed: list[SegmentName] = Field(default_factory=list[SegmentName])
    because: str | None = None
    last_removal: int | None = None
    first_kept: int = 1

    @property
    def sealed_heads(self) -> dict[int, int]:
        """By shard the last number that is sealed."""
        return {int(shard): number for shard, number in self.heads.items()}


class SignedSeal(Tolerant):
    """A seal as it is kept and sent: ``text`` is the JSON of a Seal, ``signature`` (Ed25519, base64) is over it.

    ``leaves``: for each of its ranges the digests of its rows, in base64.
    """

    number: int
    text: str
    signature: str
    leaves: list[str] = Field(default_factory=list[str])

    @property
    def seal(self) -> Seal:
        """What it says. Raises pydantic's ValidationError (a ValueError) for a text that is no seal."""
        return Seal.model_validate_json(self.text)

    @property
    def signed_bytes(self) -> bytes:
        """What the signature is over."""
        return SEALED_AS + self.text.encode("utf-8", "surrogatepass")

    @property
    def hash(self) -> str:
        """By which the next one names it."""
        return hashlib.sha256(self.signed_bytes + b"\n" + self.signature.encode("utf-8", "surrogatepass")).hexdigest()

    def leaves_of(self, index: int, sealed: SealedRange) -> Sequence[Leaf] | None:
        """The digests of the rows of its range ``index``; None when they are not those that were signed."""
        try:
            data = base64.b64decode(self.leaves[index], validate=True)
        except (IndexError, ValueError):
            return None
        if len(data) != _LEAF_BYTES * (sealed.upto - sealed.behind):
            return None
        pieces = [data[at : at + DIGEST_BYTES] for at in range(0, len(data), DIGEST_BYTES)]
        leaves = [Leaf(row, document) for row, document in zip(pieces[::2], pieces[1::2], strict=True)]
        return leaves if digest_of(leaves) == sealed.digest else None


class SentSeal(Tolerant):
    """A seal as it stands elsewhere: what is signed, and the signature."""

    number: int
    text: str
    signature: str


class SealPage(Tolerant):
    """Some seals, in order; none: there is no later one."""

    items: list[SentSeal]


def digest_of(leaves: Iterable[Leaf]) -> str:
    """The digest of a range, in hexadecimal."""
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(leaf.row)
        digest.update(leaf.document)
    return digest.hexdigest()


def packed(leaves: Iterable[Leaf]) -> str:
    """As they stand beside the seal."""
    return base64.b64encode(b"".join(leaf.row + leaf.document for leaf in leaves)).decode()


Signed = Callable[[str, bytes, str], bool]
"""Whether a signature (base64) over these bytes was made with the private half of this public key (base64)."""


class ChainFault(StrEnum):
    """What can be wrong with a seal, or between two of them."""

    UNREADABLE = "unreadable"
    SIGNATURE = "signature"
    UNKNOWN_KEY = "unknown_key"
    GAP = "gap"
    PREVIOUS = "previous"
    RANGE = "range"


@dataclass(slots=True)
class SealChain:
    """Follows seals from the first one on, and says of each what is wrong.

    ``keys``: public keys (base64) by their ids, or None to take the keys that the seals name, whoever's they are.
    ``signed`` checks a signature. ``hash`` is the last seal's, ``good_hash`` that of the last one whose signature is
    good: workers go on behind this one.
    """

    signed: Signed
    keys: Mapping[str, str] | None
    number: int = 0
    hash: str = ""
    good_hash: str = ""
    heads: dict[int, int] | None = None

    @classmethod
    def begin(cls, signed: Signed, keys: Mapping[str, str] | None) -> Self:
        """Before the first seal."""
        return cls(signed, keys, heads={})

    def follow(self, kept: SignedSeal) -> tuple[Seal | None, list[ChainFault]]:
        """The seal, if its signature is good; and what is wrong with it and its place. It is the last one now."""
        faults: list[ChainFault] = []
        if kept.number != self.number + 1:
            faults.append(ChainFault.GAP)
        seal = self._read(kept, faults)
        if seal is not None:
            if seal.previous not in (self.hash, self.good_hash) and ChainFault.GAP not in faults:
                faults.append(ChainFault.PREVIOUS)
            if ChainFault.GAP not in faults and not self._continues(seal):
                faults.append(ChainFault.RANGE)
            self.good_hash = kept.hash
        self.heads = None if seal is None else seal.sealed_heads
        self.number, self.hash = kept.number, kept.hash
        return seal, faults

    def _read(self, kept: SignedSeal, faults: list[ChainFault]) -> Seal | None:
        try:
            seal = kept.seal
            _ = seal.sealed_heads
        except ValueError:
            faults.append(ChainFault.UNREADABLE)
            return None
        key = seal.public_key if self.keys is None else self.keys.get(seal.key_id)
        if key is None:
            faults.append(ChainFault.UNKNOWN_KEY)
            return None
        if seal.number != kept.number or not self.signed(key, kept.signed_bytes, kept.signature):
            faults.append(ChainFault.SIGNATURE)
            return None
        return seal

    def _continues(self, seal: Seal) -> bool:
        if self.heads is None:  # behind one that says nothing
            return True
        heads = dict(self.heads)
        for each in seal.ranges:
            if each.behind != heads.get(each.shard, 0) or each.upto <= each.behind:
                return False
            heads[each.shard] = each.upto
        return heads == seal.sealed_heads


def _over(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
