"""Checked steps: each says what was expected and what was seen when it does not hold.

Deliberately not here: the story.
"""

import time
from collections.abc import Callable
from typing import Final, TypeVar

_LOOK_SECONDS: Final = 0.1  # a look is a request: more of them slow down what is looked at
T = TypeVar("T")


class DemoFailed(Exception):
    """A step of the story did not go as it must."""

    def __init__(self, what: str, *, expected: object, seen: object) -> None:
        super().__init__(f"{what}\n  expected: {expected}\n  seen:     {seen}")


def expect(what: str, *, expected: object, seen: object) -> None:
    """Raises DemoFailed when they differ."""
    if expected != seen:
        raise DemoFailed(what, expected=expected, seen=seen)


def wait_for(what: str, look: Callable[[], T], good: Callable[[T], bool], *, expected: str, seconds: float) -> T:
    """Look until it is good, and return what was seen then. Raises DemoFailed with what was seen last."""
    deadline = time.monotonic() + seconds
    while not good(seen := look()):
        if time.monotonic() > deadline:
            raise DemoFailed(f"{what} (waited {seconds:.0f} s)", expected=expected, seen=seen)
        time.sleep(_LOOK_SECONDS)
    return seen
