"""What an attempt has on disk while it runs, and the tidying of it. The folder's parts are in ``directory``."""

import asyncio
from dataclasses import dataclass

from agent.attempt.directory import AttemptDir
from agent.git.checkout import Checkout
from agent.logs.masked import MaskedLog


@dataclass(frozen=True, slots=True)
class Files:
    """What an attempt has on disk. ``sending`` ends when the log is in the API's hands."""

    directory: AttemptDir
    log: MaskedLog
    sending: asyncio.Task[None]


async def tidy(files: Files, checkout: Checkout) -> None:
    """The workspace at once, the log when it is sent; a log that is not stays for the next agent."""
    try:
        await files.directory.remove_workspace()
    finally:
        checkout.leave(files.directory.workspace)
    await asyncio.wait({files.sending})
    if not files.sending.cancelled():
        await files.directory.remove()
