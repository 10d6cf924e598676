"""A secret that processes share: its keys as they are now, the newest first. The first makes, all are accepted.

Deliberately not here: where they are read from, and when again (``workflows.followed``).
"""

from collections.abc import Callable, Sequence

Secret = bytes | Callable[[], Sequence[bytes]]
"""One key for good, or whoever says which they are now."""


def newest(secret: Secret) -> bytes:
    """The key that makes."""
    return secret if isinstance(secret, bytes) else secret()[0]


def accepted(secret: Secret) -> Sequence[bytes]:
    """Every key that is good."""
    return (secret,) if isinstance(secret, bytes) else secret()
