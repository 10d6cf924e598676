"""What an attempt has on disk while it runs, and the tidying of it. The folder's parts are in ``directory``."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.attempt.directory import AttemptDir
from agent.attempt.places import SlotPlace
from agent.attempt.removal import remove_all
from agent.logs.masked import MaskedLog


@dataclass(frozen=True, slots=True)
class Files:
    """What an attempt has on disk. ``sending`` ends when the log is in the API's hands."""

    directory: AttemptDir
    place: SlotPlace
    log: MaskedLog
    sending: asyncio.Task[None]


async def tidy(files: Files, aside: Sequence[Path]) -> None:
    """What is ``aside`` at once, the log when it is sent; a log that is not stays for the next agent."""
    try:
        await asyncio.to_thread(remove_all, aside)
    finally:
        await files.directory.remove_workspace()
    await asyncio.wait({files.sending})
    if not files.sending.cancelled():
        await files.directory.remove()
