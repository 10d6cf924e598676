"""What a policy removed, by what the seals say: which numbers of which shard, and when that was signed."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from workflows.contracts.audit.seals import Seal, SealedRange, SegmentName
from workflows.contracts.audit.verification import RemovedEvents


@dataclass(frozen=True, slots=True)
class _Said:
    """A segment that goes, and the seal that says so."""

    segment: SegmentName
    record: int
    because: str


@dataclass(slots=True)
class PolicyRemovals:
    """Of the seals that were read and are good. Grows with the number of segments that were removed, 200 bytes each."""

    _said: dict[int, list[_Said]] = field(default_factory=dict[int, list[_Said]])
    _told: list[RemovedEvents] = field(default_factory=list[RemovedEvents])
    events: int = 0

    def add(self, seal: Seal) -> None:
        """What this seal says."""
        for segment in seal.removed:
            known = self._said.setdefault(segment.shard, [])
            place = bisect_right(known, segment.behind, key=lambda said: said.segment.behind)
            known.insert(place, _Said(segment, seal.number, seal.because or ""))

    def said_of(self, seal: int, sealed: SealedRange) -> tuple[int, str] | None:
        """The seal that says that this range of that seal goes, and why; None: nobody says so."""
        known = self._said.get(sealed.shard, [])
        place = bisect_right(known, sealed.behind, key=lambda said: said.segment.behind)
        if not place:
            return None
        said = known[place - 1]
        same = (said.segment.behind, said.segment.upto, said.segment.seal) == (sealed.behind, sealed.upto, seal)
        return (said.record, said.because) if same else None

    def covers(self, shard: int, number: int) -> bool:
        """Whether this number is among those that go."""
        known = self._said.get(shard, [])
        place = bisect_right(known, number - 1, key=lambda said: said.segment.behind)
        return bool(place) and number <= known[place - 1].segment.upto

    def note(self, sealed: SealedRange, standing: int, record: int, because: str) -> None:
        """This range was found gone, but for ``standing`` of its events."""
        self.events += sealed.count - standing
        last = self._told[-1] if self._told else None
        found = RemovedEvents(
            shard=sealed.shard, first=sealed.behind + 1, last=sealed.upto, events=sealed.count - standing,
            standing=standing, record=record, because=because, oldest=sealed.oldest, newest=sealed.newest,
        )  # fmt: skip
        follows = last is not None and (last.shard, last.last, last.record) == (sealed.shard, sealed.behind, record)
        if last is None or not follows:
            self._told.append(found)
            return
        self._told[-1] = found.model_copy(
            update={
                "first": last.first,
                "events": last.events + found.events,
                "standing": last.standing + standing,
                "oldest": min(last.oldest, found.oldest),
                "newest": max(last.newest, found.newest),
            }
        )

    def told(self) -> Iterator[RemovedEvents]:
        """What was found gone, neighbours together."""
        return iter(self._told)
