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
    env |= {"GIT_WORK_TREE": str(workspace), "GIT_LFS_SKIP_SMUDGE": "0"}
    here = ["-c", f"lfs.storage={copy / _STORE}", "-c", "lfs.concurrenttransfers=4"]
    code, said = await git(
        call, [*here, "lfs", "install", "--local", "--skip-repo"], cwd=workspace, env=env, quiet=True
    )
    if code == 0:
        code, said = await git(call, [*here, "lfs", "pull"], cwd=workspace, env=env)
    if code != 0:
        raise explain(said, f"Fetching the LFS files of {redact(repo)}")
