"""Secrets that a command of the agent's operator prints: Vault, 1Password, pass, a script of one's own."""

import uuid
from pathlib import Path
from typing import Final

from agent.own_environment import for_commands
from agent.secrets.config import SecretSource
from agent.secrets.errors import FetchFailed
from agent.steps.process import EndReason, SpawnError, StopSignal, run_process

MAX_SECRET_BYTES: Final = 1 << 20
_WITHOUT_STDERR: Final = ("bash", "-c", 'exec "$@" 2>/dev/null', "secret")
"""What a failing command says may hold the secret, and nobody could mask it."""
_GRACE_SECONDS: Final = 0.5
_NOT_FOUND: Final = 127


async def from_command(source: SecretSource, folder: Path) -> bytes:
    """What the command prints. It has the agent's environment without its keys, and ``folder`` as its own."""
    argv = source.command or []
    output = bytearray()

    def take(data: bytes) -> None:
        output.extend(data)
        if len(output) > MAX_SECRET_BYTES:
            raise FetchFailed(f"its command printed more than {MAX_SECRET_BYTES} bytes")

    try:
        end = await run_process(
            [*_WITHOUT_STDERR, *argv],
            cwd=folder,
            env=for_commands(),
            on_output=take,
            stop=StopSignal(),
            timeout_seconds=source.timeout_seconds,
            cookie=f"secret-{uuid.uuid4()}",
            grace_seconds=_GRACE_SECONDS,
        )
    except SpawnError as error:
        raise FetchFailed("its command could not be started", retryable=True) from error
    if end.reason is not EndReason.EXITED:
        raise FetchFailed(f"its command took longer than {source.timeout_seconds:g} s", retryable=True)
    if end.exit_code == _NOT_FOUND:
        raise FetchFailed(f"its command {argv[0]!r} was not found on the agent's host")
    if end.exit_code != 0:
        raise FetchFailed(
            f"its command ended with exit code {end.exit_code}; run it as the agent's user to see what it says",
            retryable=True,
        )
    return bytes(output)
