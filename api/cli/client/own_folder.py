"""Whether a data directory that was found, not named, is one that `hybridci up` made for whoever works here.

It may as well have come with somebody else's repository: with keys that they know, a Temporal whose jobs they wrote, an
address that is theirs. What `up` makes is for its owner only, without links, and no repository's.
Deliberately not here: a folder that somebody names, who says so that it is theirs.
"""

import os
import stat
import subprocess
from pathlib import Path
from typing import Final

from api.cli.client.git_settings import INHERITED, LOCAL, OPTIONS

_SECONDS: Final = 60


def foreign_part(folder: Path) -> Path | None:
    """The part of it that is not as `up` makes it (its owner's alone, no link); None when all is."""
    for path in (folder, folder / "endpoint.json", folder / "admin.key"):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            return path
    return None


def came_with_a_repository(folder: Path) -> bool:
    """Whether git keeps something of it: a clone that was made with a narrow umask is its owner's alone as well."""
    env = {name: value for name, value in os.environ.items() if name not in INHERITED} | LOCAL
    words = ["git", *OPTIONS, "--literal-pathspecs", "ls-files", "-z", "--", folder.name]
    try:
        listed = subprocess.run(
            words, cwd=folder.absolute().parent, env=env, capture_output=True, timeout=_SECONDS, check=False
        )
    except OSError:  # without git there is no clone
        return False
    except subprocess.TimeoutExpired:
        return True
    return listed.returncode == 0 and bool(listed.stdout)
