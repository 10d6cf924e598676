"""How the story is told: chapters, lines with the time since the beginning, checks, links, and the table at the end."""

import os
import sys
import time
from typing import Final

from api.cli.output import Column, clean, print_table, span

_BOLD, _GREEN, _DIM, _PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
_MARGIN: Final = " " * 9


class Narrator:
    """Writes to stdout, a line at a time."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._chapter_began = self._began
        self._chapter: str | None = None
        self._checks = 0
        self._rows: list[tuple[str, int, str]] = []
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def chapter(self, title: str) -> None:
        """The next part of the story."""
        self._close_chapter()
        self._chapter, self._checks, self._chapter_began = title, 0, time.monotonic()
        self._line(f"\n{_MARGIN}{self._in(_BOLD, f'{len(self._rows) + 1}. {title}')}")

    def say(self, text: str) -> None:
        """What happens now, with the time."""
        self._line(f"{self.seconds:6.1f} s {clean(text)}")

    def checked(self, text: str) -> None:
        """What was looked at and found to be so."""
        self._checks += 1
        self._line(f"{self.seconds:6.1f} s {self._in(_GREEN, '✓')} {clean(text)}")

    def link(self, what: str, url: str) -> None:
        """Where to look at it."""
        self._line(f"{_MARGIN}{self._in(_DIM, f'→ {what}: {clean(url)}')}")

    def command(self, line: str) -> None:
        """What a person would type."""
        self._line(f"{_MARGIN}{self._in(_BOLD, f'$ {clean(line)}')}")

    def summary(self) -> None:
        """The table of all chapters."""
        self._close_chapter()
        self._line("")
        total = sum(count for _, count, _ in self._rows)
        columns = (Column("Step", keep=True), Column("Checks", right=True), Column("Time", right=True))
        print_table(columns, [*self._rows, ("All of it", total, span(self.seconds))])

    def _close_chapter(self) -> None:
        if self._chapter is not None:
            self._rows.append((self._chapter, self._checks, span(time.monotonic() - self._chapter_began)))
            self._chapter = None

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{_PLAIN}" if self._colour else text

    def _line(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
