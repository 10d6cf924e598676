"""A dict that forgets: the one bounded cache of all processes.

Deliberately not here: how long an entry counts. Who cares keeps a time in the value, and its own clock. Nor what must
not be forgotten: fences and records are kept by their own rules.
"""

from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Newest(dict[K, V]):
    """At most ``most`` entries: what is set is the newest, and the oldest goes when there are too many.

    Reading changes no order. Only ``[key] = value`` makes an entry; what else a dict has for it is refused.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        if most < 1:
            raise ValueError(f"at least one entry must be allowed, not {most}")
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        self.pop(key, None)
        super().__setitem__(key, value)
        if len(self) > self._most:
            del self[next(iter(self))]

    def update(self, *_args: Any, **_kwargs: Any) -> None:
        """Refused: it would pass the bound."""
        raise TypeError("set entries one by one")

    def setdefault(self, *_args: Any) -> Any:
        """Refused: it would pass the bound."""
        raise TypeError("set entries one by one")
