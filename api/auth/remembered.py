"""What was allowed a moment ago and need not be looked up again. A refusal is never remembered."""

import time
from collections.abc import Callable, Hashable
from typing import Final

from workflows.newest import Newest

_SECONDS: Final = 10
_MOST: Final = 10_000


class Remembered:
    """A set whose members leave it after some seconds, the oldest first when there are too many."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until: Newest[Hashable, float] = Newest(_MOST)

    def __contains__(self, what: Hashable) -> bool:
        return self._until.get(what, 0) > self._monotonic()

    def add(self, what: Hashable) -> None:
        """From now on for some seconds."""
        self._until[what] = self._monotonic() + _SECONDS
