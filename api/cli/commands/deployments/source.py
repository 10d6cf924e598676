"""Which commit `deploy start` deploys, and who wrote it: from options, a repository at hand, or the service's own.

Deliberately not here: asking git (``client.submit``) and validation, which is the API's and names every bad field at
once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from api.cli.client.connection import USAGE, CliError
from api.cli.client.submit import GitFields, find_commit, remote_git

_HERE: Final = "."
_WHOLE_SHA: Final = (40, 64)


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What was given on the command line; None for what was not. ``repo`` is a folder or a URL."""

    repo: str | None = None
    sha: str | None = None
    ref: str | None = None
    author: str | None = None
    message: str | None = None


def git_fields(options: SourceOptions, service_repo: Callable[[], str], warn: Callable[[str], None]) -> dict[str, Any]:
    """The git fields of the request. ``service_repo`` tells the service's repository, asked only when needed.

    Raises CliError with exit code 2 for what cannot be resolved.
    """
    found = _found(options, service_repo)
    for warning in found.warnings if found is not None else ():
        warn(warning)
    given = {
        "git_commit_sha": found.git_commit_sha if found else options.sha,
        "git_author": options.author or (found.git_author if found else None),
        "git_ref": found.git_ref if found else options.ref,
        "git_commit_message": options.message or (found.git_commit_message if found else None),
    }
    return {name: value for name, value in given.items() if value is not None}


def _found(options: SourceOptions, service_repo: Callable[[], str]) -> GitFields | None:
    """What git says; None when everything needed was given."""
    sha, ref = options.sha, options.ref
    whole = sha is not None and len(sha) in _WHOLE_SHA
    if options.repo is not None:
        return find_commit(options.repo, commit=sha, ref=ref)
    if whole and options.author is not None:
        return None
    try:
        return find_commit(_HERE, commit=sha, ref=ref)
    except CliError as error:
        # Not in a repository, or in one without that commit: a CI often has only a shallow copy, or none.
        if whole or (ref is not None and sha is None):
            return remote_git(service_repo(), commit=sha, ref=ref)
        raise CliError(
            f"{error.message} Say what to deploy: run it in the repository, or give --repo (a folder or a URL), --ref "
            "(a branch or tag of the service's repository), or --sha with all 40 digits.",
            USAGE,
        ) from None
