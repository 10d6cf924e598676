"""Clients that public generators make of our OpenAPI document: without a warning, and they do what people do."""

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import memory_app
from tests.e2e.stack import Stack, repository
from tests.servers import wait_until

BIN = Path(sys.executable).parent
CONFIG = """
content_type_overrides:
  application/yaml: application/octet-stream
  application/jsonl: application/octet-stream
  application/zip: application/octet-stream
"""
"""What docs/recipes.md says to give the generator, which knows no YAML and no JSON lines."""
ITS_OWN = ("OpenAPI 3.1 support is still in beta", "Failed to get the schema name: null")
"""What the TypeScript generator says to every document of our version; the second to every ``additionalProperties:
false``, by which a body says that it takes no other fields."""


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    path.write_text(json.dumps(memory_app()[0].openapi()))
    return path


@pytest.fixture(scope="module")
def generated(document: Path) -> Iterator[str]:
    """The Python client, to be imported. Its generator had nothing to say."""
    config, made = document.with_name("config.yml"), document.with_name("client")
    config.write_text(CONFIG)
    command = [BIN / "openapi-python-client", "generate", "--path", document, "--output-path", made, "--meta", "none"]
    done = subprocess.run(
        [*map(str, command), "--config", str(config), "--fail-on-warning"], check=False, capture_output=True, text=True,
        env={"PATH": f"{BIN}:/usr/bin:/bin"}, cwd=document.parent, timeout=120,
    )  # fmt: skip
    assert (done.returncode, "WARNING" in done.stdout + done.stderr) == (0, False), done.stdout + done.stderr
    sys.path.insert(0, str(document.parent))
    yield made.name
    sys.path.remove(str(document.parent))


@pytest.fixture
def client(generated: str, stack: Stack) -> Iterator["Generated"]:
    client = Generated(generated, stack)
    with client.connection:
        yield client


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("up"))
    stack.start()
    try:
        stack.wait_ready()
        yield stack
    finally:
        stack.kill_everything()


class Generated:
    """The generated client before a stack."""

    def __init__(self, package: str, stack: Stack) -> None:
        self._package = package
        key = (stack.data / "admin.key").read_text().strip()
        self.connection: Any = self._module("client").AuthenticatedClient(base_url=stack.url, token=key)

    def _module(self, name: str) -> Any:
        return importlib.import_module(f"{self._package}.{name}")

    def model(self, name: str, values: dict[str, Any]) -> Any:
        return getattr(self._module("models"), name).from_dict(values)

    def do(self, operation: str, *path: str, **fields: Any) -> Any:
        answer = self._module(f"api.{operation}").sync_detailed(*path, client=self.connection, **fields)
        assert answer.status_code < 300, answer.content
        return answer.parsed

    def until(self, what: str, operation: str, key: str, is_so: Callable[[Any], bool]) -> Any:
        seen: list[Any] = []

        def found() -> bool:
            seen.append(self.do(operation, key))
            return is_so(seen[-1])

        wait_until(found, seconds=60, what=what)
        return seen[-1]


def test_the_python_client_submits_follows_and_approves(client: Generated, tmp_path: Path) -> None:
    sha = repository(tmp_path / "repo")
    job = {
        "job_type": "test", "git_repo": (tmp_path / "repo").as_uri(), "git_commit_sha": sha,
        "git_author": "ann@example.com", "steps": [{"name": "hello", "run": "cat hello.txt"}],
    }  # fmt: skip
    submitted = client.do("jobs.submit_job", body=client.model("JobSpec", job), idempotency_key="once")
    again = client.do("jobs.submit_job", body=client.model("JobSpec", job), idempotency_key="once")
    assert submitted.job_id == again.job_id
    ended = client.until("the job's end", "jobs.get_job", submitted.job_id, lambda job: job.completed_at)
    assert ended.status == "success"
    assert "hello" in client.do("jobs.read_log", submitted.job_id)

    step = {"name": "deploy", "run": "true"}
    service = {
        "name": "checkout", "git_repo": (tmp_path / "repo").as_uri(), "git_ref": "main",
        "environments": [
            {"name": "staging", "steps": [step]},
            {"name": "production", "steps": [step], "approval": {"required": 1}},
        ],
    }  # fmt: skip
    client.do("services.put_service", "checkout", body=client.model("ServiceSpecInput", service))
    asked = {"service_name": "checkout", "version": "1.0", "git_commit_sha": sha, "git_author": "ann@example.com"}
    deployment_id = client.do("deployments.start_deployment", body=client.model("StartRequest", asked)).deployment_id
    client.until(
        "what waits for a yes", "deployments.get_deployment", deployment_id, lambda seen: seen.status == "staged"
    )
    yes = client.model("ApproveRequest", {"environment": "production", "version": "1.0"})
    client.do("deployments.approve_deployment", deployment_id, body=yes)
    client.until("the live version", "deployments.get_deployment", deployment_id, lambda seen: seen.status == "live")


def test_the_typescript_generator_has_nothing_to_say(document: Path) -> None:
    if shutil.which("java") is None:
        pytest.skip("there is no java on the PATH, in which this generator runs")
    made = document.with_name("typescript")
    command = [BIN / "openapi-generator-cli", "generate", "-i", document, "-g", "typescript-fetch", "-o", made]
    done = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True, timeout=300)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "WARN" in line or "ERROR" in line]
    assert (done.returncode, [line for line in said if not any(own in line for own in ITS_OWN)]) == (0, [])
    assert "submitJob(" in (made / "apis" / "JobsApi.ts").read_text()
