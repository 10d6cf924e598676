"""When the number of agents is changed: up at once, down only after a while. Pure.

Deliberately not here: what number a pool needs (the API works it out) and how agents are started and stopped.
"""

from collections import deque


class Steady:
    """The highest number that was wanted within the cooldown: more is given at once, less only when it lasts.

    A queue that empties and fills again would otherwise stop and start agents all the time.
    """

    def __init__(self, cooldown_seconds: float) -> None:
        self._cooldown = cooldown_seconds
        self._wanted: deque[tuple[float, int]] = deque()

    def settle(self, desired: int, now: float, *, least: int, most: int) -> int:
        """What to run, given what is desired ``now`` (seconds of any clock that only grows).

        The bounds hold at once: whoever lowers the upper one does not wait for the cooldown.
        """
        while self._wanted and self._wanted[0][0] <= now - self._cooldown:
            self._wanted.popleft()
        self._wanted.append((now, desired))
        return min(max(least, *(wanted for _, wanted in self._wanted)), most)
