"""Where lines begin in bytes, pure: how many newlines there are, and the place behind every 1,000th and any other.

A line ends with its line feed; what follows the last one is a line too, unless it is empty.
"""

import re
from collections.abc import Sequence
from typing import Final

EVERY: Final = 1000
"""Lines between two places that are kept."""
_THOUSAND: Final = re.compile(rb"(?:[^\n]*+\n){%d}+" % EVERY)
"""Possessive, and matched at one place at a time: a search would try every byte of the rest, which has fewer."""


def places_of(data: bytes) -> list[int]:
    """The place behind the 1,000th newline, the 2,000th, …"""
    places: list[int] = []
    position = 0
    while (found := _THOUSAND.match(data, position)) is not None:
        position = found.end()
        places.append(position)
    return places


def behind_newline(data: bytes, number: int) -> int | None:
    """The place behind the newline of this number (1 is the first), or None when there are fewer; 0 for number 0."""
    place = 0
    for _ in range(number):
        place = data.find(b"\n", place) + 1
        if place == 0:
            return None
    return place


def nearest_place(places: Sequence[int], number: int) -> tuple[int, int]:
    """The last place that is kept at or before this newline, and how many newlines are before it."""
    known = min(number // EVERY, len(places))
    return (places[known - 1], known * EVERY) if known else (0, 0)
