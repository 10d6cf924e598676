"""The keys of seals (Ed25519): one private key signs, public keys verify.

The private key is the control workers' alone. Deliberately not here: what is signed
(``workflows.contracts.audit.seals``), making a key (``hybridci audit keygen``).
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from workflows.contracts.audit.seals import Seal, SignedSeal
from workflows.contracts.sealed import key_id
from workflows.followed import Followed

SETTING: Final = "HYBRIDCI_SEAL_KEY_FILE"
PUBLIC_SETTING: Final = "HYBRIDCI_SEAL_PUBLIC_KEYS_FILE"
_KEY_BYTES: Final = 32


class UnusableSealKeyError(Exception):
    """The file with the key or keys cannot be used. The message is for the person who started the process."""


class SealKey:
    """The private key that signs, and those before it, which still tell our own seals. Safe for many threads."""

    def __init__(self, private_key: bytes, *earlier: bytes) -> None:
        from nacl.signing import SigningKey  # only for who signs: it costs each start

        self._key = SigningKey(private_key)
        publics = [bytes(SigningKey(each).verify_key) for each in (private_key, *earlier)]
        self._known: Final = {key_id(public): base64.b64encode(public).decode() for public in publics}
        self.key_id: Final = key_id(publics[0])
        self.public_key: Final = self._known[self.key_id]

    @classmethod
    def load(cls, path: Path | None) -> Self | None:
        """The keys of the file (32 bytes in base64 a line, the newest first); None without a file.

        Raises UnusableSealKeyError.
        """
        if path is None:
            return None
        found = _keys(path, SETTING)
        if not found:
            raise UnusableSealKeyError(
                f"{path} ({SETTING}) holds no private key: `hybridci audit keygen --out FILE` makes one."
            )
        return cls(*found)

    def sign(self, seal: Seal, leaves: list[str]) -> SignedSeal:
        """The seal as it is kept."""
        unsigned = SignedSeal(number=seal.number, text=seal.model_dump_json(), signature="", leaves=leaves)
        signature = base64.b64encode(self._key.sign(unsigned.signed_bytes).signature).decode()
        return unsigned.model_copy(update={"signature": signature})

    def read(self, kept: SignedSeal) -> Seal | None:
        """What the seal says; None when it is not signed by one of these keys."""
        try:
            seal = kept.seal
        except ValueError:
            return None
        public = self._known.get(seal.key_id)
        signed = public is not None and is_signed(public, kept.signed_bytes, kept.signature)
        return seal if signed and seal.number == kept.number else None


SealKeys = SealKey | Callable[[], SealKey]
"""One for good, or whoever says which it is now."""


class PublicKeys(Mapping[str, str]):
    """Those of a file that may change (base64, one a line), by their ids. Raises UnusableSealKeyError when made."""

    def __init__(self, path: Path) -> None:
        self._file = Followed(PUBLIC_SETTING, [path], lambda: _public_keys(path))

    def __getitem__(self, name: str) -> str:
        return self._file.now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._file.now())

    def __len__(self) -> int:
        return len(self._file.now())


def load_public_keys(path: Path | None) -> Mapping[str, str] | None:
    """The public keys of the file, read again when it changes; None without a file. Raises UnusableSealKeyError."""
    return None if path is None else PublicKeys(path)


def _public_keys(path: Path) -> Mapping[str, str]:
    found = _keys(path, PUBLIC_SETTING)
    if not found:
        raise UnusableSealKeyError(
            f"{path} ({PUBLIC_SETTING}) holds no public key: `hybridci audit keygen` prints one, 32 bytes in base64."
        )
    return {key_id(key): base64.b64encode(key).decode() for key in found}


def is_signed(public_key: str, content: bytes, signature: str) -> bool:
    """Whether the signature over these bytes is of this key (both base64)."""
    from nacl.exceptions import CryptoError
    from nacl.signing import VerifyKey

    try:
        key = VerifyKey(base64.b64decode(public_key, validate=True))
        key.verify(content, base64.b64decode(signature, validate=True))
    except (CryptoError, ValueError, TypeError):
        return False
    return True


def _keys(path: Path, setting: str) -> list[bytes]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise UnusableSealKeyError(f"{setting} names {path}, which cannot be read ({why}).") from None
    texts = [text for line in lines if (text := line.partition("#")[0].strip())]
    try:
        found = [base64.b64decode(text, validate=True) for text in texts]
    except ValueError:
        found = [b""]
    if any(len(key) != _KEY_BYTES for key in found):
        raise UnusableSealKeyError(f"{path} ({setting}) holds something that is no key: 32 bytes in base64 a line.")
    return found
