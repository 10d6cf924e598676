"""Sealing payloads with libsodium's secret box (XSalsa20-Poly1305, by PyNaCl), and the keys for it.

Deliberately not here: whether there is a codec (``codec``), which imports this only when there is one.
"""

import binascii
import hashlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from nacl.utils import random
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from workflows.payloads.errors import UnreadablePayload, UnusableCodecKeys
from workflows.payloads.holder import HOLDER

ENCODING: Final = b"binary/hybridci-sealed"
_KEY_ID: Final = "hybridci-key"


class SealingCodec(PayloadCodec):
    """Seals with the first key and opens with any, so that keys can be rotated: prepend the new one everywhere."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise UnusableCodecKeys("No codec key is given: `hybridci codec keygen` makes one.")
        self._boxes = {_key_id(key): SecretBox(key) for key in keys}
        self._first = _key_id(keys[0])

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Sealed payloads. One that is sealed already stays as it is."""
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Opened payloads; those that were never sealed (of workflows from before) pass. Raises UnreadablePayload."""
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") == ENCODING:
            return payload
        box = self._boxes[self._first]
        sealed = box.encrypt(payload.SerializeToString(), random(SecretBox.NONCE_SIZE))
        return Payload(metadata={"encoding": ENCODING, _KEY_ID: self._first.encode()}, data=bytes(sealed))

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key_id = payload.metadata.get(_KEY_ID, b"").decode("ascii", "replace")
        box = self._boxes.get(key_id)
        if box is None:
            raise UnreadablePayload(
                f"A payload was sealed with the key {key_id[:16]!r}, which is not among those of "
                "HYBRIDCI_CODEC_KEYS_FILE: give every process the same keys, old ones last."
            )
        try:
            opened = Payload.FromString(box.decrypt(payload.data))
        except (CryptoError, DecodeError, ValueError):
            raise UnreadablePayload("A payload was changed after it was sealed; it is not used.") from None
        opened.metadata.pop(HOLDER, None)  # whoever sealed it is not who says so
        if HOLDER in payload.metadata:
            opened.metadata[HOLDER] = payload.metadata[HOLDER]
        return opened


def open_codec(file: Path) -> SealingCodec:
    """The codec of the keys in this file. Raises UnusableCodecKeys."""
    try:
        lines = file.read_text("ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableCodecKeys(f"{file} (HYBRIDCI_CODEC_KEYS_FILE) cannot be read: {type(error).__name__}.") from error
    return SealingCodec([_key(line, number, file) for number, line in enumerate(lines, 1)])


def new_key() -> str:
    """A fresh key, as a line of the file."""
    return b64encode(random(SecretBox.KEY_SIZE)).decode()


def _key(line: str, number: int, file: Path) -> bytes:
    try:
        key = b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != SecretBox.KEY_SIZE:
        raise UnusableCodecKeys(f"{file}, key {number}: must be 32 bytes in base64 (`hybridci codec keygen`).")
    return key


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"hybridci-codec-key\0" + key).hexdigest()[:16]
