"""What the agent's operator lets be asked that git does not know: metrics, and whether an artifact can be had.

```yaml
# HYBRIDCI_PROBES_FILE
metrics:
  error-rate: {command: [/opt/checks/error-rate]}        # prints one number
artifact: {command: [/opt/checks/artifact], timeout_seconds: 20}   # exit code 0: it can be had; 1: it cannot
```

A question names a metric or an artifact and never a command. The command finds what was asked in HYBRIDCI_TASK_METRIC,
_ARTIFACT, _SERVICE, _ENVIRONMENT, _VERSION, _REPO and _COMMIT, and has the agent's environment without its keys.
Deliberately not here: what an answer is used for.
"""

import math
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, StringConstraints, TypeAdapter

from agent.own_environment import for_commands
from agent.settings import AgentSettings
from agent.steps.process import EndReason, SpawnError, StopSignal, run_process
from agent.yaml_file import read_yaml
from workflows.contracts.base import Frozen
from workflows.contracts.fields import Name

SETTING: Final = "HYBRIDCI_PROBES_FILE"
_WITHOUT_STDERR: Final = ("bash", "-c", 'exec "$@" 2>/dev/null', "probe")
_MAX_OUTPUT: Final = 4096
_GRACE_SECONDS: Final = 0.5
_CANNOT: Final = 1


class ProbeFailed(Exception):
    """The command did not say; the message says why, without what it printed."""


class Probe(Frozen):
    """One command, without a shell."""

    command: list[Annotated[str, StringConstraints(min_length=1)]] = Field(min_length=1)
    timeout_seconds: float = Field(default=10, gt=0, le=110, allow_inf_nan=False)


class ProbesFile(Frozen):
    """The file."""

    metrics: dict[Name, Probe] = Field(default_factory=dict[str, Probe], max_length=1000)
    artifact: Probe | None = None


class Probes:
    """What can be asked here."""

    def __init__(self, file: ProbesFile | None = None) -> None:
        self._file = file or ProbesFile()

    @classmethod
    def load(cls, settings: AgentSettings) -> Self:
        """As the agent is set up. Raises SettingsError."""
        path = settings.probes_file
        return cls(None if path is None else read_yaml(path, SETTING, TypeAdapter(ProbesFile)))

    @property
    def has_metrics(self) -> bool:
        """True when a metric can be asked for."""
        return bool(self._file.metrics)

    @property
    def has_artifact(self) -> bool:
        """True when it can be asked whether an artifact can be had."""
        return self._file.artifact is not None

    async def metric(self, name: str, about: Mapping[str, str | None], seconds: float) -> float:
        """What it reads now. Raises ProbeFailed."""
        probe = self._file.metrics.get(name)
        if probe is None:
            raise ProbeFailed(f"This agent has no metric {name}: add it to {SETTING} on its host.")
        code, said = await _run(probe, {"METRIC": name, **about}, seconds)
        if code != 0:
            raise ProbeFailed(f"The command of the metric {name} ended with exit code {code}.")
        try:
            value = float(said)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ProbeFailed(f"The command of the metric {name} printed no number.")
        return value

    async def artifact(self, artifact: str, about: Mapping[str, str | None], seconds: float) -> bool:
        """Whether it can be had. Raises ProbeFailed."""
        if self._file.artifact is None:
            raise ProbeFailed(f"This agent has no check of artifacts: add `artifact` to {SETTING} on its host.")
        code, _ = await _run(self._file.artifact, {"ARTIFACT": artifact, **about}, seconds)
        if code not in {0, _CANNOT}:
            raise ProbeFailed(f"The check of artifacts ended with exit code {code}; 0 says yes and 1 says no.")
        return code == 0


async def _run(probe: Probe, about: Mapping[str, str | None], seconds: float) -> tuple[int, str]:
    output = bytearray()
    env = for_commands() | {f"HYBRIDCI_TASK_{name}": value for name, value in about.items() if value is not None}

    def take(data: bytes) -> None:
        output.extend(data)
        if len(output) > _MAX_OUTPUT:
            raise ProbeFailed(f"Its command printed more than {_MAX_OUTPUT} bytes.")

    try:
        with tempfile.TemporaryDirectory(prefix="hybridci-probe-") as folder:
            end = await run_process(
                [*_WITHOUT_STDERR, *probe.command],
                cwd=Path(folder),
                env=env,
                on_output=take,
                stop=StopSignal(),
                timeout_seconds=min(probe.timeout_seconds, seconds),
                cookie=f"probe-{uuid.uuid4()}",
                grace_seconds=_GRACE_SECONDS,
            )
    except (SpawnError, OSError) as error:
        raise ProbeFailed("Its command could not be started.") from error
    if end.reason is not EndReason.EXITED:
        raise ProbeFailed(f"Its command took longer than {min(probe.timeout_seconds, seconds):g} s.")
    return end.exit_code, output.decode(errors="replace").strip()
