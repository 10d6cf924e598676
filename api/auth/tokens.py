"""What a secret that is handed out looks like: ``hci_key_<id>_<secret><checksum>``.

The prefix tells people and secret scanners what it is, the id finds its record, the secret has 256 bits, and the
checksum (CRC-32 of what stands before it) lets mistyped and made-up ones be refused without asking a store.
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from typing import Final

from workflows.contracts.access import CredentialKind

_ID_CHARACTERS: Final = string.digits + string.ascii_lowercase
_ID_LENGTH: Final = 16
_CHARACTERS: Final = string.digits + string.ascii_letters
_SECRET_LENGTH: Final = 43
"""62 ** 43 > 2 ** 256."""
_CHECKSUM_LENGTH: Final = 6
_KINDS: Final = "|".join(CredentialKind)
_TOKEN: Final = re.compile(
    rf"hci_(?:{_KINDS})_(?P<id>[0-9a-z]{{{_ID_LENGTH}}})_[0-9A-Za-z]{{{_SECRET_LENGTH + _CHECKSUM_LENGTH}}}"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A well-formed token."""

    credential_id: str
    digest: str = field(repr=False)


def new_token(kind: CredentialKind) -> tuple[str, str]:
    """A new token and its credential's id."""
    credential_id = _random(_ID_CHARACTERS, _ID_LENGTH)
    body = f"hci_{kind}_{credential_id}_{_random(_CHARACTERS, _SECRET_LENGTH)}"
    return body + checksum_of(body), credential_id


def read_token(presented: str) -> Token | None:
    """The parts of a token; None for anything that never was one."""
    match = _TOKEN.fullmatch(presented)
    if match is None or presented[-_CHECKSUM_LENGTH:] != checksum_of(presented[:-_CHECKSUM_LENGTH]):
        return None
    return Token(match["id"], digest_of(presented))


def digest_of(secret: str) -> str:
    """SHA-256 in hexadecimal, as it is kept. A slow hash would add nothing to 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def checksum_of(body: str) -> str:
    """What stands at the end of a token."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_CHARACTERS))
        digits = _CHARACTERS[digit] + digits
    return digits


def _random(characters: str, length: int) -> str:
    return "".join(secrets.choice(characters) for _ in range(length))
