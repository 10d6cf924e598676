"""What a checkout leaves out and nobody asked for: said in the log, for empty folders and pointers say nothing.

Told from two files at the top of the workspace, without another git process. Deliberately not here: fetching them.
"""

import os
import re
from pathlib import Path
from typing import Final

from workflows.contracts.workspace.checkout import CheckoutOptions

_MOST_BYTES: Final = 256 * 1024
_SUBMODULE: Final = re.compile(rb"^\s*\[submodule\b", re.MULTILINE)
_LFS: Final = re.compile(rb"^[^#\n]*\sfilter=lfs\b", re.MULTILINE)


def notices(workspace: Path, options: CheckoutOptions) -> list[str]:
    """One line each."""
    said: list[str] = []
    if not options.submodules and (count := len(_SUBMODULE.findall(_text(workspace / ".gitmodules")))):
        what = "a submodule, whose folder is" if count == 1 else f"{count} submodules, whose folders are"
        said.append(f"[hybridci] The commit has {what} empty: `checkout: {{submodules: true}}` fetches them.")
    if not options.lfs and _LFS.search(_text(workspace / ".gitattributes")):
        said.append(
            "[hybridci] The commit has files that LFS keeps, of which here are only pointers: `checkout: {lfs: true}` "
            "fetches them."
        )
    return said


def _text(path: Path) -> bytes:
    """Nothing of what is no plain file: the commit could have a link there."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with os.fdopen(handle, "rb") as file:
        try:
            return file.read(_MOST_BYTES)
        except OSError:
            return b""
