"""Steps as scripts run by a shell on the agent's host, as the agent's user or as another one (``steps.job_user``).
Deliberately not here: any other isolation.
"""

import inspect
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from agent.own_environment import own_path
from agent.steps.environment import step_environment
from agent.steps.job_user import JobUser
from agent.steps.process import (
    USUAL_ENDING,
    EndReason,
    OnOutput,
    ProcessEnd,
    SpawnError,
    StepEnding,
    StopSignal,
    run_process,
)
from workflows.contracts.jobs import Step

_DEFAULT_SHELL: Final = "bash --noprofile --norc -eo pipefail {0}"
_PLACEHOLDER: Final = "{0}"


class ShellExecutor:
    """Runs ``bash -eo pipefail <script>``, or the step's own ``shell`` command line.

    ``shell`` is split as a shell would and started without one; ``{0}`` stands for the script's path, which is appended
    where there is no ``{0}`` (``python3``, ``node --trace-warnings``, ``perl {0} --flag``).
    """

    def __init__(self, user: JobUser | None = None) -> None:
        self._user = user

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
        """Run the step. A shell that cannot be started ends with 127 or 126 and a line in the output.

        Raises OSError when the script cannot be written, and what ``on_output`` raises.
        """
        started_at = time.time_ns() // 1_000_000
        script = _write_script(scripts, step.run, self._user)
        try:
            own = step_environment(env, step)
            argv = _found(_command_line(step.shell or _DEFAULT_SHELL, script), step, own, workspace)
            return await run_process(
                argv,
                cwd=workspace,
                env=own,
                on_output=on_output,
                stop=stop,
                timeout_seconds=timeout_seconds,
                cookie=cookie,
                on_started=on_started,
                grace_seconds=ending.grace_seconds,
                interrupt=ending.interrupt,
                kept=ending.kept,
                user=self._user,
            )
        except SpawnError as error:
            result = on_output(f"{error}\n".encode(errors="replace"))
            if inspect.isawaitable(result):
                await result
            return ProcessEnd(error.exit_code, None, EndReason.EXITED, started_at, time.time_ns() // 1_000_000)


def _write_script(scripts: Path, text: str, user: JobUser | None) -> Path:
    """Outside the workspace, so that a checkout stays clean; a fresh name, so that no step edits the next one's."""
    handle, name = tempfile.mkstemp(prefix="step-", dir=scripts)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        file.write(text if text.endswith("\n") else text + "\n")
        if user is not None:
            os.fchown(file.fileno(), user.uid, user.gid)
    return Path(name)


def _found(argv: list[str], step: Step, env: Mapping[str, str], workspace: Path) -> list[str]:
    """With the program's whole path. Our own shell is where the agent finds it, whatever PATH the job has; one that the
    step names is looked for in the job's PATH first. Raises SpawnError.
    """
    program, *rest = argv
    if "/" in program:
        return argv
    path = env.get("PATH", "")
    found = None if step.shell is None or not path else shutil.which(program, path=_from_there(path, workspace))
    found = found or shutil.which(program, path=_from_there(own_path(), Path.cwd()))
    if found is None:
        raise SpawnError(
            f"{program}: command not found, neither in the step's PATH ({path}) nor in the agent's. Install it on the "
            "agent's host, or correct the name or the PATH.",
            127,
        )
    return [found, *rest]


def _from_there(path: str, folder: Path) -> str:
    """A PATH whose relative folders are of this one."""
    return os.pathsep.join(str(folder / part) for part in path.split(os.pathsep))


def _command_line(shell: str, script: Path) -> list[str]:
    try:
        words = shlex.split(shell)
    except ValueError as error:
        raise SpawnError(
            f"The step's shell {shell!r} cannot be split into words: {error}. Correct its quotes.", 126
        ) from error
    if not words:
        raise SpawnError("The step's shell is empty. Leave it out, or name a program.", 126)
    if not any(_PLACEHOLDER in word for word in words):
        return [*words, str(script)]
    return [word.replace(_PLACEHOLDER, str(script)) for word in words]
