"""Is a commit on a branch, as the server has that branch now? Asked with the agent's own credentials.

Only objects count: no grafts, no replacements, no commit graph that somebody has written beside them; and a branch is
asked for by its whole name, for a tag of the same name would come first. A copy of a shallow clone can say no where the
whole history says yes, never the other way round.
"""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.git.cache import GitCache, WantedCommit
from agent.git.command import GitCall, checkout_environment, git
from agent.git.errors import CheckoutError, explain, redact
from workflows.contracts.attempts import NOT_ON_REF

_BRANCHES: Final = "refs/heads/"


async def require_on_ref(cache: GitCache, call: GitCall, wanted: WantedCommit, ref: str, *, workspace: Path) -> str:
    """The head of ``ref``, of which the commit is an ancestor, or which it is. ``workspace`` borrows from the copy.

    Raises CheckoutError, ``commit_not_on_ref`` when it is not there.
    """
    whole = ref if ref.startswith("refs/") else f"{_BRANCHES}{ref}"
    head = await cache.head(call, wanted, whole)
    if head is None:
        raise _missing(wanted, f"{redact(wanted.repo)} has no branch {ref}.")
    # In the workspace's own repository: a job could have written into the copy's settings.
    with suppress(FileNotFoundError):  # a clone of somebody's shallow clone, which has just been fetched into
        shutil.copyfile(cache.path(wanted) / "shallow", workspace / ".git" / "shallow")
    env = checkout_environment(git_dir=workspace / ".git")
    arguments = ["-c", "core.commitGraph=false", "merge-base", "--is-ancestor", wanted.sha, head]
    code, said = await git(call, arguments, cwd=workspace, env=env)
    if code == 1:
        raise _missing(wanted, f"it is not on {ref}, whose head is {head[:12]}.")
    if code != 0:
        raise explain(said, f"Looking for {wanted.sha} on {ref}")
    return head


def _missing(wanted: WantedCommit, why: str) -> CheckoutError:
    return CheckoutError(NOT_ON_REF, f"Commit {wanted.sha[:12]}: {why}", retryable=False)
