"""Who wrote a commit and who committed it, as git has them: what whoever made the commit says, and nobody checks.

Read before a step runs, from the workspace's own repository. Deliberately not here: who these people are, and what they
may not do then (``workflows.deployment.rules.approvals``); trailers (``Co-authored-by``) and the commits that a merge
brings.
"""

from pathlib import Path
from typing import Final

from agent.git.command import GitCall, checkout_environment, git_output
from agent.git.errors import explain, redact
from workflows.contracts.identity.people import GitPeople, GitPerson

_EDGE: Final = "\x01"
"""What git says beside it (a warning) stands outside."""
_FORMAT: Final = "--format=%x01%an%x00%ae%x00%cn%x00%ce%x01"
_MAX_BYTES: Final = 32 * 1024
_AS_UTF_8: Final = ("-c", "i18n.logOutputEncoding=UTF-8", "-c", "log.showSignature=false")


async def read_people(call: GitCall, sha: str, *, workspace: Path) -> GitPeople | None:
    """Whom the commit names; None where they cannot be told apart. Raises CheckoutError."""
    arguments = [*_AS_UTF_8, "show", "--no-patch", "--no-color", _FORMAT, sha, "--"]
    env = checkout_environment(git_dir=workspace / ".git")
    code, said, _ = await git_output(call, arguments, cwd=workspace, env=env, max_bytes=_MAX_BYTES)
    text = said.decode(errors="replace")
    if code != 0:
        raise explain(redact(text), f"Reading who wrote {sha}")
    parts = text[text.find(_EDGE) + 1 : text.rfind(_EDGE)].split("\0")
    if len(parts) != 4:
        return None
    author, address, committer, its_address = parts
    return GitPeople(
        author=GitPerson(name=author, address=address), committer=GitPerson(name=committer, address=its_address)
    )
