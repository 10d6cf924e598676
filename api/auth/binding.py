"""Task tokens that only their holder can use.

Temporal takes a task token from whoever shows it. What leaves the control plane is therefore bound: the token with a
message authentication code over its holder. Nothing is remembered, so a restart loses no token.
"""

import hashlib
import hmac
from typing import Final

from workflows.contracts.identity.secrets import Secret, accepted, newest

_VERSION: Final = b"\x01"
_MAC_BYTES: Final = 32


class NotYoursError(Exception):
    """The token was not handed to this holder, or not by us."""


class TaskTokens:
    """Binds tokens with a secret of at least 32 bytes that all processes of one kind share."""

    def __init__(self, secret: Secret) -> None:
        if any(len(each) < 32 for each in accepted(secret)):
            raise ValueError("the secret that binds task tokens needs at least 32 bytes")
        self._secret = secret

    def bind(self, holder: str, token: bytes) -> bytes:
        """What the holder gets instead of the token."""
        return _VERSION + _mac(newest(self._secret), holder, token) + token

    def unbind(self, holder: str, bound: bytes) -> bytes:
        """The token. Raises NotYoursError."""
        mac, token = bound[1 : 1 + _MAC_BYTES], bound[1 + _MAC_BYTES :]
        ours = [hmac.compare_digest(mac, _mac(each, holder, token)) for each in accepted(self._secret)]
        if bound[:1] != _VERSION or not token or not any(ours):
            raise NotYoursError
        return token


def _mac(secret: bytes, holder: str, token: bytes) -> bytes:
    key = hashlib.sha256(b"hybridci-task-token\0" + secret).digest()
    return hmac.digest(key, holder.encode() + b"\0" + token, "sha256")
