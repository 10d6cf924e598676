"""What a failed step's last words tell that its author may not see: Windows' line ends, a missing interpreter. Pure."""

import re
from typing import Final

TAIL_BYTES: Final = 2048
"""How much of the end of a step's output is looked at."""
_CARRIAGE: Final = re.compile(rb"(?:\\r|\^M|\r)(?:'|\xe2\x80\x99|: )")
_INTERPRETER: Final = re.compile(
    rb"([^\s:'\"]+): (?:bad interpreter|cannot execute: required file not found)"
    rb"|env: [^A-Za-z0-9/]*([\w./+-]+)[^A-Za-z0-9/]*: No such file"
)


def hint(script: str, exit_code: int, tail: bytes) -> str | None:
    """A sentence for the log, or None."""
    if exit_code == 0:
        return None
    if "\r\n" in script:
        return "The step's script has the line ends of Windows (CRLF): save it with LF, or send it so."
    if exit_code not in {126, 127}:
        return None
    if _CARRIAGE.search(tail):
        return (
            "A script that it starts has the line ends of Windows (CRLF): save it with LF, and keep it so with "
            "`*.sh text eol=lf` in .gitattributes."
        )
    found = _INTERPRETER.search(tail)
    if found is not None:
        name = (found[1] or found[2]).decode(errors="replace")
        return (
            f"{name}: the program that its first line (#!) names is not on this host, or the line ends with a CR "
            "(CRLF): install it, or correct the line."
        )
    return None
