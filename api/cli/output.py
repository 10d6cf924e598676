"""What people and programs see: tables, ages, notes, JSON.

Results go to stdout, everything else to stderr. Colour only on a terminal and never with NO_COLOR (rich's own rule).
Text that came from jobs is stripped of control characters, so that it cannot steer the terminal; logs are passed on as
they are, and not from here. rich is imported when first needed.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from workflows.contracts.deployments.deployment import DeploymentStatus, StageStatus
from workflows.contracts.ids import is_uuid
from workflows.contracts.statuses import JobStatus, Outcome

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

NOTHING: Final = "-"
_PIPE_WIDTH: Final = 10_000
"""For lines of fields when the reader is a program; tables are as wide as what is in them."""
_GAP: Final = "  "
_READABLE: Final = 16
_SHORT: Final = 8
_KEPT: Final = 24
_STYLES: Final[dict[str, str]] = {
    JobStatus.RUNNING: "cyan",
    JobStatus.SUCCESS: "green",
    JobStatus.FAILED: "red",
    JobStatus.TIMEOUT: "red",
    JobStatus.ERROR: "red",
    JobStatus.DEAD_LETTERED: "bold red",
    JobStatus.CANCELLED: "yellow",
    Outcome.SUCCEEDED: "green",
    Outcome.TIMED_OUT: "red",
    Outcome.CHECKOUT_FAILED: "red",
    Outcome.AGENT_LOST: "magenta",
    Outcome.AGENT_ERROR: "magenta",
    DeploymentStatus.LIVE: "bold green",
    DeploymentStatus.STAGED: "green",
    DeploymentStatus.ROLLED_BACK: "bold yellow",
    StageStatus.WAITING: "yellow",
    StageStatus.PAUSED: "bold yellow",
    StageStatus.DEPLOYING: "cyan",
    StageStatus.VERIFYING: "cyan",
    StageStatus.DEPLOYED: "green",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column, and what becomes of it on a narrow terminal.

    ``key``: what the next command takes; never cut and never left out, even if lines must wrap for it. ``keep``: among
    the last to be cut, and then to 24 cells. ``whole``: shown uncut or not at all, as numbers (``right``) are. The
    others are cut to 16 cells, or ``least``. Columns with a ``rank`` are left out first, the highest rank before the
    others; then, from the right, those that are not kept, and then those that are.
    """

    title: str
    keep: bool = False
    right: bool = False
    rank: int = 0
    key: bool = False
    whole: bool = False
    least: int = 0

    def narrowest(self, natural: int) -> int:
        """How many cells it needs, of ``natural`` ones that its longest value has."""
        if self.key or self.whole or self.right:
            return natural
        return max(min(natural, self.least or (_KEPT if self.keep else _READABLE)), min(natural, len(self.title)))


def console(*, stderr: bool = False) -> "Console":
    """A console on stdout or stderr as they are now, wide when nobody looks at it."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """For programs: what the API answered, indented."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    """For people: one line per row."""
    from rich.table import Table

    screen = console()
    cells = [[styled(cell) for cell in row] for row in rows]
    natural = [
        max([len(column.title), *(row[index].cell_len for row in cells)]) for index, column in enumerate(columns)
    ]
    fitted = fit_columns(columns, natural, screen.width if sys.stdout.isatty() else None)
    screen.width = max(screen.width, sum(width + len(_GAP) for width in fitted.values()))
    table = Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="bold")
    for index, width in fitted.items():
        side = "right" if columns[index].right else "left"
        table.add_column(columns[index].title, no_wrap=True, overflow="ellipsis", justify=side, width=width)
    for row in cells:
        table.add_row(*(row[index] for index in fitted))
    _print(screen, table)


def fit_columns(columns: Sequence[Column], natural: Sequence[int], width: int | None) -> dict[int, int]:
    """Which columns are shown, by index, and how wide each is; without a ``width`` all of them, uncut."""
    shown = list(range(len(columns)))
    if width is None:
        return {index: natural[index] for index in shown}
    least = [column.narrowest(length) for column, length in zip(columns, natural, strict=True)]

    def too_wide(widths: Sequence[int]) -> int:
        return sum(widths[index] + len(_GAP) for index in shown) - len(_GAP) - width

    while too_wide(least) > 0:
        dispensable = [index for index in shown if not columns[index].key]
        if not dispensable:
            break
        shown.remove(max(dispensable, key=lambda index: (columns[index].rank, not columns[index].keep, index)))
    widths = list(natural)
    while too_wide(widths) > 0:
        open_to_cuts = [index for index in shown if widths[index] > least[index]]
        if not open_to_cuts:
            break
        widths[max(open_to_cuts, key=lambda index: (not columns[index].keep, widths[index]))] -= 1
    return {index: widths[index] for index in shown}


def print_fields(fields: Sequence[tuple[str, object]]) -> None:
    """Names and values below each other; values of None are left out, long ones wrap."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields:
        if value is not None:
            table.add_row(name, styled(value))
    _print(console(), table)


def say(text: str = "") -> None:
    """A line for people, on stdout."""
    sys.stdout.write(clean(text) + "\n")


def note(text: str) -> None:
    """A line about what is going on, on stderr."""
    sys.stderr.write(clean(text) + "\n")
    sys.stderr.flush()


def clean(text: str) -> str:
    """Without the control characters that steer terminals; line ends and tabs stay."""
    return "".join(c if c in "\n\t" or (c.isprintable() or c == " ") else "\N{REPLACEMENT CHARACTER}" for c in text)


def clip(line: str) -> str:
    """Cut to the terminal's width; whole where a program reads."""
    import shutil

    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else f"{line[: max(1, width - 1)]}…"


def short_id(identity: str) -> str:
    """As much of an id as tables show and commands take."""
    return identity[:_SHORT] if is_uuid(identity) else identity


def age(then: int | None, now: int | None = None) -> str:
    """``3 min ago`` for epoch milliseconds; a date once it is more than a month old."""
    if then is None:
        return NOTHING
    seconds = ((now_ms() if now is None else now) - then) / 1000
    if seconds < 0:
        return f"in {span(-seconds)}" if seconds < -1 else "now"
    if seconds < 1:
        return "now"
    if seconds > 31 * 86_400:
        return datetime.fromtimestamp(then / 1000, UTC).date().isoformat()
    return f"{_one_unit(seconds)} ago"


def span(seconds: float | None) -> str:
    """A duration: ``0.4 s``, ``12 s``, ``3 min 4 s``, ``2 h 5 min``. Clocks differ: what is below nothing is none."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def size(count: int | None) -> str:
    """A number of bytes: ``512 B``, ``1.5 KiB``."""
    if count is None:
        return NOTHING
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def clock(then: int | None) -> str | None:
    """Local date and time to the second, for epoch milliseconds."""
    if then is None:
        return None
    return datetime.fromtimestamp(then / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def now_ms() -> int:
    """Epoch milliseconds."""
    return int(time.time() * 1000)


def _one_unit(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def styled(cell: object) -> "Text":
    """A table's cell: stripped of control characters, coloured when it is the name of a state."""
    from rich.text import Text

    text = NOTHING if cell is None else clean(str(cell))
    return Text(text, style=_STYLES.get(text, ""))


def _print(screen: "Console", table: "Table") -> None:
    """Without the spaces that fill the last column."""
    with screen.capture() as captured:
        screen.print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
