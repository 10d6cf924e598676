"""What differs between two commits, at the forge that has them: an address made of nothing that could lead elsewhere.

Only for HTTPS remotes of forges that are known by their host's name; without a name, a password or a port of somebody's
own. Deliberately not here: whether the commits are there.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){2,10}")
_SHA: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FORGES: Final[Mapping[str, Callable[[str, str], str]]] = {
    "github": lambda old, new: f"/compare/{old}...{new}",
    "gitlab": lambda old, new: f"/-/compare/{old}...{new}",
    "gitea": lambda old, new: f"/compare/{old}...{new}",
    "forgejo": lambda old, new: f"/compare/{old}...{new}",
    "codeberg": lambda old, new: f"/compare/{old}...{new}",
    "bitbucket": lambda old, new: f"/branches/compare/{new}..{old}",
}


def comparison(git_repo: str, old: str | None, new: str) -> str | None:
    """Where ``new`` is compared with ``old``; None where nobody knows, or it is the same."""
    base, forge = _base(git_repo)
    if base is None or forge is None or old is None or old == new or not (_SHA.fullmatch(old) and _SHA.fullmatch(new)):
        return None
    return f"{base}{_FORGES[forge](old, new)}"


def commit_page(git_repo: str, commit: str) -> str | None:
    """The page of one commit; None where nobody knows."""
    base, forge = _base(git_repo)
    if base is None or forge is None or not _SHA.fullmatch(commit):
        return None
    return f"{base}/{'commits' if forge == 'bitbucket' else '-/commit' if forge == 'gitlab' else 'commit'}/{commit}"


def _base(git_repo: str) -> tuple[str | None, str | None]:
    try:
        parts = urlsplit(git_repo)
        plain = parts.scheme == "https" and parts.port is None
    except ValueError:
        return None, None
    host, path = parts.netloc.lower(), parts.path.rstrip("/").removesuffix(".git")
    if not plain or parts.query or parts.fragment or not _HOST.fullmatch(host) or not _PATH.fullmatch(path):
        return None, None
    forge = next((name for name in _FORGES if name in re.split(r"[.-]", host)), None)
    return (None, None) if forge is None else (f"https://{host}{path}", forge)
