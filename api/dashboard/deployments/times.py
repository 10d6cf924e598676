"""Times as dense pages show them: how long ago, how long still; the exact moment where one points."""

from datetime import UTC, datetime

from markupsafe import Markup

_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000
_UNITS = ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"), (_SECOND, "s"))


def roughly(millis: float) -> str:
    """``3 d``, ``4 h``, ``12 min``, ``5 s``; without a sign."""
    amount = abs(millis)
    size, unit = next(((size, unit) for size, unit in _UNITS if amount >= size), (_SECOND, "s"))
    return f"{int(amount // size)} {unit}"


class Clock:
    """What of a page is told from its own moment on, ``now`` in epoch ms."""

    def __init__(self, now: int) -> None:
        self.now = now

    def ago(self, millis: int | None) -> Markup | str:
        """``4 h``."""
        return "" if millis is None else _exact(roughly(self.now - millis), millis)

    def until(self, millis: int | None) -> Markup | str:
        """``in 4 min``; what should have been is ``any moment``."""
        if millis is None:
            return ""
        left = millis - self.now
        return _exact(f"in {roughly(left)}" if left >= _SECOND else "any moment", millis)

    def usual(self, seconds: int | None) -> str:
        """``4 min``, never ``0 s``."""
        return "" if seconds is None else roughly(max(seconds, 1) * 1000)


def _exact(words: str, millis: int) -> Markup:
    moment = datetime.fromtimestamp(millis / 1000, UTC)
    return Markup('<span class="age" title="{}">{}</span>').format(moment.strftime("%Y-%m-%d %H:%M:%S UTC"), words)
