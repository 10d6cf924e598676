"""Is a commit on a branch, as the server has that branch now? Asked with the agent's own credentials.

Only objects count: no grafts, no replacements, no commit graph that somebody has written beside them; and a branch is
asked for by its whole name, for a tag of the same name would come first. A copy of a shallow clone can say no where the
whole history says yes, never the other way round.
"""

from pathlib import Path
from typing import Final

from agent.git.borrowed import borrow_ends
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
    borrow_ends(cache, wanted, workspace)  # again: the copy has just been fetched into
    found, said = await is_ancestor(call, workspace, wanted.sha, head)
    if found is None:
        raise explain(said, f"Looking for {wanted.sha} on {ref}")
    if not found:
        raise _missing(wanted, f"it is not on {ref}, whose head is {head[:12]}.")
    return head


async def is_ancestor(
    call: GitCall, workspace: Path, ancestor: str, descendant: str, *, quiet: bool = False
) -> tuple[bool | None, str]:
    """Whether one commit is an ancestor of the other, or the same, and what git said. None: it cannot tell, since one
    of them is not there. ``workspace`` borrows from the agent's copy.
    """
    env = checkout_environment(git_dir=workspace / ".git")
    arguments = ["-c", "core.commitGraph=false", "merge-base", "--is-ancestor", ancestor, descendant]
    code, said = await git(call, arguments, cwd=workspace, env=env, quiet=quiet)
    return {0: True, 1: False}.get(code), said


def _missing(wanted: WantedCommit, why: str) -> CheckoutError:
    return CheckoutError(NOT_ON_REF, f"Commit {wanted.sha[:12]}: {why}", retryable=False)
