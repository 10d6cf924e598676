"""The submodules of a workspace: which there are, at which commit and from where, as its index and ``.gitmodules`` say.

All of it is the commit's word, so nothing is believed: no path that leaves the workspace, no address of a kind that the
agent may not use, and none of this host's own files from a repository that came from elsewhere. Deliberately not here:
checking them out, one like another (``checkout``).
"""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.git.command import GitCall, checkout_environment, git_output
from agent.git.errors import CheckoutError, redact

MOST: Final = 200
"""Of one repository."""
DEEPEST: Final = 10
"""How far submodules may have submodules."""
_MAX_BYTES: Final = 8 << 20
_LINK: Final = re.compile(rb"160000 ([0-9a-f]{40}|[0-9a-f]{64}) 0\t(.+)", re.DOTALL)
_SETTING: Final = re.compile(r"submodule\.(.+)\.(path|url)", re.DOTALL)
_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_PASSWORD: Final = re.compile(r"^(https?://)[^/@]+@", re.IGNORECASE)
_SCP: Final = re.compile(r"(?P<host>[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:)(?P<path>.+)")


@dataclass(frozen=True, slots=True)
class Submodule:
    """``path`` is relative to the repository that has it; ``url`` is whole."""

    name: str
    path: str
    url: str
    sha: str


async def submodules_of(call: GitCall, workspace: Path, repo: str) -> list[Submodule]:
    """Those that the commit in ``workspace`` has, which came from ``repo``. Raises CheckoutError."""
    env = checkout_environment(git_dir=workspace / ".git", work_tree=workspace)
    listed = await _ask(call, ["ls-files", "--stage", "-z"], workspace, env)
    links = {
        path.decode(errors="surrogateescape"): sha.decode("ascii")
        for entry in listed.split(b"\0")
        if (match := _LINK.fullmatch(entry)) is not None
        for sha, path in [match.groups()]
    }
    if not links:
        return []
    if len(links) > MOST:
        raise _refused(f"{redact(repo)} has {len(links)} submodules; at most {MOST} are checked out.")
    # Of the commit and not of the file: a link in its place would lead elsewhere.
    settings = await _ask(call, ["config", "--blob", "HEAD:.gitmodules", "--list", "-z"], workspace, env)
    said = _settings(settings)
    return [_submodule(repo, path, sha, said) for path, sha in links.items()]


async def _ask(call: GitCall, arguments: Sequence[str], workspace: Path, env: dict[str, str]) -> bytes:
    code, said, cut = await git_output(call, arguments, cwd=workspace, env=env, max_bytes=_MAX_BYTES)
    if code != 0 or cut:
        raise _refused("The commit's submodules cannot be read: its .gitmodules is missing, damaged or too large.")
    return said


def _settings(listed: bytes) -> dict[str, dict[str, str]]:
    """Path and URL by the submodule's name; the last word counts, as for git."""
    found: dict[str, dict[str, str]] = {}
    for entry in listed.decode(errors="surrogateescape").split("\0"):
        key, _, value = entry.partition("\n")
        if (match := _SETTING.fullmatch(key)) is not None:
            found.setdefault(match[1], {})[match[2]] = value
    return found


def _submodule(repo: str, path: str, sha: str, said: dict[str, dict[str, str]]) -> Submodule:
    name, url = next(((name, each.get("url")) for name, each in said.items() if each.get("path") == path), (path, None))
    if url is None:
        raise _refused(f"The commit has a submodule at {path!r} for which its .gitmodules names no url.")
    parts = path.split("/")
    if any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts) or not (path + name).isprintable():
        raise _refused(f"The commit has a submodule at {path!r}, which is no path inside the workspace.")
    whole = resolved(repo, url)
    if whole.lower().startswith("file:") and not repo.lower().startswith("file:"):
        raise _refused(f"The submodule at {path!r} names a folder of the agent's host ({redact(whole)}): not taken.")
    return Submodule(name, path, whole, sha)


def resolved(repo: str, url: str) -> str:
    """``../lib.git`` is meant from the repository's own address."""
    if not url.startswith(("./", "../")):
        return f"file://{url}" if url.startswith("/") else url
    scp = None if _URL.match(repo) else _SCP.fullmatch(repo)
    if scp is not None:
        return scp["host"] + _joined(scp["path"], url).lstrip("/")
    scheme, _, rest = repo.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host}{slash}{_joined(slash + path, url).lstrip('/')}"


def _joined(path: str, url: str) -> str:
    """Above the root there is nothing more to go up to."""
    return posixpath.normpath(posixpath.join("/", path.strip("/"), url))


def require_own_place(workspace: Path, path: str) -> None:
    """No link on the way: where names differ by case only, a commit can have one there. Raises CheckoutError."""
    place = workspace
    for part in path.split("/"):
        place /= part
        if place.is_symlink():
            raise _refused(f"The commit has a submodule at {path!r}, and a link on the way there.")


def make_known(workspace: Path, found: Sequence[Submodule]) -> None:
    """So that the steps' own git takes them for initialised (``git submodule status``, ``foreach``). Raises OSError."""
    with (workspace / ".git" / "config").open("a", encoding="utf-8", errors="surrogateescape") as file:
        for each in found:
            url = _PASSWORD.sub(r"\1", each.url)
            file.write(f'[submodule "{_quoted(each.name)}"]\n\tactive = true\n\turl = "{_quoted(url)}"\n')


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _refused(message: str) -> CheckoutError:
    return CheckoutError(
        "submodule_invalid", f"{message} Correct the commit, or leave `submodules` out.", retryable=False
    )
