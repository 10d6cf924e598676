"""Checking out one exact commit into a workspace."""

from collections.abc import Callable
from pathlib import Path


class CheckoutError(Exception):
    """The commit could not be checked out.

    ``cause``: ``repository_unreachable``, ``repository_auth``, ``repository_not_found``, ``repository_owner``,
    ``repository_invalid``, ``unknown_commit``, ``checkout_timeout``, ``disk_full``, ``checkout_failed``.
    """

    def __init__(self, cause: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.cause, self.message, self.retryable = cause, message, retryable


class Checkout:
    """Workspaces from one bare cache per repository. Safe for many jobs at once and for two agents on one folder."""

    def __init__(self, cache_dir: Path, *, allowed_protocols: tuple[str, ...] = ("https", "ssh", "file")) -> None:
        self._cache_dir, self._allowed_protocols = cache_dir, allowed_protocols

    async def into(
        self,
        workspace: Path,
        *,
        repo: str,
        sha: str,
        ref: str | None,
        timeout_seconds: float,
        write: Callable[[bytes], None],
        cookie: str = "checkout",
    ) -> None:
        """Make ``workspace`` hold exactly ``sha``. ``write`` gets log lines. Raises CheckoutError.

        ``workspace`` may exist when it is empty. ``cookie`` marks git's processes, so that they can be found when the
        agent dies. Cancelling the task kills git and leaves the cache sound.
        """
        raise NotImplementedError
