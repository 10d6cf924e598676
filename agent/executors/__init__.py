"""Ways to run a step, by name. A container executor would be one more entry."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from agent.executors.shell import ShellExecutor
from agent.process import OnOutput, ProcessEnd, StopSignal
from workflows.contracts.jobs import Step


class Executor(Protocol):
    """Runs one step to its end; a command that fails or does not exist is a value, as it is for a shell."""

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
        """``scripts`` is a folder outside the workspace for the step's script; ``on_started`` gets the group's id.

        Raises OSError when the script cannot be written (disk full), and what ``on_output`` raises.
        """
        ...


DEFAULT_EXECUTOR: Final = "shell"
EXECUTORS: Final[Mapping[str, Callable[[], Executor]]] = {"shell": ShellExecutor}
