"""Sealed values: variables that whoever submits a job encrypted to a pool's public key. Only that pool's agents open
them, and only as the variable and for the repository they were sealed for.

Deliberately not here: sealing (``api.cli.keys.sealing``), and which keys an agent reports (its registration does).
"""

import base64
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox
from pydantic import ValidationError

from agent.secrets.errors import SealedUnreadable
from agent.settings import AgentSettings, SettingsError
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.sealed import SEALED_PREFIX, SealedContent, key_id

SETTING: Final = "HYBRIDCI_POOL_KEYS_FILE"
MAX_REPORTED_KEYS: Final = 8

logger = logging.getLogger(__name__)


class PoolKeys:
    """The private keys of the agent's pool, newest first. To rotate, one is put before the others."""

    def __init__(self, keys: Iterable[PrivateKey]) -> None:
        self._keys = list(keys)
        self._boxes = {key_id(bytes(key.public_key)): SealedBox(key) for key in self._keys}

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """One key a line in base64, ``#`` before a comment. None: no keys. Raises SettingsError."""
        if path is None:
            return cls([])
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            if path.stat().st_mode & 0o077:
                logger.warning("%s (%s) can be read by others: chmod 600 it", path, SETTING)
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no UTF-8 text"
            raise SettingsError(f"{SETTING} names {path}, which cannot be read ({why}): name another file.") from None
        keys: list[PrivateKey] = []
        for number, line in enumerate(lines, 1):
            if text := line.partition("#")[0].strip():
                keys.append(_private_key(text, f"{path}, line {number} ({SETTING})"))
        if not keys:
            raise SettingsError(f"{path} ({SETTING}) holds no key: make one with `hybridci pool-key generate`.")
        return cls(keys)

    @property
    def public_keys(self) -> list[str]:
        """In base64, newest first, as many as an agent may report."""
        return [base64.b64encode(bytes(key.public_key)).decode() for key in self._keys[:MAX_REPORTED_KEYS]]

    @property
    def texts(self) -> list[bytes]:
        """The keys themselves, as their file has them."""
        return [base64.b64encode(bytes(key)) for key in self._keys]

    def open_values(self, attempt: AttemptInput) -> tuple[AttemptInput, list[tuple[str, str]]]:
        """The attempt with the sealed values of its ``env`` and its steps' open, and these by name.

        Raises SealedUnreadable, which names each that cannot be opened and why.
        """
        opened: list[tuple[str, str]] = []
        problems: list[str] = []

        def unsealed(env: dict[str, str]) -> dict[str, str]:
            return {name: value_of(name, value) for name, value in env.items()}

        def value_of(name: str, value: str) -> str:
            if not value.startswith(SEALED_PREFIX):
                return value
            try:
                opened.append((name, self._open(name, value, attempt.git_repo)))
            except SealedUnreadable as error:
                problems.append(f"{name}: {error}")
                return ""
            return opened[-1][1]

        env = unsealed(attempt.env)
        steps = [step.model_copy(update={"env": unsealed(step.env)}) if step.env else step for step in attempt.steps]
        if problems:
            raise SealedUnreadable(f"Sealed values that this agent cannot use: {'; '.join(problems)}.")
        if not opened:
            return attempt, []
        return attempt.model_copy(update={"env": env, "steps": steps}), opened

    def _open(self, name: str, value: str, repository: str) -> str:
        sealed_to, _, text = value.removeprefix(SEALED_PREFIX).partition(":")
        box = self._boxes.get(sealed_to)
        if box is None:
            has = f"this agent has {', '.join(self._boxes)}" if self._boxes else f"this agent has none ({SETTING})"
            raise SealedUnreadable(f"it was sealed to key {sealed_to[:16]}, {has}; seal it to its pool's newest key")
        try:
            content = SealedContent.model_validate_json(box.decrypt(base64.b64decode(text, validate=True)))
        except (CryptoError, ValueError, ValidationError):
            raise SealedUnreadable(f"it was sealed to key {sealed_to}, but is damaged; seal it again") from None
        if content.name != name:
            raise SealedUnreadable(f"it was sealed for the variable {content.name}; seal it for this one")
        if content.repository is not None and _plain(content.repository) != _plain(repository):
            raise SealedUnreadable("it was sealed for another repository; seal it for this one")
        if "\0" in content.value:
            raise SealedUnreadable("it holds a NUL character, which no variable can hold")
        return content.value


def public_keys(settings: AgentSettings) -> list[str]:
    """What an agent reports when it registers, newest first. Raises SettingsError."""
    return PoolKeys.load(settings.pool_keys_file).public_keys


def _private_key(text: str, where: str) -> PrivateKey:
    try:
        return PrivateKey(base64.b64decode(text, validate=True))
    except (CryptoError, ValueError, TypeError):
        raise SettingsError(
            f"{where} is no private key (32 bytes in base64): make one with `hybridci pool-key generate`."
        ) from None


def _plain(repository: str) -> str:
    return repository.rstrip("/").removesuffix(".git")
