"""Downloading artifacts: each whole or not at all, with its mode. One by its path, or all that a glob means."""

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import quote, unquote

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import JOBS, ApiClient
from api.cli.output import note, size
from api.wording import counted
from workflows.contracts.jobs import ArtifactRef
from workflows.contracts.statuses import JobStatus
from workflows.contracts.workspace.globs import means

_GLOB: Final = re.compile(r"[*?\[{]")


def newest_success(api: ApiClient, *, branch: str, job_type: str | None, repository: str | None) -> str:
    """The id of the newest job that succeeded and whose artifacts are there. Raises CliError when there is none."""
    filters = {"status": JobStatus.SUCCESS.value, "branch": branch, "job_type": job_type, "repository": repository}
    page = api.page(JOBS, filters, limit=1)
    if not page["items"]:
        kind = f" of type {job_type}" if job_type else ""
        whose = f" of repository {repository}" if repository else ""
        unnamed = [name for name, given in (("--repo", repository), ("--type", job_type)) if not given]
        more = f": name {' and '.join(unnamed)}" if unnamed else ""
        looked = f" among those that were looked at{more}" if page["stopped_early"] else ""
        raise CliError(f"No job{kind}{whose} of branch {branch} has succeeded{looked}.")
    return str(page["items"][0]["job_id"])


def download_artifacts(api: ApiClient, url: str, path: str, output: Path | None, attempt: int | None) -> None:
    """``path``: of one, or a glob, unless one is called so. Raises CliError when a glob means none."""
    listed: list[Any] = api.get(url, {"attempt": attempt})["items"] if _GLOB.search(path) else []
    found = [ref.path for ref in map(ArtifactRef.model_validate, listed)]
    if not listed or path in found:
        target = PurePosixPath(path).name if output is None else str(output)
        download_to(api, f"{url}/{quote(path, safe='/')}", attempt, target)
        return
    if str(output) == "-":
        raise CliError("Several files cannot go to stdout: name one, or a folder with -o.", USAGE)
    wanted = [each for each in found if means(path, each)]
    if not wanted:
        there = counted(len(found), "artifact")
        raise CliError(f"None of the job's {there} is meant by {path!r}; `job artifacts` lists them.")
    folder, count = output or Path(), 0
    for each in wanted:
        target = folder / _inside(each)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(target.parent, error) from None
        count += _to_file(api, f"{url}/{quote(each, safe='/')}", attempt, target)
    note(f"{folder}: {counted(len(wanted), 'file')}, {size(count)}")


def _inside(path: str) -> PurePosixPath:
    """As the API promises: a relative path that leads nowhere else."""
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise CliError(f"The API names an artifact {path!r}, which is no path inside a folder: it is not downloaded.")
    return PurePosixPath(*parts)


def download_to(api: ApiClient, url: str, attempt: int | None, target: str) -> None:
    """Stream to ``target`` (`-` is stdout). A file appears under its name only when it is complete."""
    if target == "-":
        with api.stream(url, {"attempt": attempt}) as pieces:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    if path.is_dir():
        path /= unquote(url.rsplit("/", 1)[-1])
    count = _to_file(api, url, attempt, path)
    note(f"{path}: {size(count)}")


def _to_file(api: ApiClient, url: str, attempt: int | None, path: Path) -> int:
    try:
        return _written(api, url, attempt, path)
    except OSError as error:
        raise _cannot_write(path, error) from None


def _written(api: ApiClient, url: str, attempt: int | None, path: Path) -> int:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:200]}.")
    temporary = Path(name)
    count = 0
    said: dict[str, str] = {}

    def told(headers: Mapping[str, str]) -> None:
        said.update({key.lower(): value for key, value in headers.items()})

    try:
        with os.fdopen(handle, "wb") as file, api.stream(url, {"attempt": attempt}, told=told) as pieces:
            for piece in pieces:
                file.write(piece)
                count += len(piece)
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod((0o777 if said.get("artifact-executable") == "true" else 0o666) & ~mask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return count


def _cannot_write(path: Path, error: OSError) -> CliError:
    return CliError(f"{path} cannot be written: {error.strerror}. Choose another place with -o.", USAGE)
