"""The demo's two agents, each as on a machine of its own: the one that is killed is not started again.

`hybridci up` would start it again at once, and the lost job could go on there as well as on the other one.
Deliberately not here: what an agent needs to know (``stack.children``).
"""

import contextlib
import subprocess
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from api.cli.demo.checks import DemoFailed
from api.cli.stack.children import Options, process_specs
from api.cli.stack.data_dir import DataDir
from api.cli.stack.launching import launch, stop, wait_ready
from api.cli.stack.leftovers import AGENT_PREFIX

_COUNT: Final = 2
_READY: Final = b" works for pool "
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Agents:
    """Running agents, by name."""

    data: DataDir
    processes: dict[str, subprocess.Popen[bytes]]

    def name_of(self, agent_id: str) -> str:
        """The name of the agent that calls itself so. Raises DemoFailed."""
        for number, name in enumerate(self.processes, 1):
            known = self.data.agent(number) / "agent-id"
            if known.exists() and known.read_text(encoding="utf-8").strip() == agent_id:
                return name
        raise DemoFailed("The agent that runs the job", expected="one of the demo's", seen=agent_id)

    def pid(self, name: str) -> int:
        """Its process id."""
        return self.processes[name].pid

    def kill(self, name: str) -> None:
        """As when its machine loses power."""
        self.processes[name].kill()
        self.processes[name].wait()


@contextlib.contextmanager
def running_agents(options: Options, data: DataDir) -> Generator[Agents]:
    """Start them and stop them at the end. Raises StartFailed, OSError."""
    agents = Agents(data, {})
    try:
        for spec in process_specs(replace(options, agents=_COUNT), data):
            if spec.name.startswith(AGENT_PREFIX):
                log = data.logs / f"{spec.name}.log"
                agents.processes[spec.name] = launch(spec.command, log, env=spec.env, cwd=data.root, bound=True)
        for name, process in agents.processes.items():
            _wait_ready(name, process, data.logs / f"{name}.log")
        yield agents
    finally:
        stop(*agents.processes.values(), seconds=_STOP_SECONDS)  # what they run ends with them


def _wait_ready(name: str, process: subprocess.Popen[bytes], log: Path) -> None:
    wait_ready(name, process, lambda: _READY in log.read_bytes(), log=log, seconds=_READY_SECONDS)
