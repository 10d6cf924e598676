"""Repositories that borrow their objects from the agent's copy: what is done in one never changes the copy, and what a
job has written into the copy's settings counts for nothing there.

Made by hand from git's own template: four small files instead of another process.
"""

import re
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.git.cache import GitCache, WantedCommit
from agent.git.command import GitCall, checkout_environment, git
from agent.git.errors import explain
from agent.git.partial import promised


@dataclass(frozen=True, slots=True)
class _Template:
    """A fresh repository's ``config`` and HEAD, as git makes them for this file system."""

    config: str
    head: str


class Borrowed:
    """Makes them. ``folder`` is for its own short work."""

    def __init__(self, cache: GitCache, folder: Path) -> None:
        self._cache, self._folder = cache, folder
        self._templates: dict[str, _Template] = {}

    async def prepare(self, call: GitCall, workspace: Path, wanted: WantedCommit) -> None:
        """A ``.git`` in ``workspace`` that borrows from the copy of this repository, which need not be there yet.

        Raises CheckoutError, OSError.
        """
        template = self._templates.get(wanted.object_format) or await self._make_template(call, wanted.object_format)
        folder = workspace / ".git"
        (folder / "objects" / "info").mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "HEAD").write_text(template.head)
        (folder / "config").write_text(template.config + _remote(wanted.repo) + _promise(wanted))
        (folder / "objects" / "info" / "alternates").write_text(f"{self._cache.path(wanted) / 'objects'}\n")

    async def _make_template(self, call: GitCall, object_format: str) -> _Template:
        folder = Path(tempfile.mkdtemp(prefix="template-", dir=self._folder))
        try:
            arguments = ["init", "--quiet", "--template=", f"--object-format={object_format}"]
            env = checkout_environment(git_dir=folder / ".git", work_tree=folder)
            del env["GIT_WORK_TREE"]
            code, said = await git(call, arguments, cwd=folder, env=env)
            if code != 0:
                raise explain(said, "Preparing a workspace")
            template = _Template((folder / ".git/config").read_text(), (folder / ".git/HEAD").read_text())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._templates[object_format] = template
        return template


def borrow_ends(cache: GitCache, wanted: WantedCommit, workspace: Path) -> bool:
    """Where the copy's history ends early, it ends there too: a clone of somebody's shallow clone. True if it does."""
    shallow = workspace / ".git" / "shallow"
    with suppress(FileNotFoundError):
        shutil.copyfile(cache.path(wanted) / "shallow", shallow)
    return shallow.exists()


def _promise(wanted: WantedCommit) -> str:
    """Of what the copy lacks, git says that ``origin`` has it, and asks there: with the step's credentials."""
    return "" if wanted.filter is None else promised(wanted.filter)


def _remote(repo: str) -> str:
    """``origin`` for the user's own git commands, without a password, for steps can read this file."""
    url = re.sub(r"^(https?://)[^/@]+@", r"\1", repo).replace("\\", "\\\\").replace('"', '\\"')
    return f'[remote "origin"]\n\turl = "{url}"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'
