"""What every store of records says of a write, and of a place in a list by time."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S")


class WriteOutcome(StrEnum):
    """What became of a write."""

    APPLIED = "applied"
    STALE = "stale"  # the stored sequence is the same or newer: nothing was changed


@dataclass(frozen=True, slots=True)
class Placed(Generic[S]):
    """An entry of a list by time, with its place there: what is newer has a greater one."""

    place: str
    summary: S
