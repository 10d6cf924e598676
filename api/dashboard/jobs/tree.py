"""Files by their folders, so that a page shows many as a tree. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from workflows.contracts.jobs import ArtifactRef

_DEEPEST = 12


@dataclass(slots=True)
class Folder:
    """What is in a folder: other folders by name, and files. ``size`` in bytes and ``count`` are of all below it."""

    name: str
    folders: dict[str, "Folder"] = field(default_factory=dict[str, "Folder"])
    files: list[tuple[str, ArtifactRef]] = field(default_factory=list[tuple[str, ArtifactRef]])
    size: int = 0
    count: int = 0


def tree_of(files: Iterable[ArtifactRef]) -> Folder:
    """The folder of them all. What is very deep stands in its last folder by the rest of its path."""
    root = Folder("")
    for file in sorted(files, key=lambda each: each.path):
        *folders, name = file.path.split("/", _DEEPEST)
        here = root
        for part in [None, *folders]:
            here = here if part is None else here.folders.setdefault(part, Folder(part))
            here.size += file.size
            here.count += 1
        here.files.append((name, file))
    return root
