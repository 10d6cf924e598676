"""What a store of artifacts does."""

import builtins
from collections.abc import AsyncIterator
from typing import BinaryIO, Protocol

from activities.stores.bundles import BundledFile
from activities.stores.interfaces.amounts import Amount
from workflows.contracts.jobs import ArtifactRef


class ArtifactStore(Protocol):
    """Files that attempts leave behind."""

    async def put(
        self, job_id: str, attempt: int, path: str, body: BinaryIO, *, sha256: str, executable: bool = False
    ) -> ArtifactRef:
        """Store the file; a repeated put replaces it."""
        ...

    async def put_bundle(
        self, job_id: str, attempt: int, body: BinaryIO, files: builtins.list[BundledFile], *, sha256: str
    ) -> None:
        """Store many small files at once, all or none (``bundles``). A repeated put changes nothing; of files with one
        path in several bundles the last is meant, and one in a bundle comes before one that was put alone.
        """
        ...

    async def list(self, job_id: str, attempt: int) -> list[ArtifactRef]:
        """What the attempt left, by path. Its cost grows with the number of files."""
        ...

    async def find(self, job_id: str, attempt: int, path: str) -> ArtifactRef | None:
        """The one of this path, or None; also for a path that cannot be kept."""
        ...

    def open(self, job_id: str, attempt: int, path: str) -> AsyncIterator[bytes]:
        """The file's bytes, in pieces. Raises NotFound."""
        ...

    async def stored(self, job_id: str) -> Amount:
        """What the files of all attempts take."""
        ...

    async def remove(self, job_id: str) -> Amount:
        """Remove the files of all attempts; what they took. Repeatable."""
        ...
