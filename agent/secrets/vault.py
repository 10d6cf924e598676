"""The secrets of one attempt: allowed, fetched at the same time, fit to be masked, and handed over.

They are fetched for each attempt, so that a rotated secret is a new one at the next try. Masked are these and all else
that the agent holds just then, asked for or not: what its secrets file takes from its environment and from files, its
own keys, and what it has given to attempts that run beside this one. Deliberately not here: where each comes from
(``providers``), what is masked (``agent.secrets.redact``).
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from agent.safety.specifications import Verified
from agent.secrets.config import SETTING, Handover, ProviderKind, SecretSource, load_sources
from agent.secrets.errors import FetchFailed, SecretTooWeak, SecretUnavailable
from agent.secrets.files import MemoryFile
from agent.secrets.keeper import FileKeeper
from agent.secrets.providers import Providers
from agent.secrets.redact import Patterns
from agent.secrets.sealed import PoolKeys
from agent.settings import AgentSettings
from agent.steps.job_user import JobUser
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.secret_values import MIN_SECRET_CHARACTERS, weakness
from workflows.newest import Newest

_REMEMBERED: Final = 8
_NEAR: Final = frozenset({ProviderKind.ENV, ProviderKind.FILE})
"""Sources that are read without asking anybody."""
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
    _vault: "Vault | None" = field(default=None, repr=False, compare=False)
    _in_use: list[bytes] = field(default_factory=list[bytes], repr=False, compare=False)
    _files: list[MemoryFile] = field(default_factory=list[MemoryFile])

    def variables(self) -> dict[str, str]:
        """Its secrets: values, and paths of files in memory that are made now. Raises SecretUnavailable, OSError."""
        return {name: self._handed_over(name, value) for name, value in self.values.items()}

    def close(self) -> None:
        """Let go of the files in memory, and of the values."""
        while self._files:
            self._files.pop().close()
        if self._vault is not None:
            self._vault.no_longer_in_use(self._in_use)
            self._in_use = []

    def _handed_over(self, name: str, value: bytes) -> str:
        """The variable's value. As in a shell's ``$(…)``, line ends at its end are dropped; a file is as it is."""
        if name in self.as_files and self._vault is not None:
            self._files.append(self._vault.file_of(value))
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

    def __init__(
        self,
        sources: Mapping[str, SecretSource] | None = None,
        keys: PoolKeys | None = None,
        user: JobUser | None = None,
    ) -> None:
        self._sources = sources
        self._keys = keys or PoolKeys([])
        self._user, self._keeper = user, FileKeeper(user)
        self._providers = Providers()
        self._held: dict[str, bytes] = {}
        self._used: Counter[bytes] = Counter()
        self._made: Newest[frozenset[bytes], Patterns] = Newest(_REMEMBERED)
        self._making = asyncio.Lock()
        self.hold({f"pool key {number}": key for number, key in enumerate(self._keys.texts)})

    @classmethod
    def load(cls, settings: AgentSettings, user: JobUser | None = None) -> Self:
        """As the agent is set up; ``user``: as whom steps run. Raises SettingsError."""
        file = settings.secrets_file
        return cls(None if file is None else load_sources(file), PoolKeys.load(settings.pool_keys_file), user)

    @property
    def variables(self) -> list[str]:
        """The variables of the agent's environment that are secrets."""
        return [source.env for source in (self._sources or {}).values() if source.env is not None]

    def hold(self, values: Mapping[str, bytes]) -> None:
        """Mask these too from the next attempt on, each in the place of an earlier one of its name: the agent's own.

        Variables that the agent's secrets file lets be printed are left out.
        """
        open_ = {source.env for source in (self._sources or {}).values() if source.env is not None and not source.mask}
        self._held |= {name: value for name, value in values.items() if name not in open_}

    def file_of(self, value: bytes) -> MemoryFile:
        """A file that steps can open. Raises SecretUnavailable, OSError."""
        return MemoryFile.create(value, self._keeper, None if self._user is None else self._user.uid)

    def no_longer_in_use(self, values: Sequence[bytes]) -> None:
        """An attempt that had these has ended."""
        self._used -= Counter(values)

    def close(self) -> None:
        """The agent ends: so does what holds its files."""
        self._keeper.close()

    async def unlock(self, attempt: AttemptInput, folder: Path, verified: Verified | None = None) -> Unlocked:
        """The attempt's secrets and sealed values. ``folder`` is for commands; ``verified``: what the control plane has
        signed of it. Raises SecretError.

        Cancelling ends the commands that run for it.
        """
        opened, sealed = self._keys.open_values(attempt)
        _require_strong({name: value.encode() for name, value in sealed}, "seal a longer one")
        sources = self._allowed(attempt, verified)
        values = await self._fetch_all(sources, folder)
        masked = {name: value for name, value in values.items() if sources[name].mask}
        _require_strong(masked, f"use a longer one, or say `mask: false` for it in the agent's {SETTING}")
        own = [*masked.values(), *(value.encode() for _, value in sealed)]
        kept_back = await self._kept_back(sources.keys(), folder)
        self._used += Counter(own)
        try:
            patterns = await self._patterns({*own, *kept_back, *self._used})
        except BaseException:
            self.no_longer_in_use(own)
            raise
        return Unlocked(
            opened,
            values=values,
            as_files=frozenset(name for name, source in sources.items() if source.handover is Handover.FILE),
            patterns=patterns,
            _vault=self,
            _in_use=own,
            notes=[
                f"[hybridci] The secret {name} is not masked in this log."
                for name in sorted(values.keys() - masked.keys())
            ],
        )

    async def _kept_back(self, asked: Collection[str], folder: Path) -> list[bytes]:
        """What the agent holds and this attempt has not asked for, as far as that is known without asking others."""
        near = {
            name: source
            for name, source in (self._sources or {}).items()
            if name not in asked and source.mask and source.kind in _NEAR
        }
        found = [*self._held.values()]
        for source in near.values():
            with suppress(FetchFailed):
                found.append(await self._providers.fetch(source, folder))
        return [value for value in found if weakness(value.decode(errors="replace")) is None]

    async def _patterns(self, values: set[bytes]) -> Patterns | None:
        """Made once for the same values: most attempts of an agent have nothing of their own."""
        if not values:
            return None
        key = frozenset(values)
        async with self._making:
            known = self._made.get(key)
            if known is None:
                known = self._made[key] = await asyncio.to_thread(Patterns, key)
            return known

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
