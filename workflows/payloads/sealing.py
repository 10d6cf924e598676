"""Sealing payloads with libsodium's secret box (XSalsa20-Poly1305, by PyNaCl), and the keys for it.

Deliberately not here: whether there is a codec (``codec``), which imports this only when there is one.
"""

import binascii
import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from google.protobuf.message import DecodeError
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from nacl.utils import random
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from workflows.followed import Followed
from workflows.payloads.errors import UnreadablePayload, UnusableCodecKeys
from workflows.payloads.holder import HOLDER

ENCODING: Final = b"binary/hybridci-sealed"
_KEY_ID: Final = "hybridci-key"


class SealingCodec(PayloadCodec):
    """Seals with the first key and opens with any, so that keys can be rotated: prepend the new one everywhere."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Raises UnusableCodecKeys."""
        self._ring = _Ring.of(keys)

    def _now(self) -> "_Ring":
        return self._ring

    def _latest(self) -> "_Ring":
        """As ``_now``, when a key is missing there."""
        return self._ring

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Sealed payloads. One that is sealed already stays as it is."""
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Opened payloads; those that were never sealed (of workflows from before) pass. Raises UnreadablePayload."""
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") == ENCODING:
            return payload
        ring = self._now()
        box = ring.boxes[ring.first]
        sealed = box.encrypt(payload.SerializeToString(), random(SecretBox.NONCE_SIZE))
        return Payload(metadata={"encoding": ENCODING, _KEY_ID: ring.first.encode()}, data=bytes(sealed))

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key_id = payload.metadata.get(_KEY_ID, b"").decode("ascii", "replace")
        box = self._now().boxes.get(key_id) or self._latest().boxes.get(key_id)
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


class FollowedCodec(SealingCodec):
    """The keys of a file, read again when it changes. Raises UnusableCodecKeys when it is made."""

    def __init__(self, file: Path) -> None:
        self._file = Followed("HYBRIDCI_CODEC_KEYS_FILE", [file], lambda: _Ring.of(_keys(file)))

    def _now(self) -> "_Ring":
        return self._file.now()

    def _latest(self) -> "_Ring":
        """Another process may have been a second faster."""
        return self._file.look()


def open_codec(file: Path) -> SealingCodec:
    """The codec of the keys in this file. Raises UnusableCodecKeys."""
    return FollowedCodec(file)


@dataclass(frozen=True, slots=True)
class _Ring:
    """By the keys' ids; ``first`` seals."""

    boxes: Mapping[str, SecretBox]
    first: str

    @classmethod
    def of(cls, keys: Sequence[bytes]) -> Self:
        if not keys:
            raise UnusableCodecKeys("No codec key is given: `hybridci codec keygen` makes one.")
        return cls({_key_id(key): SecretBox(key) for key in keys}, _key_id(keys[0]))


def _keys(file: Path) -> Sequence[bytes]:
    try:
        lines = file.read_text("ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableCodecKeys(f"{file} (HYBRIDCI_CODEC_KEYS_FILE) cannot be read: {type(error).__name__}.") from error
    return [_key(line, number, file) for number, line in enumerate(lines, 1)]


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
