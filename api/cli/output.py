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
"""Wide enough that nothing is cut when the reader is a program."""
_GAP: Final = "  "
_NARROWEST: Final = 4
_READABLE: Final = 16
_SHORT: Final = 8
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
    """A table's column. ``keep`` columns are never cut; the others give way when the terminal is narrow.

    Columns with a ``rank`` are left out first, the highest rank before the others.
    """

    title: str
    keep: bool = False
    right: bool = False
    rank: int = 0


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
    shown = _chosen(columns, natural, screen.width)
    columns, natural = [columns[index] for index in shown], [natural[index] for index in shown]
    widths = _fitted(columns, natural, screen.width - len(_GAP) * (len(columns) - 1))
    table = Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        side = "right" if column.right else "left"
        table.add_column(column.title, no_wrap=True, overflow="ellipsis", justify=side, width=width)
    for row in cells:
        table.add_row(*(row[index] for index in shown))
    _print(screen, table)


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
    """A duration: ``0.4 s``, ``12 s``, ``3 min 4 s``, ``2 h 5 min``."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
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


def _chosen(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """Which columns are shown: all that fit when those that may be cut are cut to a readable width."""
    needed = [
        length if column.keep else min(length, _READABLE) for column, length in zip(columns, natural, strict=True)
    ]
    shown = list(range(len(columns)))
    while sum(needed[index] + len(_GAP) for index in shown) - len(_GAP) > width:
        dispensable = [index for index in shown if columns[index].rank]
        if not dispensable:
            break
        shown.remove(max(dispensable, key=lambda index: columns[index].rank))
    return shown


def _fitted(columns: Sequence[Column], natural: Sequence[int], room: int) -> list[int]:
    """The widths in ``room`` cells: as long as it is too much, the widest column that may be cut gives way."""
    widths = list(natural)
    while sum(widths) > room:
        open_to_cuts = [index for index, column in enumerate(columns) if not column.keep and widths[index] > _NARROWEST]
        if not open_to_cuts:
            break
        widths[max(open_to_cuts, key=lambda index: widths[index])] -= 1
    return widths
