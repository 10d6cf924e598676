"""Git as the command line asks it: it reads, and runs nothing that a repository's own settings name.

The folder may be somebody else's clone, and a folder in it may hold what git takes for a bare repository: committed
files, settings among them. So no such repository is found by looking for one, only where it is named; filters, hooks
and the monitor of files of a repository do not run, and what a partial clone lacks is not fetched.
A server is asked with the user's own settings, not with those of the folder one stands in.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.cli.client.connection import USAGE, CliError
from api.cli.client.git_settings import INHERITED, LOCAL, OPTIONS

_SECONDS: Final = 60
_NOWHERE: Final = {"GIT_DIR": "/nonexistent"}
_OF_REPOSITORY: Final = frozenset({"local", "worktree"})
_OFF: Final = {"clean": "", "smudge": "", "process": "", "required": "false"}

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True)
class LocalRepository:
    """``top``: of its work tree; of a ``bare`` one itself."""

    top: Path
    bare: bool

    @classmethod
    def at(cls, folder: Path) -> "LocalRepository":
        """The repository that a folder is, or that it is in; a bare one only at its own folder. Raises CliError."""
        found = ask_git(folder, "rev-parse", "--show-toplevel")
        if found.returncode == 0:
            return cls(Path(found.stdout.removesuffix("\n")), bare=False)
        for inside in (".", ".git"):
            if ask_git(folder, "rev-parse", "--resolve-git-dir", inside).returncode == 0:
                return cls((folder / inside).resolve(), bare=True)
        said = said_of(found)
        if "safe.bareRepository" in said:
            raise CliError(f"{folder} is in a bare repository: give that one's own folder or its file:// URL.", USAGE)
        raise CliError(f"{folder} is not a git repository ({said}).", USAGE)

    def ask(self, *arguments: str) -> Done:
        """What git says here, whatever its exit code. Raises CliError when git is not there, or does not answer."""
        return ask_git(self.top, *arguments, options=(f"--git-dir={self.top}",) if self.bare else ())

    def changes(self, *without: str) -> int:
        """How many files are not as committed; ``without``: pathspecs. 0 where git cannot tell. Submodules count by
        their commits: inside them their own settings would hold.
        """
        filters = self._filters()
        if self.bare or filters is None:
            return 0
        words = ("status", "--porcelain", "--no-renames", "--ignore-submodules=dirty", "--", ".", *without)
        done = ask_git(self.top, *words, env=filters)
        return len(done.stdout.splitlines()) if done.returncode == 0 else 0

    def _filters(self) -> dict[str, str] | None:
        """Settings in which the repository's own filters run nothing; None where git cannot list them."""
        listed = self.ask("config", "--show-scope", "--null", "--name-only", "--get-regexp", r"^filter\.")
        if listed.returncode not in {0, 1}:
            return None
        words = listed.stdout.split("\0")
        listed_at = zip(words[:-1:2], words[1::2], strict=True)
        own = {name.rpartition(".")[0] for scope, name in listed_at if scope in _OF_REPOSITORY}
        before = os.environ.get("GIT_CONFIG_COUNT", "")
        env: dict[str, str] = {}
        count = int(before) if before.isdecimal() else 0
        for name, value in ((f"{each}.{key}", value) for each in sorted(own) for key, value in _OFF.items()):
            env |= {f"GIT_CONFIG_KEY_{count}": name, f"GIT_CONFIG_VALUE_{count}": value}
            count += 1
        return {**env, "GIT_CONFIG_COUNT": str(count)} if env else {}


def ask_git(
    folder: Path | None, *arguments: str, options: Sequence[str] = (), env: dict[str, str] | None = None
) -> Done:
    """What git says in a folder (None: here) of what is on this machine. Raises CliError as ``LocalRepository.ask``."""
    return _run(folder, [*options, *arguments], arguments[0], {**LOCAL, **(env or {})})


def ask_elsewhere(*arguments: str) -> Done:
    """What git says of a server's repository. Raises CliError as ``LocalRepository.ask``."""
    return _run(None, arguments, arguments[0], _NOWHERE)


def said_of(done: Done) -> str:
    """What git said that went wrong, in one line."""
    return " ".join(done.stderr.split()).removeprefix("fatal: ")


def _run(folder: Path | None, arguments: Sequence[str], command: str, more: dict[str, str]) -> Done:
    env = {name: value for name, value in os.environ.items() if name not in INHERITED} | more
    if not sys.stdin.isatty():  # a question for a password would wait for ever
        env["GIT_TERMINAL_PROMPT"] = "0"
    try:
        return subprocess.run(
            ["git", *OPTIONS, *arguments], cwd=folder, env=env, capture_output=True, text=True, errors="replace",
            timeout=_SECONDS, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise CliError(
            "git is not installed, and this needs it. Install git, or give every git field in --file.", USAGE
        ) from None
    except subprocess.TimeoutExpired:
        raise CliError(
            f"`git {command}` did not answer within {_SECONDS} s. Try again, or give --commit.", USAGE
        ) from None
    except OSError as error:
        raise CliError(f"git cannot be run in {folder or Path()} ({error.strerror}).", USAGE) from None
