"""Templates: Jinja2, every value escaped, every name that is not there an error. Filters say how values are shown.

Chosen by measurement (docs/decisions.md): a list of 50 rows takes it 1 ms, a typed builder of elements 20 ms.
"""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api.dashboard.outside import ShowOutside
from api.dashboard.sentences import joined, plainly
from api.wording import counted, plural, status_word

_TEMPLATES: Final = Path(__file__).parent / "templates"
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def render(template: str, **fields: Any) -> str:
    """The page as text."""
    return _environment().get_template(template).render(**fields)


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, auto_reload=False, extensions=[ShowOutside],
    )  # fmt: skip
    found.filters.update(time=time, span=span, short=short, size=size, joined=joined, plainly=plainly)
    words: dict[str, Any] = {"counted": counted, "plural": plural, "status_word": status_word}
    found.filters.update(words)
    return found


def time(millis: int | None) -> Markup | str:
    """A moment: exact in UTC; the browser shows it in the viewer's zone."""
    if millis is None:
        return ""
    moment = datetime.fromtimestamp(millis / 1000, UTC)
    exact = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.isoformat(timespec="milliseconds"), exact, moment.strftime("%d %b %H:%M")
    )


def span(seconds: float | None) -> str:
    """How long: ``4.2 s``, ``3 min 5 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds is None:
        return ""
    if seconds < _MINUTE:
        return f"{max(seconds, 0):.1f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
    return f"{seconds // _DAY:.0f} d {seconds % _DAY // _HOUR:.0f} h"


def short(identity: str | None, characters: int = 8) -> str:
    """The beginning of an id or a commit."""
    return (identity or "")[:characters]


def size(count: int | None) -> str:
    """Bytes: ``1.2 MB``."""
    if count is None:
        return ""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
