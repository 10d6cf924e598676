"""Ways to run a step, by name. A container executor would be one more entry."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from agent.process import OnOutput, ProcessEnd, StopSignal
from workflows.contracts.jobs import Step


class Executor(Protocol):
    """Runs one step to its end; a failing command is a value. Raises SpawnError only for the host's own trouble."""

    async def run(
        self,
        step: Step,
        *,
        workspace: Path,
        scripts: Path,
        env: Mapping[str, str],
        on_output: OnOutput,
        stop: StopSignal,
        timeout_seconds: float | None,
        cookie: str,
        on_started: Callable[[int], None] | None = None,
    ) -> ProcessEnd:
        """``scripts`` is a folder outside the workspace for the step's script; ``on_started`` gets the group's id."""
        ...
