"""Ways to run a step, by name: one more is a module beside ``shell`` and a line in ``EXECUTORS``.

An agent runs all its steps in one way, which HYBRIDCI_AGENT_EXECUTOR names: where commands run is the customer's choice
and not a job's.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from agent.settings import DEFAULT_EXECUTOR, SettingsError
from agent.steps.executors.shell import ShellExecutor
from agent.steps.job_user import JobUser
from agent.steps.process import USUAL_ENDING, OnOutput, ProcessEnd, StopSignal
from agent.steps.process import StepEnding as StepEnding
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
        ending: StepEnding = USUAL_ENDING,
    ) -> ProcessEnd:
        """``scripts`` is a folder outside the workspace for the step's script; ``on_started`` gets the group's id.

        Raises OSError when the script cannot be written (disk full), and what ``on_output`` raises.
        """
        ...


EXECUTORS: Final[Mapping[str, Callable[[JobUser | None], Executor]]] = {DEFAULT_EXECUTOR: ShellExecutor}


def executor_named(name: str, user: JobUser | None = None) -> Executor:
    """A new one, for steps of ``user`` (None: the agent's). Raises SettingsError that says which there are."""
    if name not in EXECUTORS:
        raise SettingsError(f"HYBRIDCI_AGENT_EXECUTOR is {name!r}; set it to one of: {', '.join(sorted(EXECUTORS))}.")
    return EXECUTORS[name](user)
