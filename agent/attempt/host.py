"""What an agent offers to each of its attempts, and the tidying that goes on after they have been reported."""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.attempt.places import SlotPlaces
from agent.attempt.resume import ResumeStore
from agent.control.api import ControlPlane
from agent.git.checkout import Checkout
from agent.hooks.folder import HookFolder
from agent.logs.sender import LogShipper
from agent.safety.approvals import ApprovalRules
from agent.safety.fences import Fences
from agent.safety.guardian import Guardian
from agent.safety.specifications import Specifications
from agent.secrets import Vault
from agent.steps.executors import Executor
from agent.steps.given import Given
from agent.steps.job_user import JobUser

logger = logging.getLogger(__name__)


class Tidying:
    """Clean-up in the background, by attempt, so that a result does not wait for the removal of a workspace."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, cookie: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin; at the end the attempt is forgotten, and a failure is logged."""
        task = asyncio.create_task(work, name=f"tidy {cookie}")
        self._tasks[cookie] = task
        task.add_done_callback(lambda done: self._ended(cookie, done))

    async def wait_for(self, cookie: str) -> None:
        """Wait until nothing of this attempt is being tidied."""
        task = self._tasks.get(cookie)
        if task is not None:
            await asyncio.wait({task})

    async def drain(self, seconds: float) -> None:
        """Wait for all, ``seconds`` at most; the next agent on this directory removes the rest."""
        if self._tasks:
            _, pending = await asyncio.wait(set(self._tasks.values()), timeout=seconds)
            for task in pending:
                task.cancel()

    def _ended(self, cookie: str, done: asyncio.Task[None]) -> None:
        if self._tasks.get(cookie) is done:
            del self._tasks[cookie]
        if not done.cancelled() and done.exception() is not None:
            logger.error("The files of attempt %s could not be removed", cookie, exc_info=done.exception())


@dataclass(frozen=True, slots=True)
class Host:
    """Shared by all attempts of one agent. Sizes in bytes."""

    agent_id: str
    state_dir: Path
    max_log_bytes: int
    max_artifact_bytes: int
    control_plane: ControlPlane
    shipper: LogShipper
    checkout: Checkout
    executor: Executor
    guardian: Guardian
    fences: Fences
    places: SlotPlaces
    vault: Vault = field(default_factory=Vault)
    approvals: ApprovalRules | None = None
    specifications: Specifications | None = None
    job_user: JobUser | None = None
    given: Given = field(default_factory=Given)
    resume: ResumeStore | None = None
    hooks: HookFolder | None = None
    git_proxy: tuple[str, ...] = ()
    """Of which kinds of addresses steps may read the job's repositories through the agent; none: they may not."""
    tidying: Tidying = field(default_factory=Tidying)
