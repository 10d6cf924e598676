"""Uploading the files that an attempt leaves behind, a few at a time, each sent again while the API is away.

Which files those are, and that none lies outside the workspace, is decided in ``artifact_files``.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from agent.artifact_files import ArtifactError, FoundArtifact, find_artifacts, open_artifact
from agent.control_plane import Backoff, ControlPlane, Refused, Unreachable
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.jobs import ArtifactRef

_AT_ONCE: Final = 4
_PIECE: Final = 256 * 1024


class UploadFailed(Exception):
    """Some artifacts are not stored; the message says which and why. ``stored`` are.

    ``retryable`` False: the job itself left them so that they cannot be taken, and would again.
    """

    def __init__(self, message: str, stored: list[ArtifactRef], *, retryable: bool = True) -> None:
        super().__init__(message)
        self.stored, self.retryable = stored, retryable


async def upload_artifacts(
    control_plane: ControlPlane,
    attempt: AttemptInput,
    workspace: Path,
    *,
    max_bytes: int,
    seconds: float,
    say: Callable[[str], None],
) -> list[ArtifactRef]:
    """Upload what the attempt's patterns match. ``say`` gets log lines. Raises UploadFailed after ``seconds``."""
    notes: list[str] = []  # said afterwards: the log is not for other threads
    try:
        found = await asyncio.to_thread(
            find_artifacts, workspace, attempt.artifacts, max_bytes=max_bytes, note=notes.append
        )
    except ArtifactError as error:
        raise UploadFailed(str(error), [], retryable=False) from error
    finally:
        for note in notes:
            say(note)
    stored: list[ArtifactRef] = []
    problems: list[str] = []
    queue = iter(found)
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for _ in range(min(_AT_ONCE, len(found))):
                group.create_task(_upload_each(control_plane, attempt, queue, stored, problems))
    except TimeoutError:
        problems.append(f"{len(found) - len(stored)} of {len(found)} files were not taken within {seconds:.0f} s")
    stored.sort(key=lambda artifact: artifact.path)
    say(f"[hybridci] {len(stored)} artifacts uploaded, {sum(artifact.size for artifact in stored)} bytes.")
    if problems:
        raise UploadFailed("Not all artifacts could be uploaded: " + "; ".join(problems[:5]), stored)
    return stored


async def _upload_each(
    control_plane: ControlPlane,
    attempt: AttemptInput,
    queue: Iterator[FoundArtifact],
    stored: list[ArtifactRef],
    problems: list[str],
) -> None:
    for artifact in queue:
        try:
            stored.append(await _upload(control_plane, attempt, artifact))
        except (ArtifactError, Refused, OSError) as error:
            problems.append(f"{artifact.path}: {error}")


async def _upload(control_plane: ControlPlane, attempt: AttemptInput, artifact: FoundArtifact) -> ArtifactRef:
    backoff = Backoff(f"Uploading {artifact.path} of job {attempt.job_id}")
    with open_artifact(artifact) as file:
        size, sha256 = await asyncio.to_thread(_measure, file)
        while True:
            file.seek(0)
            try:
                await control_plane.put_artifact(
                    attempt.job_id, attempt.attempt, artifact.path, _pieces(file), size=size, sha256=sha256
                )
            except Unreachable as error:
                await asyncio.sleep(backoff.failed(error))
                continue
            return ArtifactRef(path=artifact.path, size=size, sha256=sha256)


def _measure(file: BinaryIO) -> tuple[int, str]:
    """The size and digest of what will be sent: the file can have changed since it was found."""
    digest, size = hashlib.sha256(), 0
    while piece := file.read(_PIECE):
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest()


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, _PIECE):
        yield piece
