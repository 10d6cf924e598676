"""Uploading the files that an attempt leaves behind, a few at a time, each sent again while the API is away; small ones
in bundles (``bundling``) where the API takes these.

Which files those are, and that none lies outside the workspace, is decided in ``files``; that none holds a
secret, in ``inspection``.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from agent.artifacts.bundling import Bundle, apart, make_bundle
from agent.artifacts.files import ArtifactError, FoundArtifact, find_artifacts, open_artifact
from agent.artifacts.inspection import ContainsSecret, SecretGuard, require_no_secret
from agent.control.api import ApiUnreachable, Backoff, ControlPlane, RequestRefused
from agent.secrets.redact import Patterns
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.jobs import ArtifactRef

_AT_ONCE: Final = 4
_BUNDLES_AT_ONCE: Final = 2
"""Each of them is in memory."""
_NO_BUNDLES: Final = frozenset({403, 404, 405})
"""So an API of an earlier version refuses a route that it does not have."""
_PIECE: Final = 256 * 1024


class UploadFailed(Exception):
    """Some artifacts are not stored; the message says which and why. ``stored`` are.

    ``retryable`` False: the job itself left them so that they cannot be taken, and would again. ``cause`` is the
    result's.
    """

    def __init__(
        self, message: str, stored: list[ArtifactRef], *, retryable: bool = True, cause: str = "artifact_upload"
    ) -> None:
        super().__init__(message)
        self.stored, self.retryable, self.cause = stored, retryable, cause


@dataclass(slots=True)
class _Round:
    """What became of the files so far."""

    stored: list[ArtifactRef] = field(default_factory=list[ArtifactRef])
    problems: list[str] = field(default_factory=list[str])
    secret: list[str] = field(default_factory=list[str])
    alone: list[FoundArtifact] = field(default_factory=list[FoundArtifact])
    takes_bundles: bool = True


async def upload_artifacts(
    control_plane: ControlPlane,
    attempt: AttemptInput,
    workspace: Path,
    *,
    max_bytes: int,
    seconds: float,
    say: Callable[[str], None],
    patterns: Patterns | None = None,
) -> list[ArtifactRef]:
    """Upload what the attempt's globs match, but nothing that holds one of ``patterns``. ``say`` gets log lines.

    Raises UploadFailed, after ``seconds`` at the latest.
    """
    notes: list[str] = []  # said afterwards: the log is not for other threads
    if_none = attempt.artifact_rules.if_none
    try:
        found = await asyncio.to_thread(
            find_artifacts,
            workspace,
            attempt.artifacts,
            max_bytes=max_bytes,
            note=notes.append,
            say_empty=if_none != "ignore",
        )
    except ArtifactError as error:
        raise UploadFailed(str(error), [], retryable=False) from error
    finally:
        for note in notes:
            say(note)
    if not found and if_none == "fail":
        raise UploadFailed(_none_found(attempt), [], retryable=False, cause="artifacts_missing")
    done = _Round()
    groups, done.alone = apart(found)
    try:
        async with asyncio.timeout(seconds):
            async with asyncio.TaskGroup() as group:
                bundles = iter(groups)
                for _ in range(min(_BUNDLES_AT_ONCE, len(groups))):
                    group.create_task(_upload_bundles(control_plane, attempt, bundles, done, patterns))
            async with asyncio.TaskGroup() as group:
                queue = iter(done.alone)
                for _ in range(min(_AT_ONCE, len(done.alone))):
                    group.create_task(_upload_each(control_plane, attempt, queue, done, patterns))
    except TimeoutError:
        left = len(found) - len(done.stored) - len(done.secret)
        done.problems.append(f"{left} of {len(found)} files were not taken within {seconds:.0f} s")
    done.stored.sort(key=lambda artifact: artifact.path)
    say(f"[hybridci] {len(done.stored)} artifacts uploaded, {sum(artifact.size for artifact in done.stored)} bytes.")
    if done.secret:
        raise _secrets_inside(done, say)
    if done.problems:
        raise UploadFailed("Not all artifacts could be uploaded: " + "; ".join(done.problems[:5]), done.stored)
    return done.stored


def _none_found(attempt: AttemptInput) -> str:
    named = ", ".join(repr(pattern) for pattern in attempt.artifacts[:5])
    return (
        f"The job left none of its artifacts ({named}), and it says that this fails it (if_none: fail): correct the "
        "patterns, or the step that should make the files."
    )


async def _upload_bundles(
    control_plane: ControlPlane,
    attempt: AttemptInput,
    groups: Iterator[list[FoundArtifact]],
    done: _Round,
    patterns: Patterns | None,
) -> None:
    """What cannot go in a bundle is left for ``done.alone``, where each file is judged by itself."""
    for group in groups:
        if not done.takes_bundles:
            done.alone += group
            continue
        bundle = await asyncio.to_thread(make_bundle, group, patterns)
        done.secret += bundle.secret
        done.problems += bundle.problems
        done.alone += bundle.alone
        if not bundle.files:
            continue
        try:
            await _send_bundle(control_plane, attempt, bundle)
        except RequestRefused as error:
            done.takes_bundles = error.status not in _NO_BUNDLES
            done.alone += bundle.files
        else:
            done.stored += bundle.refs


async def _send_bundle(control_plane: ControlPlane, attempt: AttemptInput, bundle: Bundle) -> None:
    backoff = Backoff(f"Uploading {len(bundle.files)} artifacts of job {attempt.job_id}")
    while True:
        try:
            await control_plane.put_artifact_bundle(
                attempt.job_id, attempt.attempt, bundle.body, sha256=bundle.sha256, key=attempt.delivery_key
            )
        except ApiUnreachable as error:
            await asyncio.sleep(backoff.failed(error))
        else:
            return


def _secrets_inside(done: _Round, say: Callable[[str], None]) -> UploadFailed:
    for path in sorted(done.secret):
        say(f"[hybridci] The artifact {path!r} is not uploaded: it or its name contains a secret.")
    named = ", ".join(repr(path) for path in sorted(done.secret)[:5])
    message = (
        f"{len(done.secret)} artifacts contain a secret of the job and were not uploaded: {named}. Leave the secret "
        "out of what the job writes, or those files out of its artifacts; the secret stayed on the agent's host."
    )
    return UploadFailed(message, done.stored, retryable=False, cause="artifact_contains_secret")


async def _upload_each(
    control_plane: ControlPlane,
    attempt: AttemptInput,
    queue: Iterator[FoundArtifact],
    done: _Round,
    patterns: Patterns | None,
) -> None:
    for artifact in queue:
        try:
            done.stored.append(await _upload(control_plane, attempt, artifact, patterns))
        except ContainsSecret:
            done.secret.append(artifact.path)
        except (ArtifactError, RequestRefused, OSError) as error:
            done.problems.append(f"{artifact.path}: {error}")


async def _upload(
    control_plane: ControlPlane, attempt: AttemptInput, artifact: FoundArtifact, patterns: Patterns | None
) -> ArtifactRef:
    with open_artifact(artifact) as file:
        await asyncio.to_thread(require_no_secret, patterns, artifact.path, file)
        backoff = Backoff(f"Uploading {artifact.path} of job {attempt.job_id}")
        file.seek(0)
        size, sha256 = await asyncio.to_thread(_measure, file)
        while True:
            file.seek(0)
            try:
                await control_plane.put_artifact(
                    attempt.job_id,
                    attempt.attempt,
                    artifact.path,
                    _pieces(file, patterns),
                    size=size,
                    sha256=sha256,
                    executable=artifact.executable,
                    key=attempt.delivery_key,
                )
            except ApiUnreachable as error:
                await asyncio.sleep(backoff.failed(error))
                continue
            return ArtifactRef(path=artifact.path, size=size, sha256=sha256, executable=artifact.executable)


def _measure(file: BinaryIO) -> tuple[int, str]:
    """The size and digest of what will be sent: the file can have changed since it was found."""
    digest, size = hashlib.sha256(), 0
    while piece := file.read(_PIECE):
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest()


async def _pieces(file: BinaryIO, patterns: Patterns | None) -> AsyncIterator[bytes]:
    """Guarded once more: a process that was left could write into the file while it is sent."""
    guard = SecretGuard(patterns)
    while piece := await asyncio.to_thread(file.read, _PIECE):
        if clean := guard.feed(piece):
            yield clean
    if rest := guard.flush():
        yield rest
