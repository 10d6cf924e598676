"""The labels this agent has: its system's and what its owner says of it. Demands of jobs: ``contracts.labels``."""

import platform
from typing import Final

from pydantic import TypeAdapter, ValidationError

from agent.settings import AgentSettings, SettingsError
from workflows.contracts.agents import MAX_AGENT_LABELS
from workflows.contracts.labels import LabelKey, LabelValue
from workflows.contracts.workspace.features import FEATURES

_KEY: Final = TypeAdapter[str](LabelKey)
_VALUE: Final = TypeAdapter[str](LabelValue)
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
"""One name each, those of container images, whatever the system calls them."""


def agent_labels(settings: AgentSettings) -> dict[str, str]:
    """``os`` and ``arch``, unless HYBRIDCI_AGENT_LABELS says otherwise, what this version knows, and what the setting
    adds. Raises SettingsError.
    """
    machine = platform.machine().lower()
    labels = {"os": platform.system().lower(), "arch": _ARCHITECTURES.get(machine, machine)}
    for entry in filter(None, (part.strip() for part in settings.labels.split(","))):
        key, _, value = (part.strip() for part in entry.partition("="))
        try:
            labels[_KEY.validate_python(key)] = _VALUE.validate_python(value)
        except ValidationError as error:
            raise SettingsError(
                f"HYBRIDCI_AGENT_LABELS has {entry!r}, which is no label: write them like 'gpu=a100,ssd', with letters "
                "and digits, up to 63 of them, and inside also any of '._/-'."
            ) from error
    if (count := len(labels.keys() - set(FEATURES))) > MAX_AGENT_LABELS:
        raise SettingsError(
            f"HYBRIDCI_AGENT_LABELS gives this agent {count} labels; at most {MAX_AGENT_LABELS} are allowed."
        )
    return dict.fromkeys(FEATURES, "1") | labels
