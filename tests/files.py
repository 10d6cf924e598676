"""Files of processes that live on: what they clear away while we look is passed over."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every regular file below the folder, with what is in it. Links are not followed."""
    for parent, _, names in os.walk(folder):  # says nothing of a folder that is gone by now
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                with suppress(FileNotFoundError):
                    yield path, path.read_bytes()
