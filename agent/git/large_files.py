"""The files that LFS keeps: fetched with the agent's own credentials and put in the place of their pointers by git-lfs.

They are kept beside the agent's copy of the repository, so that a second job of a host loads none again, and go with
it. Deliberately not here: a protocol of our own; where git-lfs is not installed, that is said.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent.git.command import GitCall, fetch_environment, git
from agent.git.errors import CheckoutError, explain, redact

_STORE: Final = "lfs"


async def fetch_large_files(call: GitCall, workspace: Path, copy: Path, repo: str, protocols: Sequence[str]) -> None:
    """Raises CheckoutError; ``lfs_missing`` when this host has no git-lfs."""
    if shutil.which("git-lfs") is None:
        message = (
            "The job asks for LFS files (checkout: {lfs: true}), and this agent's host has no git-lfs: install it "
            "there, or name agents that have it with `requires`."
        )
        raise CheckoutError("lfs_missing", message, retryable=False)
    env = await fetch_environment(call, git_dir=workspace / ".git", protocols=protocols)
    # Not on the command line: git-lfs opens other repositories too, which would take both for their own.
    del env["GIT_DIR"]
    env["GIT_CEILING_DIRECTORIES"] = str(workspace.parent)
    for arguments in (
        ["lfs", "install", "--local", "--skip-repo"],
        ["config", "lfs.storage", str(copy / _STORE)],
        ["lfs", "pull"],
        ["config", "--unset", "lfs.storage"],  # what a step does with LFS stays in the workspace
    ):
        code, said = await git(call, arguments, cwd=workspace, env=env, quiet=arguments != ["lfs", "pull"])
        if code != 0:
            raise explain(said, f"Fetching the LFS files of {redact(repo)}")
