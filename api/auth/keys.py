"""The keys of the configuration and whom they stand for. Keys are compared by digest, in constant time.

Deliberately not here: the credentials that are handed out (``issuing``, ``authenticator``).
"""

import hashlib
import hmac
from collections.abc import Sequence

from api.auth.principal import Principal
from workflows.contracts.access import Role


class UnusableKey(Exception):
    """The configured keys cannot be used; the message says what to do."""


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
        if len({key for key, _ in keys}) < len(keys):
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


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
