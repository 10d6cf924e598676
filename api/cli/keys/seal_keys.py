"""The keys of seals, for whoever verifies with a key of their own (Ed25519).

Deliberately not here: signing seals, which only control workers do (``activities.evidence.keys``).
"""

import base64
from collections.abc import Mapping
from pathlib import Path

from api.cli.client.connection import USAGE, CliError
from workflows.contracts.sealed import key_id


def public_keys(path: Path) -> Mapping[str, str]:
    """The public keys of a file (base64, one a line) by their ids. Raises CliError."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise CliError(f"--key names {path}, which cannot be read ({why}): name another file.", USAGE) from None
    texts = [text for line in lines if (text := line.partition("#")[0].strip())]
    try:
        found = [base64.b64decode(text, validate=True) for text in texts]
    except ValueError:
        found = []
    if not found or any(len(key) != 32 for key in found):
        raise CliError(f"{path} (--key) holds no public key: 32 bytes in base64 a line are needed.", USAGE)
    return {key_id(key): base64.b64encode(key).decode() for key in found}


def is_signed(public_key: str, content: bytes, signature: str) -> bool:
    """Whether the signature over these bytes is of this key (both base64)."""
    from nacl.exceptions import CryptoError
    from nacl.signing import VerifyKey

    try:
        VerifyKey(base64.b64decode(public_key, validate=True)).verify(
            content, base64.b64decode(signature, validate=True)
        )
    except (CryptoError, ValueError, TypeError):
        return False
    return True
