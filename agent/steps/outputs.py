"""What steps say of themselves in files: outputs (``$HYBRIDCI_OUTPUT``) and a summary (``$HYBRIDCI_SUMMARY``).

An output is a line ``name=value``; or ``name<<WORD``, the value's lines, and a line with WORD alone. Whoever writes the
last of a name wins. Deliberately not here: masking, and what becomes of them (``attempt.sequence``).
"""

import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.steps.job_user import JobUser
from workflows.contracts.attempts import MAX_OUTPUT_BYTES, MAX_OUTPUTS

OUTPUT: Final = "HYBRIDCI_OUTPUT"
SUMMARY: Final = "HYBRIDCI_SUMMARY"
GIVEN: Final = f"{OUTPUT}_"
"""Before an output's name in the environment of the steps that follow: none can pass for another variable."""
_LINE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,99})(=|<<)(.*)", re.DOTALL)


class OutputsUnreadable(Exception):
    """The file cannot be taken; the message says why and what to do, for the log."""


def make_file(folder: Path, prefix: str, user: JobUser | None) -> Path:
    """An empty one of its own, in which ``user`` may write. Raises OSError."""
    handle, name = tempfile.mkstemp(prefix=prefix, dir=folder)
    try:
        if user is not None:
            os.fchown(handle, user.uid, user.gid)
    finally:
        os.close(handle)
    return Path(name)


def read_file(path: Path) -> str:
    """What a step wrote there, MAX_OUTPUT_BYTES at most. Raises OutputsUnreadable."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OutputsUnreadable("it is no file any more")
            data = file.read(MAX_OUTPUT_BYTES + 1)
    except OSError as error:
        raise OutputsUnreadable(f"it cannot be read ({error.strerror})") from error
    if len(data) > MAX_OUTPUT_BYTES:
        raise OutputsUnreadable(f"it is longer than {MAX_OUTPUT_BYTES // 1024} KiB; keep large things as artifacts")
    return data.decode(errors="replace").replace("\0", "\ufffd")


def parse_outputs(text: str) -> dict[str, str]:
    """Raises OutputsUnreadable, which names the line."""
    found: dict[str, str] = {}
    lines = iter(enumerate(text.split("\n"), 1))
    for number, line in lines:
        if not line.strip():
            continue
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise OutputsUnreadable(
                f"line {number} is neither name=value nor name<<WORD; names have letters, digits and '_'"
            )
        name, kind, rest = parts.groups()
        found[name] = rest if kind == "=" else "\n".join(_until(rest.strip(), number, lines))
    if len(found) > MAX_OUTPUTS:
        raise OutputsUnreadable(f"it has {len(found)} names; {MAX_OUTPUTS} at most are kept")
    return found


def _until(word: str, began: int, lines: Iterator[tuple[int, str]]) -> list[str]:
    value: list[str] = []
    for _, line in lines:
        if line == word:
            return value
        value.append(line)
    raise OutputsUnreadable(f"the value that begins in line {began} has no end: write a line with {word!r} alone")
