"""What git knows of the folder that `hybridci init` stands in: its top, its address, its branch, a name.

Deliberately not here: what the repository is made of (``guesses``).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import TypeAdapter, ValidationError

from api.cli.beginning.project_name import project_name
from api.cli.client.connection import USAGE, CliError
from api.cli.client.git import ask_git
from workflows.contracts.fields import INCOMING, GitRef, Repository

HERE: Final = "."
_LONGEST_NAME: Final = 48
_REPOSITORY: Final[TypeAdapter[str]] = TypeAdapter(Repository)
_REF: Final[TypeAdapter[str]] = TypeAdapter(GitRef)


@dataclass(frozen=True, slots=True)
class Repo:
    """``address`` is ``.`` where nobody else could be told one. ``why`` says whence it is, ``named_by`` whence the
    name.
    """

    top: Path
    address: str
    why: str
    branch: str | None
    name: str
    named_by: str


def look(folder: Path) -> Repo:
    """Raises CliError where there is no repository."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top is None:
        raise CliError(
            f"{folder} is in no git repository with a work tree: run `git init` and commit something, or go to one.",
            USAGE,
        )
    root = Path(top)
    address, why = _address(_git(root, "remote", "get-url", "origin"))
    fallback = (name_of(address, root), "the folder" if address == HERE else "git_repo")
    name, named_by = project_name(root) or fallback
    return Repo(root, address, why, _branch(root, at_origin=address != HERE), name, named_by)


def name_of(address: str, top: Path) -> str:
    """A service's name from the end of its address, or from its folder."""
    last = top.name if address == HERE else re.split(r"[/:]", address.rstrip("/"))[-1].removesuffix(".git")
    plain = re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")
    return plain[:_LONGEST_NAME].strip("-") or "service"


def without_credentials(address: str) -> str:
    """An address without what may be a secret: whoever clones has credentials of their own. Empty for what is none."""
    try:
        parts = urlsplit(address)
    except ValueError:  # a host in brackets that is none
        return ""
    if parts.scheme not in {"http", "https"} or "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _address(origin: str | None) -> tuple[str, str]:
    if not origin:
        return HERE, "there is no remote named origin"
    plain = without_credentials(origin)
    try:
        _REPOSITORY.validate_python(plain, context=INCOMING)
    except ValidationError:
        return HERE, "origin is no address that others can use"
    return plain, "git remote get-url origin" + ("" if plain == origin else ", without its credentials")


def _branch(top: Path, *, at_origin: bool) -> str | None:
    found = None
    if at_origin:
        head = _git(top, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
        found = head.removeprefix("origin/") if head else None
    found = found or _git(top, "symbolic-ref", "--quiet", "--short", "HEAD")
    try:
        return None if found is None else _REF.validate_python(found, context=INCOMING)
    except ValidationError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    done = ask_git(folder, *arguments)
    return done.stdout.strip() or None if done.returncode == 0 else None
