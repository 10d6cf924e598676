"""What an environment asks before it gives a turn: recurring windows, and the freezes and holds of the line. Pure.

Deliberately not here: asking (``effects``), what follows (``turn``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from workflows.contracts.deployments.environments import FreezeAnswer
from workflows.contracts.deployments.line import StopInForce

LOOK_AGAIN_MS: Final = 10 * 60_000
"""Whoever changes the line tells the environments that wait; this is for when that gets lost."""


@dataclass(frozen=True, slots=True)
class Answers:
    """``windows``: by ready deployment; ``line``: for all of them."""

    windows: Mapping[str, FreezeAnswer] = field(default_factory=dict[str, FreezeAnswer])
    line: Sequence[StopInForce] = ()

    def __bool__(self) -> bool:
        """Whether there is anything that ends by its time."""
        return bool(self.windows) or bool(self.line)

    def edges(self, now: int) -> list[int]:
        """When another answer can be expected (ms)."""
        edges = [answer.until for answer in self.windows.values() if answer.until is not None]
        edges += [stop.until for stop in self.line if stop.until is not None]
        return [*edges, now + LOOK_AGAIN_MS] if self.line else edges


NO_ANSWERS: Final = Answers()
