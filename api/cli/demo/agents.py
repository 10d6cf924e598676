"""The demo's two agents, each as on a machine of its own: the one that is killed is not started again.

`hybridci up` would start it again at once, and the lost job could go on there as well as on the other one.
Deliberately not here: what an agent needs to know (``stack.children``).
"""

import contextlib
import signal
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Final

from api.cli.demo.checks import DemoFailed
from api.cli.stack.child_stack import StackFailed
from api.cli.stack.children import Options, process_specs
from api.cli.stack.data_dir import DataDir
from api.cli.stack.leftovers import AGENT_PREFIX

_COUNT: Final = 2
_READY: Final = b" works for pool "
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05


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
    """Start them and stop them at the end. Raises StackFailed, OSError."""
    agents = Agents(data, {})
    try:
        for spec in process_specs(replace(options, agents=_COUNT), data):
            if spec.name.startswith(AGENT_PREFIX):
                with (data.logs / f"{spec.name}.log").open("ab") as log:
                    agents.processes[spec.name] = subprocess.Popen(
                        spec.command, stdout=log, stderr=log, env=spec.env, cwd=data.root, start_new_session=True
                    )
        _wait_ready(agents)
        yield agents
    finally:
        _stop(agents)


def _wait_ready(agents: Agents) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    for name, process in agents.processes.items():
        log = agents.data.logs / f"{name}.log"
        while _READY not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise StackFailed(f"{name} does not start. Its log: {log}")
            time.sleep(_LOOK_SECONDS)


def _stop(agents: Agents) -> None:
    """What they run ends with them."""
    running = [process for process in agents.processes.values() if process.poll() is None]
    for process in running:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    for process in running:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.send_signal(signal.SIGTERM)  # the second one ends what still runs
            process.wait()
