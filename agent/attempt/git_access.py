"""Whether an attempt's steps read its repositories through the agent, and by which word. How: ``git.loopback``."""

import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from agent.attempt.host import Host
from agent.git.loopback import readable


class GitAccess:
    """Of one attempt, on an agent whose operator may have turned it on."""

    def __init__(self, host: Host, cookie: str) -> None:
        self._host, self._cookie = host, f"{cookie}-git"
        self._word = secrets.token_urlsafe(32)

    def hold_word(self, slot: int) -> None:
        """Before the attempt's secrets are unlocked, so that its log masks the word. One a slot is remembered."""
        if self._host.git_proxy:
            self._host.vault.hold({f"git access of slot {slot}": self._word.encode()})

    @asynccontextmanager
    async def during_steps(self, workspace: Path, env: Mapping[str, str]) -> AsyncGenerator[dict[str, str]]:
        """The variables that steps get beside ``env``; none where it is off, or where nothing was checked out.

        Raises OSError.
        """
        repos = self._host.checkout.reached(workspace) if self._host.git_proxy else []
        if not repos:
            yield {}
            return
        self._host.guardian.register(self._cookie)
        try:
            async with readable(
                repos,
                word=self._word,
                protocols=self._host.git_proxy,
                cookie=self._cookie,
                env=env,
                user=self._host.job_user,
            ) as variables:
                yield variables
        finally:
            self._host.guardian.unregister(self._cookie)
