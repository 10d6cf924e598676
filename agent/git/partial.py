"""Partial copies of repositories: what of a commit is not here yet, and what git needs to know to bear with the rest.

What a filter left out is promised by a remote that git takes for able to hand it out later. The agent fetches what a
checkout needs before it writes it, in a few requests; git by itself would ask for it within the checkout.
"""

from pathlib import Path
from typing import Final

from agent.git.command import GitCall, checkout_environment, git_output
from agent.git.errors import CheckoutError

PARTIAL: Final = "origin"
"""The remote that promises."""
ONLY_THESE: Final = ("-c", "fetch.negotiationAlgorithm=noop")
"""Ask for these objects whatever is here: their commits are."""
_MOST_BYTES: Final = 128 << 20


def promised(filter: str) -> str:
    """Of the remote's section in a repository's settings."""
    return f"\tpromisor = true\n\tpartialclonefilter = {filter}\n"


async def missing_objects(call: GitCall, copy: Path, sha: str) -> bytes:
    """Ids, one a line, of what the commit has and the copy lacks. Raises CheckoutError."""
    arguments = ["rev-list", "--objects", "--no-walk", "--missing=print", "--quiet", sha, "--"]
    env = checkout_environment(git_dir=copy)
    code, said, cut = await git_output(call, arguments, cwd=copy, env=env, max_bytes=_MOST_BYTES)
    if code != 0 or cut:
        why = "it has too many files" if cut else "git cannot tell"
        raise CheckoutError("checkout_failed", f"What {sha} lacks cannot be listed: {why}.", retryable=not cut)
    return b"".join(line[1:] + b"\n" for line in said.splitlines() if line.startswith(b"?"))
