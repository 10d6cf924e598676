"""Signing what a deployment's job is to run (Ed25519), for agents that run nothing else.

The key is this worker's alone: agents have its public half in a file of their own, and nobody learns either from the
API. Deliberately not here: what is signed (``workflows.contracts.attempts``), checking it
(``agent.safety.specifications``), making a key (``hybridci control-key keygen``).
"""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from activities.clock import Clock, epoch_millis
from workflows.contracts import tasks
from workflows.contracts.attempts import signed_bytes
from workflows.contracts.commands import JobInput
from workflows.contracts.jobs import SERVICE_LABEL
from workflows.contracts.sealed import SpecSignature, key_id
from workflows.followed import Followed
from workflows.job.record import to_be_signed

if TYPE_CHECKING:
    from nacl.signing import SigningKey

SETTING: Final = "HYBRIDCI_SPEC_KEY_FILE"
_DAY_MS: Final = 24 * 3_600_000
LIFETIME_MS: Final = 7 * _DAY_MS
"""As long as a job may wait for an agent, its further attempts included: the longest timeout that a job can have."""
LIFETIME_BACK_MS: Final = 90 * _DAY_MS
"""A rollback must run whenever an agent comes back. What ends it is a newer turn: its fence is signed with it."""
LIFETIME_TASK_MS: Final = 5 * 60_000
"""Longer than any question is waited for, and than clocks differ."""
_GOING_BACK: Final = frozenset({"rollback", "health"})
_UNSIGNED: Final = base64.b64encode(bytes(64)).decode()
_KEY_BYTES: Final = 32


class UnusableSigningKeyError(Exception):
    """The file with the key cannot be used. The message is for the person who started the process."""


class SpecSigner:
    """Signs with one key; without one it signs nothing. Safe for many threads."""

    def __init__(
        self, key: "SigningKey | Callable[[], SigningKey] | None" = None, *, clock: Clock = epoch_millis
    ) -> None:
        """``key``: one for good, or whoever says which it is now."""
        self._keys, self._clock = key, clock

    def _key(self) -> "SigningKey | None":
        return self._keys() if callable(self._keys) else self._keys

    @classmethod
    def load(cls, path: Path | None, *, clock: Clock = epoch_millis) -> Self:
        """With the first key of the file (32 bytes in base64 a line). Raises UnusableSigningKeyError."""
        if path is None:
            return cls(clock=clock)
        from nacl.signing import SigningKey  # only for who signs: it costs each start

        return cls(Followed(SETTING, [path], lambda: SigningKey(_first_key(path))).now, clock=clock)

    @property
    def key_id(self) -> str | None:
        """How signatures name the key; None without one."""
        key = self._key()
        return None if key is None else key_id(bytes(key.verify_key))

    def sign(self, start: JobInput) -> SpecSignature | None:
        """The signature over all that the job's agent is given, or None without a key."""
        lifetime = LIFETIME_BACK_MS if start.spec.job_type in _GOING_BACK else LIFETIME_MS
        service = start.spec.labels.get(SERVICE_LABEL, "")
        return self._sign(service, lifetime, lambda unsigned: signed_bytes(to_be_signed(start), unsigned))

    def sign_task(self, task: tasks.TaskInput, service: str | None) -> SpecSignature | None:
        """The same over a question to a pool's agents; ``service``: whose guard asks it, None for a person's."""
        return self._sign(service or "", LIFETIME_TASK_MS, lambda unsigned: tasks.signed_bytes(task, unsigned))

    def _sign(self, service: str, lifetime_ms: int, content: Callable[[SpecSignature], bytes]) -> SpecSignature | None:
        key = self._key()
        if key is None:
            return None
        now = self._clock()
        unsigned = SpecSignature(
            service=service,
            issued_at=now,
            expires_at=now + lifetime_ms,
            key_id=key_id(bytes(key.verify_key)),
            signature=_UNSIGNED,
        )
        signature = key.sign(content(unsigned)).signature
        return unsigned.model_copy(update={"signature": base64.b64encode(signature).decode()})


def _first_key(path: Path) -> bytes:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise UnusableSigningKeyError(f"{SETTING} names {path}, which cannot be read ({why}).") from None
    texts = [text for line in lines if (text := line.partition("#")[0].strip())]
    try:
        key = base64.b64decode(texts[0], validate=True) if texts else b""
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise UnusableSigningKeyError(
            f"{path} ({SETTING}) holds no private key: `hybridci control-key keygen --out FILE` makes one."
        )
    return key
