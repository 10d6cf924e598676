"""The secrets of one attempt: allowed, fetched at the same time, fit to be masked, and handed over.

They are fetched for each attempt, so that a rotated secret is a new one at the next try. Deliberately not here: where
each comes from (``providers``), what is masked (``agent.secrets.redact``).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from agent.safety.specifications import Verified
from agent.secrets.config import SETTING, Handover, SecretSource, load_sources
from agent.secrets.errors import FetchFailed, SecretTooWeak, SecretUnavailable
from agent.secrets.files import MemoryFile
from agent.secrets.providers import Providers
from agent.secrets.redact import Patterns
from agent.secrets.sealed import PoolKeys
from agent.settings import AgentSettings
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.secret_values import MIN_SECRET_CHARACTERS, weakness

MAX_VARIABLE_BYTES: Final = 128 * 1024 - 512
"""Linux starts no process with a longer one, its name included."""


@dataclass(slots=True)
class Unlocked:
    """What an attempt runs with. ``attempt`` has its sealed values open; ``variables`` are its secrets.

    ``patterns`` is None when there is nothing to mask. ``notes`` are for its log. ``close`` it when it has ended.
    """

    attempt: AttemptInput = field(repr=False)
    values: dict[str, bytes] = field(default_factory=dict[str, bytes], repr=False)
    as_files: frozenset[str] = frozenset()
    patterns: Patterns | None = None
    notes: list[str] = field(default_factory=list[str])
    _files: list[MemoryFile] = field(default_factory=list[MemoryFile])

    def variables(self) -> dict[str, str]:
        """Its secrets: values, and paths of files in memory that are made now. Raises SecretUnavailable, OSError."""
        return {name: self._handed_over(name, value) for name, value in self.values.items()}

    def close(self) -> None:
        """Let go of the files in memory."""
        while self._files:
            self._files.pop().close()

    def _handed_over(self, name: str, value: bytes) -> str:
        """The variable's value. As in a shell's ``$(…)``, line ends at its end are dropped; a file is as it is."""
        if name in self.as_files:
            self._files.append(MemoryFile.create(value))
            return self._files[-1].path
        value = value.rstrip(b"\r\n")
        if b"\0" in value or len(value) + len(name) > MAX_VARIABLE_BYTES:
            why = "has a NUL byte" if b"\0" in value else f"is longer than {MAX_VARIABLE_BYTES} bytes"
            raise SecretUnavailable(
                f"The secret {name} {why}, which no variable can hold: say `as: file` for it in the agent's {SETTING}."
            )
        return value.decode(errors="surrogateescape")


class Vault:
    """All that this agent can unlock for its jobs."""

    def __init__(self, sources: Mapping[str, SecretSource] | None = None, keys: PoolKeys | None = None) -> None:
        self._sources = sources
        self._keys = keys or PoolKeys([])
        self._providers = Providers()

    @classmethod
    def load(cls, settings: AgentSettings) -> Self:
        """As the agent is set up. Raises SettingsError."""
        file = settings.secrets_file
        return cls(None if file is None else load_sources(file), PoolKeys.load(settings.pool_keys_file))

    async def unlock(self, attempt: AttemptInput, folder: Path, verified: Verified | None = None) -> Unlocked:
        """The attempt's secrets and sealed values. ``folder`` is for commands; ``verified``: what the control plane has
        signed of it. Raises SecretError.

        Cancelling ends the commands that run for it.
        """
        opened, sealed = self._keys.open_values(attempt)
        _require_strong({name: value.encode() for name, value in sealed}, "seal a longer one")
        sources = self._allowed(attempt, verified)
        if not sealed and not sources:
            return Unlocked(opened)
        values = await self._fetch_all(sources, folder)
        masked = {name: value for name, value in values.items() if sources[name].mask}
        _require_strong(masked, f"use a longer one, or say `mask: false` for it in the agent's {SETTING}")
        to_mask = [*masked.values(), *(value.encode() for _, value in sealed)]
        return Unlocked(
            opened,
            values=values,
            as_files=frozenset(name for name, source in sources.items() if source.handover is Handover.FILE),
            patterns=await asyncio.to_thread(Patterns, to_mask) if to_mask else None,
            notes=[
                f"[hybridci] The secret {name} is not masked in this log."
                for name in sorted(values.keys() - masked.keys())
            ],
        )

    def _allowed(self, attempt: AttemptInput, verified: Verified | None) -> dict[str, SecretSource]:
        names = sorted(set(attempt.secrets))
        if names and self._sources is None:
            raise SecretUnavailable(
                f"The job names the secrets {', '.join(names)}, but this agent has no secrets ({SETTING} is not set): "
                "remove them from `secrets`, or run the job in a pool whose agents have them."
            )
        sources = {name: self._sources.get(name) for name in names} if self._sources is not None else {}
        problems: list[str] = []
        for name, source in sources.items():
            if source is None:
                problems.append(f"{name}: this agent does not know it")
            elif (why := source.refusal(attempt, verified)) is not None:
                problems.append(f"{name}: {why}")
        if problems:
            raise SecretUnavailable(
                f"This agent does not give the job its secrets: {'; '.join(problems)}. Remove them from `secrets`, run "
                f"the job where they may be used, or change {SETTING} on the agent's host."
            )
        return {name: source for name, source in sources.items() if source is not None}

    async def _fetch_all(self, sources: Mapping[str, SecretSource], folder: Path) -> dict[str, bytes]:
        values: dict[str, bytes] = {}
        problems: list[tuple[str, FetchFailed]] = []

        async def fetch(name: str, source: SecretSource) -> None:
            try:
                values[name] = await self._providers.fetch(source, folder)
            except FetchFailed as error:
                problems.append((name, error))

        async with asyncio.TaskGroup() as group:
            for name, source in sources.items():
                group.create_task(fetch(name, source))
        if problems:
            raise _unavailable(sorted(problems, key=lambda problem: problem[0]))
        return values


def _unavailable(problems: Sequence[tuple[str, FetchFailed]]) -> SecretUnavailable:
    told = "; ".join(f"{name}: {error}" for name, error in problems)
    retryable = all(error.retryable for _, error in problems)
    return SecretUnavailable(f"The agent could not fetch all secrets of the job: {told}.", retryable=retryable)


def _require_strong(values: Mapping[str, bytes], remedy: str) -> None:
    """Which of the reasons it is stays here: it would tell half of the value. Raises SecretTooWeak."""
    weak = [name for name, value in sorted(values.items()) if weakness(value.decode(errors="replace")) is not None]
    if weak:
        raise SecretTooWeak(
            f"{', '.join(weak)}: too short (fewer than {MIN_SECRET_CHARACTERS} characters), too uniform or too common "
            f"a value to be masked in a log without harm, so the job did not get it. For each, {remedy}."
        )
