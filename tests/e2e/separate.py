"""`hybridci api`, `worker`, `agent` and `gateway` as separate processes with nothing but environment variables.

Temporal and the AWS APIs are the caller's own; the Temporal namespace, tables and bucket are not the default ones.
"""

import os
import signal
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from api.cli.stack import embedded
from api.cli.stack.launching import launch
from tests import servers
from tests.e2e.stack import HYBRIDCI
from tests.servers import HOST, OWN_CODE, free_port, wait_until

NAMESPACE = "production-like"
ADMIN_KEY, AGENT_KEY = "admin-" + "a" * 40, "agent-" + "b" * 40
READY = {"worker": "control worker ready", "agent": " works for pool ", "gateway": "gateway ready"}


@dataclass(frozen=True)
class Surroundings:
    """What the processes are told, each by its own variables."""

    folder: Path
    url: str
    environments: Mapping[str, Mapping[str, str]]


@contextmanager
def surrounded(folder: Path) -> Generator[Surroundings]:
    """Servers for the processes, on this folder."""
    with (
        servers.running(servers.temporal_server(folder)) as temporal,
        servers.running(servers.aws_server(folder)) as aws,
    ):
        create = [embedded.binary("temporal", ""), "operator", "namespace", "create", "-n", NAMESPACE]
        subprocess.run([*create, "--address", temporal.address], check=True, capture_output=True)
        port = free_port()
        (folder / "admin.key").write_text(ADMIN_KEY + "\n")
        connection = {"TEMPORAL_ADDRESS": temporal.address, "TEMPORAL_NAMESPACE": NAMESPACE}
        endpoint = f"http://{aws.address}"
        stores = {
            "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "DYNAMODB_ENDPOINT_URL": endpoint, "S3_ENDPOINT_URL": endpoint, "S3_BUCKET": "our-own-logs",
            "DYNAMODB_TABLE_JOBS": "our-jobs", "DYNAMODB_TABLE_STATISTICS": "our-numbers", "ENVIRONMENT": "e2e",
        }  # fmt: skip
        api = {
            "HYBRIDCI_PORT": str(port), "HYBRIDCI_ADMIN_KEY_FILE": str(folder / "admin.key"),
            "HYBRIDCI_AGENT_KEY": AGENT_KEY,
        }  # fmt: skip
        agent = {
            "HYBRIDCI_URL": f"http://{HOST}:{port}", "HYBRIDCI_API_KEY": AGENT_KEY,
            "HYBRIDCI_AGENT_DIR": str(folder / "agent"),
        }  # fmt: skip
        (folder / "gateway.key").write_text("g" * 40 + "\n")
        gateway = {
            "HYBRIDCI_URL": f"http://{HOST}:{port}", "HYBRIDCI_GATEWAY_PORT": str(free_port()),
            "HYBRIDCI_GATEWAY_TLS": "off", "HYBRIDCI_GATEWAY_KEY_FILE": str(folder / "gateway.key"),
        }  # fmt: skip
        yield Surroundings(
            folder,
            f"http://{HOST}:{port}",
            {
                "api": {**connection, **stores, **api},
                "worker": {**connection, **stores},
                "agent": {**connection, **agent},
                "gateway": {**connection, **gateway},
            },
        )


class Processes:
    """The processes of one run."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *options: str, more: Mapping[str, str] | None = None) -> None:
        """``more``: variables that only this start is given."""
        folder, log = self._surroundings.folder, self.log(name)
        log.write_bytes(b"")
        own = {"PATH": os.environ["PATH"], "HOME": str(folder), **OWN_CODE, **self.environment(name), **(more or {})}
        self._running[name] = launch([*HYBRIDCI, name, *options], log, env=own, cwd=folder)

    def environment(self, name: str) -> Mapping[str, str]:
        return self._surroundings.environments[name]

    def wait_ready(self, name: str) -> None:
        wait_until(lambda: self._ended(name) or self._ready(name), seconds=60, what=f"{name} ready")
        assert not self._ended(name), self.log(name).read_text()

    def stop(self, number: signal.Signals, *names: str) -> dict[str, int]:
        """Signal them all at once; their exit codes."""
        stopping = {name: self._running.pop(name) for name in names}
        for process in stopping.values():
            process.send_signal(number)
        return {name: process.wait(20) for name, process in stopping.items()}

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def log(self, name: str) -> Path:
        return self._surroundings.folder / f"{name}.log"

    def kill(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait(10)

    def _ended(self, name: str) -> bool:
        return self._running[name].poll() is not None

    def _ready(self, name: str) -> bool:
        if name in READY:
            return READY[name] in self.log(name).read_text()
        return servers.answers_ok(f"{self._surroundings.url}/health/ready")
