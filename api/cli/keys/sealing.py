"""Sealing a value to a pool's public key, so that only that pool's agents can read it (libsodium's sealed box).

Deliberately not here: opening it, which only agents can (``agent.secrets.sealed``).
"""

import base64

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from api.cli.client.connection import USAGE, CliError
from workflows.contracts.sealed import SEALED_PREFIX, SealedContent, key_id

MAX_SEALED_CHARACTERS = 32 * 1024
"""The API takes no longer value in ``env``."""


def new_pool_key() -> tuple[bytes, str]:
    """A private key, raw, and its public key in base64."""
    key = PrivateKey.generate()
    return bytes(key), base64.b64encode(bytes(key.public_key)).decode()


def public_key_id(public_key: str) -> str:
    """The id (fingerprint) of a public key in base64. Raises CliError."""
    return key_id(bytes(_public_key(public_key)))


def seal(public_key: str, *, name: str, value: str, repository: str | None) -> str:
    """The value of an ``env`` entry called ``name``, for jobs of ``repository`` (None: of any). Raises CliError."""
    key = _public_key(public_key)
    content = SealedContent(name=name, value=value, repository=repository).model_dump_json().encode()
    box = base64.b64encode(SealedBox(key).encrypt(content)).decode()
    sealed = f"{SEALED_PREFIX}{key_id(bytes(key))}:{box}"
    if len(sealed) > MAX_SEALED_CHARACTERS:
        raise CliError(
            f"The value is too long: sealed it has {len(sealed)} characters, and {MAX_SEALED_CHARACTERS} are allowed. "
            "Let the agent fetch it (`secrets`).",
            USAGE,
        )
    return sealed


def _public_key(text: str) -> PublicKey:
    try:
        return PublicKey(base64.b64decode(text, validate=True))
    except (CryptoError, ValueError, TypeError):
        raise CliError(f"{text!r} is no public key of a pool: 32 bytes in base64 are needed.", USAGE) from None
