"""Steps as scripts run by a shell on the agent's host."""

from collections.abc import Callable, Mapping
from pathlib import Path

from agent.process import OnOutput, ProcessEnd, StopSignal
from workflows.contracts.jobs import Step


class ShellExecutor:
    """Runs ``bash -eo pipefail <script>``, or the step's own ``shell`` command line."""

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
        """Run the step."""
        raise NotImplementedError
