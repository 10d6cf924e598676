"""A stack of the benchmark's own: `hybridci up` as a child, on free ports and in a folder that goes with it."""

import contextlib
import shutil
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from api.cli.benchmark.wire import Api, BenchmarkFailed
from api.cli.stack.child_stack import free_ports, running_stack
from api.cli.stack.children import LOOPBACK, Options, process_specs
from api.cli.stack.data_dir import DataDir, read_json
from api.cli.stack.embedded import AWS_TRACE_FILE
from api.cli.stack.launching import StartFailed


@dataclass(frozen=True, slots=True)
class OwnStack:
    """A stack that is up."""

    options: Options
    data: DataDir
    root_pid: int

    def api(self) -> Api:
        """A new connection with the admin's key."""
        key = self.data.admin_key.read_text(encoding="utf-8").strip()
        return Api(LOOPBACK, self.options.api_port, key)

    def environment(self, name: str) -> Mapping[str, str]:
        """The environment that a child of this name has."""
        (spec,) = (spec for spec in process_specs(self.options, self.data) if spec.name == name)
        return spec.env

    def agent_command(self) -> Sequence[str]:
        """The command line of an agent."""
        return next(spec.command for spec in process_specs(self.options, self.data) if spec.name == "agent-1")

    def processes(self) -> dict[str, psutil.Process]:
        """The supervisor and its children by name. Raises BenchmarkFailed when one has died."""
        children: list[dict[str, object]] = read_json(self.data.processes).get("children", [])
        pids = {"up": self.root_pid, **{str(child["name"]): int(str(child["pid"])) for child in children}}
        try:
            return {name: psutil.Process(pid) for name, pid in pids.items()}
        except psutil.NoSuchProcess as error:
            raise BenchmarkFailed(f"A part of the stack died: {error}. Its log is in {self.data.logs}.") from error


@contextlib.contextmanager
def own_stack(folder: Path, *, agents: int, capacity: int, aws_trace: Path | None = None) -> Generator[OwnStack]:
    """Start a stack in ``folder``, which must not exist, and stop it at the end. ``aws_trace``: where each request to
    the embedded AWS APIs is noted. Raises BenchmarkFailed.
    """
    folder.mkdir(mode=0o700)
    api, temporal, ui, aws, gateway = free_ports(5)
    options = Options(
        api_port=api, temporal_port=temporal, ui_port=ui, aws_port=aws, gateway_port=gateway,
        agents=agents, agent_capacity=capacity, drain_seconds=20,
    )  # fmt: skip
    data = DataDir(folder / "data")
    try:
        more = {} if aws_trace is None else {AWS_TRACE_FILE: str(aws_trace)}
        with running_stack(options, data.root, more) as pid:
            yield OwnStack(options, data, pid)
    except StartFailed as error:
        raise BenchmarkFailed(f"The stack to measure did not start. {error}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
