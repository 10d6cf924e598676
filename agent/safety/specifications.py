"""Jobs that the control plane has signed: with HYBRIDCI_CONTROL_KEYS_FILE this agent runs what deployments ask for,
word for word, and nothing else.

```yaml
keys:                                              # several at once, to rotate
  - {name: control-2026, key: 3jmc…=}              # made by `hybridci control-key keygen`
services: [checkout]                               # optional: only these services' deployments (patterns with *)
required: false                                    # optional: free jobs too, without secrets that are for signed ones
```

With ``required: false`` a job without signature is a free one: where it speaks for a deployment all the same (by its
type, a fence, approvals), it is refused.

The operator places the file, and may change it while the agent runs: one that cannot be used changes nothing, and the
agent says so (``workflows.followed``). An agent never learns a key from the API. A signature says that a deployment
asked, and not that somebody approved it: that say ``safety.approvals``. Deliberately not here: signing
(``activities.deployments.signing``), what is signed (``workflows.contracts.attempts``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Self

from nacl.encoding import Base64Encoder
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey
from pydantic import Field, StrictBool, StringConstraints, TypeAdapter, model_validator

from agent.settings import AgentSettings
from agent.yaml_file import read_yaml
from workflows.contracts import tasks
from workflows.contracts.agents import PublicKey
from workflows.contracts.attempts import AttemptInput, signed_bytes
from workflows.contracts.base import Frozen
from workflows.contracts.reserved import is_reserved_type
from workflows.contracts.sealed import SpecSignature, key_id
from workflows.followed import Followed

SETTING: Final = "HYBRIDCI_CONTROL_KEYS_FILE"
_Text = Annotated[str, StringConstraints(min_length=1)]


class SpecificationUnverified(Exception):
    """The control plane has not signed the job so, or not for here; the message says why it does not run."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a signature that counts says: whose deployment asks for exactly this."""

    service: str
    deployment_id: str


class ControlKey(Frozen):
    """A public key of the control plane (Ed25519, base64)."""

    name: _Text
    key: PublicKey

    @property
    def id(self) -> str:
        """As a signature names it."""
        return key_id(Base64Encoder.decode(self.key.encode()))


class ControlKeys(Frozen):
    """The file."""

    keys: list[ControlKey] = Field(min_length=1)
    services: list[_Text] | None = Field(default=None, min_length=1)
    required: StrictBool = True

    @model_validator(mode="after")
    def _are_told_apart(self) -> Self:
        for what in ("name", "key"):
            if len({getattr(key, what) for key in self.keys}) < len(self.keys):
                raise ValueError(f"keys: the same {what} is there twice")
        return self


def load_specifications(settings: AgentSettings) -> "Specifications | None":
    """What this agent checks; None when it runs whatever its pool is given. Raises SettingsError."""
    if settings.control_keys_file is None:
        return None
    return Specifications.load(settings.control_keys_file, settings.pool)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the file says, with its keys ready to verify, by id."""

    file: ControlKeys
    keys: Mapping[str, VerifyKey]

    @classmethod
    def of(cls, file: ControlKeys) -> Self:
        return cls(file, {key.id: VerifyKey(key.key.encode(), Base64Encoder) for key in file.keys})


class Specifications:
    """The control plane's public keys, and the pool that this agent works for. Safe for many threads."""

    def __init__(self, known: ControlKeys | Callable[[], _Known], pool: str) -> None:
        self._pool = pool
        if isinstance(known, ControlKeys):
            fixed = _Known.of(known)
            self._now: Callable[[], _Known] = lambda: fixed
        else:
            self._now = known

    @classmethod
    def load(cls, path: Path, pool: str) -> Self:
        """Read again when the file changes. Raises SettingsError; later it does not."""
        shape = TypeAdapter(ControlKeys)
        return cls(Followed(SETTING, [path], lambda: _Known.of(read_yaml(path, SETTING, shape))).now, pool)

    def verified(self, attempt: AttemptInput, now_ms: int) -> Verified | None:
        """What its signature says. None: it has none, and this agent runs such jobs too.

        Raises SpecificationUnverified.
        """
        signature, known = attempt.signature, self._now()
        if signature is None:
            if not known.file.required and not _speaks_for_a_deployment(attempt):
                return None
            what = "jobs" if known.file.required else "jobs in a deployment's name"
            raise SpecificationUnverified(
                f"This agent runs only {what} that the control plane has signed ({SETTING}), and this one is not. "
                "Deployments' jobs are, when the control worker has HYBRIDCI_SPEC_KEY_FILE. Run others in another pool."
            )
        why = self._refusal(known, signed_bytes(attempt, signature), attempt.pool, signature, now_ms)
        if why is not None or attempt.deployment_id is None:
            raise SpecificationUnverified(f"This agent refuses the job: {why or 'it names no deployment'}.")
        return Verified(signature.service, attempt.deployment_id)

    def require_task(self, task: tasks.TaskInput, now_ms: int) -> None:
        """Return when this agent may answer the question. Raises SpecificationUnverified."""
        known = self._now()
        if task.signature is None:
            if known.file.required:
                raise SpecificationUnverified(
                    f"This agent answers only questions that the control plane has signed ({SETTING}), and this one is"
                    " not: the control worker has no HYBRIDCI_SPEC_KEY_FILE, or it was asked around it."
                )
            return
        content = tasks.signed_bytes(task, task.signature)
        why = self._refusal(known, content, task.pool, task.signature, now_ms)
        if why is not None:
            raise SpecificationUnverified(f"This agent refuses the question: {why}.")

    def _refusal(self, known: _Known, content: bytes, pool: str, signature: SpecSignature, now_ms: int) -> str | None:
        """Why the signature does not count here, or None."""
        key = known.keys.get(signature.key_id)
        if key is None:
            names = ", ".join(each.name for each in known.file.keys)
            return f"it is signed with the key {signature.key_id}, which is none of those in {SETTING} ({names})"
        try:
            key.verify(content, Base64Encoder.decode(signature.signature.encode()))
        except (CryptoError, ValueError):
            return "it is not what the control plane has signed: it was changed or forged, or of another job"
        if signature.expires_at <= now_ms:
            return "its signature has expired: start the deployment anew, and look at this host's clock"
        if pool != self._pool:
            return f"it is signed for pool {pool}, not for {self._pool}"
        if known.file.services is not None and not matches(signature.service, known.file.services):
            return f"it is of {_service(signature)}, which {SETTING} does not name"
        return None


def _service(signature: SpecSignature) -> str:
    return f"service {signature.service}" if signature.service else "no service"


def _speaks_for_a_deployment(attempt: AttemptInput) -> bool:
    named = attempt.deployment_id is not None or attempt.fence is not None or bool(attempt.approvals)
    return named or is_reserved_type(attempt.job_type)


def matches(value: str, patterns: Sequence[str]) -> bool:
    """True when one of the patterns, with ``*``, fits."""
    return any(fnmatchcase(value, pattern) for pattern in patterns)
