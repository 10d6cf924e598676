"""Ways to a secret's value, by kind. One more provider is one more entry, and one more field of ``SecretSource``."""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.own_environment import variable
from agent.secrets.command import MAX_SECRET_BYTES, from_command
from agent.secrets.config import ProviderKind, SecretSource
from agent.secrets.errors import FetchFailed

if TYPE_CHECKING:
    from agent.secrets.aws import AwsSecrets

Fetch = Callable[[SecretSource, Path], Awaitable[bytes]]
"""The value, for a source of this kind. ``folder`` is one that a command may work in. Raises FetchFailed."""


class Providers:
    """All providers of one agent."""

    def __init__(self) -> None:
        self._aws: AwsSecrets | None = None
        self._loading = asyncio.Lock()
        self._by_kind: dict[ProviderKind, Fetch] = {
            ProviderKind.ENV: _from_env,
            ProviderKind.FILE: _from_file,
            ProviderKind.AWS_SECRET: self._from_secrets_manager,
            ProviderKind.SSM: self._from_ssm,
            ProviderKind.COMMAND: from_command,
        }

    async def fetch(self, source: SecretSource, folder: Path) -> bytes:
        """The value, within the source's time. Raises FetchFailed."""
        try:
            async with asyncio.timeout(source.timeout_seconds + 1):  # a command's own limit comes first and says more
                value = await self._by_kind[source.kind](source, folder)
        except TimeoutError:
            raise FetchFailed(f"it took longer than {source.timeout_seconds:g} s", retryable=True) from None
        if len(value) > MAX_SECRET_BYTES:
            raise FetchFailed(f"it is longer than {MAX_SECRET_BYTES} bytes")
        return value

    async def _from_secrets_manager(self, source: SecretSource, folder: Path) -> bytes:
        return await (await self._loaded_aws()).secret(source)

    async def _from_ssm(self, source: SecretSource, folder: Path) -> bytes:
        return await (await self._loaded_aws()).parameter(source)

    async def _loaded_aws(self) -> "AwsSecrets":
        async with self._loading:
            if self._aws is None:
                self._aws = await asyncio.to_thread(_load_aws)
            return self._aws


def _load_aws() -> "AwsSecrets":
    """boto3 takes half a second and 30 MB, which only agents with such secrets pay."""
    from agent.secrets.aws import AwsSecrets

    return AwsSecrets()


async def _from_env(source: SecretSource, folder: Path) -> bytes:
    value = variable(source.env or "")
    if value is None:
        raise FetchFailed(f"the agent's environment has no variable {source.env}")
    return value


async def _from_file(source: SecretSource, folder: Path) -> bytes:
    return await asyncio.to_thread(_read, source.file or Path())


def _read(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a fifo must not make the open wait
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise FetchFailed(f"{path} is no regular file")
            return file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise FetchFailed(f"{path} cannot be read ({error.strerror})", retryable=True) from None
