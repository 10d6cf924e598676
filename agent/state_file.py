"""Writing the agent's own small files: whole or not at all, also when the agent is killed or the power fails."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Blocking: call it in a thread. Raises OSError, and the file is then as it was."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_torn(path: Path) -> None:
    """Remove what an agent that was killed while it wrote this file left beside it."""
    for torn in path.parent.glob(f".{path.name}.*"):
        with suppress(OSError):  # it is only untidy
            torn.unlink()
