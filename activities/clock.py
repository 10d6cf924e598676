"""The control worker's clock, injected wherever a time is needed so that tests can stand still."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Epoch milliseconds."""


def epoch_millis() -> int:
    """The system's clock."""
    return time.time_ns() // 1_000_000
