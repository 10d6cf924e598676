"""What git's messages mean: a cause for programs, a sentence with what to do for people. All pure.

Git has no error codes, so this is the one place that matches on text; it is run with ``LC_ALL=C``.
"""

import re
from typing import Final


class CheckoutError(Exception):
    """The commit could not be checked out.

    ``cause``: ``repository_unreachable``, ``repository_certificate``, ``repository_proxy``, ``repository_auth``,
    ``repository_not_found``, ``repository_moved``, ``repository_archived``, ``repository_owner``,
    ``repository_invalid``, ``unknown_commit``, ``ref_gone``, ``checkout_timeout``, ``disk_full``, ``checkout_failed``.
    """

    def __init__(self, cause: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.cause, self.message, self.retryable = cause, message, retryable


_PROXY: Final = (
    "correct HTTPS_PROXY (its user and password too) or NO_PROXY in the agent's environment, or http.proxy of its git "
    "configuration"
)
_OTHER_HOST: Final = re.compile(
    r"unable to access 'https?://(?:[^/@']*@)?([^/:']+)[^']*': Failed to connect to (\S+) port"
)
_DISK_FULL: Final = r"No space left on device|Disk quota exceeded"
# (pattern, cause, retryable, what happened, what to do next), in this order: git often says several things.
_MEANINGS: Final = (
    (_DISK_FULL, "disk_full", True, "the agent's disk is full", "free space on it, or move HYBRIDCI_AGENT_DIR"),
    (
        r"dubious ownership", "repository_owner", False, "the repository belongs to another user than the agent's",
        "run `git config --global --add safe.directory <path>` as the agent's user, or give it the repository",
    ),
    (
        r"transport '[^']*' not allowed", "repository_invalid", False, "this kind of URL is not allowed",
        "use https, ssh or file, or let the agent's operator allow it with HYBRIDCI_AGENT_GIT_PROTOCOLS",
    ),
    (
        r"certificate verif|certificate problem|certificate subject|no alternative certificate|SSL CA cert"
        r"|peer certificate|server's certificate|certificate has expired",
        "repository_certificate", False, "the agent does not trust the server's certificate",
        "name the file of its authority in GIT_SSL_CAINFO of the agent's environment or http.sslCAInfo of its git "
        "configuration; a certificate that is another host's or has expired the server has to renew",
    ),
    (
        r"CONNECT tunnel failed, response 4\d\d|HTTP code 4\d\d from proxy|Could not resolve proxy|returned error: 407"
        r"|authentication for proxy|Unsupported proxy",
        "repository_proxy", False, "the proxy refuses, or is none", _PROXY,
    ),
    (r"CONNECT tunnel failed|from proxy after CONNECT|Proxy CONNECT", "repository_proxy", True,
     "the proxy did not reach the repository", _PROXY),
    (
        r"returned error: 30[12378]|update url base from redirection|was moved to|has moved to",
        "repository_moved", False, "the repository has moved",
        "set git_repo to its new address",
    ),
    (
        r"returned error: (410|451)|(repository|project) (was|is|has been) (archived|disabled|locked|blocked)"
        r"|access to this repository has been (disabled|blocked)",
        "repository_archived", False, "its host hands the repository out no more: it was archived, disabled or removed",
        "restore it there, or name another one as git_repo",
    ),
    (
        r"Host key verification failed", "repository_auth", False, "the server's SSH key is not known to the agent",
        "add it to the known_hosts file of the agent's user",
    ),
    (
        r"Authentication failed|could not read (Username|Password)|Permission denied|Access denied"
        r"|returned error: 40[13]|terminal prompts disabled|Invalid username",
        "repository_auth", False, "the server refused the agent's credentials",
        "give the agent's user an SSH key or a git credential helper that may read it",
    ),
    (
        r"does not appear to be a git repository|repository '[^']*' not found|Repository not found|returned error: 404"
        r"|not a git repository|no such (file|path)|does not exist",
        "repository_not_found", False, "there is no such repository",
        "correct git_repo, or let the agent's user see it",
    ),
    (
        r"mismatched algorithms|unsupported object format|hash mismatch", "repository_invalid", False,
        "the commit id and the repository use different hash functions", "name a commit of this repository",
    ),
    (
        r"Could not resolve host|Connection (refused|reset|timed out|closed)|Failed to connect"
        r"|Could not read from remote|unable to (access|connect|look up)|early EOF|hung up|RPC failed|No route to host"
        r"|Network is unreachable|timed? ?out|returned error: (429|5\d\d)|SSL|TLS|unexpected disconnect",
        "repository_unreachable", True, "the repository did not answer", "see that the agent's host can reach it",
    ),
)  # fmt: skip


def explain(output: str, what: str) -> CheckoutError:
    """The error that git's output means; ``checkout_failed`` when it says nothing known. ``what``: what was tried."""
    said = _last_word(output)
    other = _OTHER_HOST.search(output)
    if other is not None and other[1].lower() != other[2].lower() and "redirecting to" not in output:
        message = f"{what} failed: the proxy {other[2]} does not answer (git: {said}); {_PROXY}."
        return CheckoutError("repository_proxy", message, retryable=True)
    for pattern, cause, retryable, why, then in _MEANINGS:
        if re.search(pattern, output, re.IGNORECASE):
            return CheckoutError(cause, f"{what} failed: {why} (git: {said}); {then}.", retryable=retryable)
    message = f"{what} failed (git: {said}); the log has all that git said."
    return CheckoutError("checkout_failed", message, retryable=True)


def invalid_tree(output: str) -> CheckoutError | None:
    """The error for a commit that git refuses to write (``.git`` in another spelling, ``..``), when it is one."""
    if not re.search(r"invalid path '|cannot create (directory|submodule)|File name too long", output, re.IGNORECASE):
        return None
    message = (
        f"The commit has a path that cannot be checked out safely (git: {_last_word(output)}); correct the commit."
    )
    return CheckoutError("repository_invalid", message, retryable=False)


def unknown_commit(repo: str, sha: str) -> CheckoutError:
    """The repository answered, and the commit is in none of its branches and tags."""
    message = (
        f"The repository {redact(repo)} hands out no commit {sha}: push it, or correct git_commit_sha; "
        "after a force push name a commit that still exists."
    )
    return CheckoutError("unknown_commit", message, retryable=False)


def ref_gone(repo: str, sha: str, ref: str) -> CheckoutError:
    """The repository answered, has no such branch or tag, and the commit is in no other."""
    message = (
        f"The repository {redact(repo)} has no branch or tag {ref} (any more), and hands out no commit {sha}: name a "
        "commit or a branch that is there; a branch that was merged and deleted takes its own commits along."
    )
    return CheckoutError("ref_gone", message, retryable=False)


def timed_out(seconds: float) -> CheckoutError:
    """The time was up."""
    message = (
        f"The checkout took longer than {seconds:.0f} s and was ended: raise the job's timeout, or look at the network."
    )
    return CheckoutError("checkout_timeout", message, retryable=True)


def redact(text: str) -> str:
    """URLs without what can be a secret in them: the whole user part of http(s), the password of any other."""
    text = re.sub(r"(?i)(https?://)[^/@\s'\"]+@", r"\1***@", text)
    return re.sub(r"(\w+://[^/@:\s'\"]*):[^/@\s'\"]+@", r"\1:***@", text)


def _last_word(output: str) -> str:
    """The most telling line: the first that says fatal or error, else the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(remote: )?(fatal|error)\b", line, re.IGNORECASE)]
    return (telling or lines[-1:] or ["nothing"])[0][:300]
