"""Finding and opening the files a job leaves behind; nothing outside the workspace is ever read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


class ArtifactError(Exception):
    """The artifacts cannot be collected: too many, too large, or changed while being read."""


@dataclass(frozen=True, slots=True)
class FoundArtifact:
    """``path`` is relative to the workspace with slashes; ``file`` the real file (links resolved); ``size`` in bytes."""

    path: str
    workspace: Path
    file: Path
    size: int


def find_artifacts(
    workspace: Path,
    patterns: Sequence[str],
    *,
    max_bytes: int,
    note: Callable[[str], None],
    max_files: int = 10_000,
) -> list[FoundArtifact]:
    """Regular files that match, sorted by path. ``note`` gets a sentence per refused file or empty pattern.

    Blocking: call it in a thread. Raises ArtifactError above ``max_bytes`` in all or ``max_files``.
    """
    raise NotImplementedError


def open_artifact(found: FoundArtifact) -> BinaryIO:
    """Open for reading without following any link. Raises ArtifactError when it is no longer that file."""
    raise NotImplementedError
