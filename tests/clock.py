"""A clock for fakes: no two things happen in one millisecond, so that lists by time have one order."""

import time

_last = 0


def own_millis() -> int:
    """Epoch milliseconds, each later than the one before."""
    global _last
    _last = max(_last + 1, time.time_ns() // 1_000_000)
    return _last
