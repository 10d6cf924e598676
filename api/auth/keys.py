"""The keys of the configuration and whom they stand for. Keys are compared by digest, in constant time.

Deliberately not here: the credentials that are handed out (``issuing``, ``authenticator``).
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Protocol

from api.auth.principal import Principal
from workflows.contracts.access import Role
from workflows.followed import Followed


class UnusableKey(Exception):
    """The configured keys cannot be used; the message says what to do."""


class KnownKeys(Protocol):
    """Whoever knows the keys as they are now."""

    def principal(self, presented: str) -> Principal | None:
        """Whom a presented key stands for, or None."""
        ...


class KeyRing:
    """The keys this process knows. Only their digests are kept."""

    def __init__(self, keys: Sequence[tuple[str, Principal]]) -> None:
        if not any(principal.role is Role.ADMIN for _, principal in keys):
            raise UnusableKey(
                "No admin key is configured, so nobody could use the API: set HYBRIDCI_ADMIN_KEY, or"
                " HYBRIDCI_ADMIN_KEY_FILE to a file with the key."
            )
        for key, principal in keys:
            if not key or not key.isascii() or not key.isprintable() or " " in key:
                raise UnusableKey(f"The {principal.role} key must be printable ASCII without spaces, and not empty.")
        roles: dict[str, Role | None] = {}
        for key, principal in keys:
            if roles.setdefault(key, principal.role) is not principal.role:
                raise UnusableKey("The admin key and the agent key are the same; give each its own.")
        self._keys = [(_digest(key), principal) for key, principal in keys]

    def principal(self, presented: str) -> Principal | None:
        """Whom a presented key stands for, or None. Takes the same time whichever key matches, if any."""
        digest = _digest(presented)
        found: Principal | None = None
        for known, principal in self._keys:
            if hmac.compare_digest(known, digest):
                found = principal
        return found


class FollowedKeyRing:
    """The keys of files that may change."""

    def __init__(self, ring: Followed[KeyRing]) -> None:
        self._ring = ring

    def principal(self, presented: str) -> Principal | None:
        """See ``KeyRing``."""
        return self._ring.now().principal(presented)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
