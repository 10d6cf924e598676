"""Files of other jobs, fetched into the workspace before the first step, each whole and of the size and digest that the
record says.

The workspace holds what a commit says, so no link in it is followed on the way to a file. Deliberately not here: which
files they are, and who may have them (``api.jobs.inputs``).
"""

import asyncio
import contextlib
import hashlib
import os
import secrets as randomness
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.control.api import ApiUnreachable, Backoff, ControlPlane, RequestRefused
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.workspace.inputs import InputFile, InputFileList

_FETCH_SECONDS: Final = 600.0
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class InputsFailed(Exception):
    """They are not all there; the message says why. ``cause`` is the result's; ``retryable`` as there."""

    def __init__(self, message: str, *, cause: str = "inputs_missing", retryable: bool = False) -> None:
        super().__init__(message)
        self.cause, self.retryable = cause, retryable


async def fetch_inputs(
    control_plane: ControlPlane, attempt: AttemptInput, workspace: Path, say: Callable[[str], None]
) -> None:
    """All of them. Raises InputsFailed, and OSError for what is the agent's own disk."""
    until = time.monotonic() + min(_FETCH_SECONDS, attempt.timeout_seconds)
    listed = await _listed(control_plane, attempt, until)
    if listed.missing or (attempt.inputs and not listed.items):
        why = "; ".join(listed.missing[:5]) or "the API names none"
        raise InputsFailed(f"Files of other jobs that the job begins with are not there: {why}.")
    for file in listed.items:
        await _fetched(control_plane, attempt, workspace, file, until)
    count, size = len(listed.items), sum(file.size for file in listed.items)
    say(f"[hybridci] {count} {'file' if count == 1 else 'files'} of other jobs, {size} bytes.")


async def _listed(control_plane: ControlPlane, attempt: AttemptInput, until: float) -> InputFileList:
    backoff = Backoff("the list of a job's inputs")
    while True:
        try:
            return await control_plane.list_inputs(attempt.job_id, attempt.attempt, key=attempt.delivery_key)
        except RequestRefused as error:
            raise InputsFailed(f"The API does not hand out files of other jobs to this attempt: {error}") from error
        except ApiUnreachable as error:
            await _wait(backoff, error, until)


async def _fetched(
    control_plane: ControlPlane, attempt: AttemptInput, workspace: Path, file: InputFile, until: float
) -> None:
    backoff = Backoff("a job's inputs")
    while True:
        try:
            return await _once(control_plane, attempt, workspace, file)
        except RequestRefused as error:
            raise InputsFailed(f"{file.path} of another job could not be had: {error}") from error
        except ApiUnreachable as error:
            await _wait(backoff, error, until)


async def _wait(backoff: Backoff, error: Exception, until: float) -> None:
    pause = backoff.failed(error)
    if time.monotonic() + pause > until:
        raise InputsFailed(
            f"Files of other jobs could not be fetched in time: {error}", cause="inputs_unreachable", retryable=True
        ) from error
    await asyncio.sleep(pause)


async def _once(control_plane: ControlPlane, attempt: AttemptInput, workspace: Path, file: InputFile) -> None:
    folder, name = _opened_folder(workspace, file.to)
    temporary = f".hybridci-{randomness.token_hex(8)}"
    digest, count = hashlib.sha256(), 0
    try:
        mode = 0o755 if file.executable else 0o644
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=folder)
        try:
            with os.fdopen(handle, "wb") as target:

                def write(piece: bytes) -> None:
                    nonlocal count
                    count += len(piece)
                    if count > file.size:
                        raise _altered(file)
                    digest.update(piece)
                    target.write(piece)

                await control_plane.read_input(attempt.job_id, attempt.attempt, file, write, key=attempt.delivery_key)
            if count != file.size or digest.hexdigest() != file.sha256:
                raise _altered(file)
            _put_in_place(folder, temporary, name, file)
        except BaseException:
            _forget(folder, temporary)
            raise
    finally:
        os.close(folder)


def _altered(file: InputFile) -> InputsFailed:
    return InputsFailed(
        f"{file.path} of another job is not what its record says (size or SHA-256 differ): run that job again."
    )


def _opened_folder(workspace: Path, to: str) -> tuple[int, str]:
    """The folder that gets the file, made where it is not there, reached without following a link."""
    *folders, name = to.split("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in (*folders, name)):
        raise InputsFailed(f"The API names a file {to!r}, which is no path inside the workspace.")
    if any(part.casefold() == ".git" for part in (*folders, name)):
        raise InputsFailed(f"{to} is of a repository's own folder: git would run what such files say.")
    handle = os.open(workspace, _FOLDER)
    try:
        for part in folders:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=handle)
            try:
                inner = os.open(part, _FOLDER, dir_fd=handle)
            except OSError as error:
                raise InputsFailed(
                    f"{to} cannot be put into the workspace: the commit has a file or a link at {part}."
                ) from error
            os.close(handle)
            handle = inner
    except BaseException:
        os.close(handle)
        raise
    return handle, name


def _put_in_place(folder: int, temporary: str, name: str, file: InputFile) -> None:
    try:
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except (IsADirectoryError, NotADirectoryError) as error:
        raise InputsFailed(f"{file.to} cannot be put into the workspace: the commit has a folder there.") from error


def _forget(folder: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
