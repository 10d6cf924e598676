"""Walking through a list by time, oldest first, in bounded pieces: where a sweep goes on, and when it ends.

There are two places. Up to the ``front`` everything was looked at once; it moves as things become old enough. What
stayed then, because it was needed or had not ended, is looked at again in a circle, up to ``back``. So a sweep costs
what it removes and a bounded rest, however much is kept. Deliberately not here: what becomes of an entry (``sweep``).
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from activities.bounded import gather_bounded
from activities.stores.interfaces.amounts import NOTHING, Amount
from activities.stores.interfaces.writes import Placed
from workflows.contracts.storage.retention import SweepPlace, Swept

logger = logging.getLogger(__name__)

S = TypeVar("S")

PAGE: Final = 100
MOST_LOOKED_AT: Final = 5000
"""At the front, in one sweep."""
MOST_AGAIN: Final = 1000
"""Of what stayed, in one sweep."""
MOST_SECONDS: Final = 240.0


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of an entry: it went (or would), with these objects. ``job_ids``: of a deployment that went."""

    went: str | None = None
    amount: Amount = NOTHING
    job_ids: Sequence[str] = ()


STAYS: Final = Fate()


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one sweep of one kind: entries at the front, entries of before, seconds."""

    front: int = MOST_LOOKED_AT
    again: int = MOST_AGAIN
    seconds: float = MOST_SECONDS


@dataclass(slots=True)
class Walk(Generic[S]):
    """One sweep's way through one list. ``oldest`` reads (behind, how many); ``one`` decides about an entry and acts.

    An entry whose turn fails stays for the next circle. Raises what the first one raised when a whole page fails: the
    store is away.
    """

    oldest: Callable[[str, int], Awaitable[list[Placed[S]]]]
    one: Callable[[S], Awaitable[Fate]]
    progress: Callable[[Swept], None]
    swept: Swept
    bounds: Bounds = field(default_factory=Bounds)
    clock: Callable[[], float] = time.monotonic
    named: bool = False

    async def run(self) -> Swept:
        """How it went; ``swept`` goes on from there when it is tried again."""
        ends = self.clock() + self.bounds.seconds
        before = self.swept.place.front
        more = await self._front(ends)
        if not more and before:
            await self._again(before, ends)
        self.swept = self.swept.model_copy(update={"more": more})
        return self.swept

    async def _front(self, ends: float) -> bool:
        """Whether there is more."""
        left = self.bounds.front
        while left > 0 and self.clock() < ends:
            page = await self.oldest(self.swept.place.front, min(PAGE, left))
            if page:
                await self._page(page, self.swept.place.model_copy(update={"front": page[-1].place}))
            if len(page) < min(PAGE, left):
                return False
            left -= len(page)
        return True

    async def _again(self, front: str, ends: float) -> None:
        """What is at the front now was looked at just now."""
        left = self.bounds.again
        while left > 0 and self.clock() < ends:
            page = [each for each in await self.oldest(self.swept.place.back, min(PAGE, left)) if each.place <= front]
            back = page[-1].place if page and page[-1].place < front else ""
            if page:
                await self._page(page, self.swept.place.model_copy(update={"back": back}))
            if not page or not back:
                self.swept = self.swept.model_copy(update={"place": self.swept.place.model_copy(update={"back": ""})})
                return
            left -= len(page)

    async def _page(self, page: Sequence[Placed[S]], place: SweepPlace) -> None:
        fates = await gather_bounded(self.one, [each.summary for each in page])
        failures = [each for each in fates if isinstance(each, Exception)]
        if failures and len(failures) == len(page):
            raise failures[0]
        for failure in failures:
            logger.warning("not removed now", extra={"kind": self.swept.kind, "because": str(failure)})
        self.swept = counted(self.swept, [each for each in fates if isinstance(each, Fate)], named=self.named)
        update = {"looked_at": self.swept.looked_at + len(page), "failed": self.swept.failed + len(failures)}
        self.swept = self.swept.model_copy(update={**update, "place": place})
        self.progress(self.swept)


def counted(swept: Swept, fates: Sequence[Fate], *, named: bool = False) -> Swept:
    """With what went; by name when somebody needs to know which."""
    went = [each for each in fates if each.went is not None]
    update = {
        "removed": swept.removed + len(went),
        "objects": swept.objects + sum(each.amount.objects for each in went),
        "size": swept.size + sum(each.amount.size for each in went),
        "ids": swept.ids + [each.went for each in went if named],
        "job_ids": swept.job_ids + [job_id for each in went for job_id in each.job_ids],
    }
    return swept.model_copy(update=update)
