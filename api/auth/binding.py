"""Task tokens that only their holder can use.

Temporal takes a task token from whoever shows it. What leaves the control plane is therefore bound: the token with a
message authentication code over its holder. Nothing is remembered, so a restart loses no token.
"""

import hashlib
import hmac
from typing import Final

_VERSION: Final = b"\x01"
_MAC_BYTES: Final = 32


class NotYoursError(Exception):
    """The token was not handed to this holder, or not by us."""


class TaskTokens:
    """Binds tokens with a secret of at least 32 bytes that all processes of one kind share."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 32:
            raise ValueError("the secret that binds task tokens needs at least 32 bytes")
        self._key = hashlib.sha256(b"hybridci-task-token\0" + secret).digest()

    def bind(self, holder: str, token: bytes) -> bytes:
        """What the holder gets instead of the token."""
        return _VERSION + self._mac(holder, token) + token

    def unbind(self, holder: str, bound: bytes) -> bytes:
        """The token. Raises NotYoursError."""
        mac, token = bound[1 : 1 + _MAC_BYTES], bound[1 + _MAC_BYTES :]
        if bound[:1] != _VERSION or not token or not hmac.compare_digest(mac, self._mac(holder, token)):
            raise NotYoursError
        return token

    def _mac(self, holder: str, token: bytes) -> bytes:
        return hmac.digest(self._key, holder.encode() + b"\0" + token, "sha256")
