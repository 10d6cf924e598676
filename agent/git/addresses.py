"""What this agent takes for a repository, a commit and a ref: nothing that git could read as an option, a helper or a
range. The API checks it too; an agent trusts nobody.
"""

import re
from collections.abc import Sequence
from typing import Final

from agent.git.cache import WantedCommit
from agent.git.errors import CheckoutError, redact

_SHA: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF: Final = re.compile(r"(?!-)(?!.*(\.\.|@\{|//|\.lock$|/$|\.$))[^\s~^:?*\[\\\x00-\x20\x7f]+")
_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*)://(?!-)[^\s\x00-\x1f\x7f]+")
_SCP: Final = re.compile(r"(?!-)[A-Za-z0-9_.-]+@(?!-)[A-Za-z0-9.-]+:(?![:-])[^\s\x00-\x1f\x7f]+")


def require_usable(wanted: WantedCommit, protocols: Sequence[str]) -> None:
    """Raises CheckoutError."""
    scheme = match[1] if (match := _URL.fullmatch(wanted.repo)) else "ssh" if _SCP.fullmatch(wanted.repo) else None
    if scheme not in protocols or "::" in wanted.repo.split("/", 1)[0]:
        message = (
            f"{redact(wanted.repo)!r} is not a repository this agent may use: {', '.join(protocols)} only. "
            "Its operator may allow http and git with HYBRIDCI_AGENT_GIT_PROTOCOLS."
        )
        raise CheckoutError("repository_invalid", message, retryable=False)
    if not _SHA.fullmatch(wanted.sha):
        message = f"{wanted.sha!r} is not a commit id: 40 or 64 lower-case hexadecimal digits are needed."
        raise CheckoutError("unknown_commit", message, retryable=False)
    if wanted.ref is not None and not _REF.fullmatch(wanted.ref):
        message = f"{wanted.ref!r} is not a git reference: name a branch or a tag."
        raise CheckoutError("repository_invalid", message, retryable=False)
