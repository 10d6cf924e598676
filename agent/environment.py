"""The environment of a step: clean, documented, nothing of the agent's own."""

from collections.abc import Mapping
from pathlib import Path

from workflows.contracts.attempts import AttemptInput
from workflows.contracts.jobs import Step


def build_environment(
    attempt: AttemptInput,
    *,
    agent_id: str,
    workspace: Path,
    home: Path,
    temp: Path,
    path: str,
    secrets: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The variables of every step of the attempt: defaults, then the job's ``env``, then secrets."""
    raise NotImplementedError


def step_environment(base: Mapping[str, str], step: Step) -> dict[str, str]:
    """``base`` with the step's own ``env`` on top."""
    raise NotImplementedError
