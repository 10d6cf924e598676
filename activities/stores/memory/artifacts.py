"""ArtifactStore in memory, for unit tests."""

import asyncio
import builtins
from collections.abc import AsyncIterator
from typing import BinaryIO, Final

from activities.stores.bundles import BundledFile
from activities.stores.interfaces.amounts import Amount
from activities.stores.paths import check_artifact_path
from workflows.contracts.errors import NotFound
from workflows.contracts.jobs import ArtifactRef

_PIECE_BYTES: Final = 256 * 1024


class MemoryArtifactStore:
    """ArtifactStore in a dict."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, int], dict[str, tuple[ArtifactRef, bytes]]] = {}

    async def put(
        self, job_id: str, attempt: int, path: str, body: BinaryIO, *, sha256: str, executable: bool = False
    ) -> ArtifactRef:
        """See ArtifactStore."""
        check_artifact_path(path)
        content = await asyncio.to_thread(body.read)
        ref = ArtifactRef(path=path, size=len(content), sha256=sha256, executable=executable)
        self._files.setdefault((job_id, attempt), {})[path] = (ref, content)
        return ref

    async def put_bundle(
        self, job_id: str, attempt: int, body: BinaryIO, files: builtins.list[BundledFile], *, sha256: str
    ) -> None:
        """See ArtifactStore."""
        content = await asyncio.to_thread(body.read)
        found = {each.ref.path: (each.ref, content[each.offset : each.offset + each.ref.size]) for each in files}
        self._files.setdefault((job_id, attempt), {}).update(found)

    async def list(self, job_id: str, attempt: int) -> list[ArtifactRef]:
        """See ArtifactStore."""
        files = self._files.get((job_id, attempt), {})
        return [files[path][0] for path in sorted(files)]

    async def find(self, job_id: str, attempt: int, path: str) -> ArtifactRef | None:
        """See ArtifactStore."""
        found = self._files.get((job_id, attempt), {}).get(path)
        return None if found is None else found[0]

    async def open(self, job_id: str, attempt: int, path: str) -> AsyncIterator[bytes]:
        """See ArtifactStore."""
        found = self._files.get((job_id, attempt), {}).get(path)
        if found is None:
            raise NotFound(
                f"Attempt {attempt} of job {job_id} left no artifact {path!r}; list them to see which it left."
            )
        for begin in range(0, len(found[1]), _PIECE_BYTES):
            yield found[1][begin : begin + _PIECE_BYTES]

    async def stored(self, job_id: str) -> Amount:
        """See ArtifactStore."""
        found = [ref for key, files in self._files.items() if key[0] == job_id for ref, _ in files.values()]
        return Amount(len(found), sum(ref.size for ref in found))

    async def remove(self, job_id: str) -> Amount:
        """See ArtifactStore."""
        took = await self.stored(job_id)
        self._files = {key: files for key, files in self._files.items() if key[0] != job_id}
        return took
